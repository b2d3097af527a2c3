"""History is bounded, and forgets nothing that is still needed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from changeover.supervisor.core.entries import Retired, TermBegun
from changeover.supervisor.journal.file import JournalFile
from changeover.supervisor.journal.prune import KEEP_ABORTED
from tests.entries import aborted, committed, given, held


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[JournalFile]:
    file = JournalFile(tmp_path / "journal.sqlite3", keep=3)
    yield file
    file.close()


def serve(journal: JournalFile, *epochs: int) -> None:
    for epoch in epochs:
        journal.append(given(epoch))
        journal.append(committed(epoch))


def epochs(journal: JournalFile) -> list[int]:
    return [story.epoch for story in reversed(journal.history(1000))]


def test_the_newest_committed_epochs_are_kept(journal: JournalFile) -> None:
    for epoch in range(1, 8):
        serve(journal, epoch)
        if epoch > 1:
            journal.append(Retired(epoch - 1))
    assert epochs(journal) == [5, 6, 7]
    assert journal.totals().committed == 7


def test_an_epoch_that_is_not_retired_is_kept_and_so_is_all_after_it(journal: JournalFile) -> None:
    serve(journal, 1, 2, 3)
    journal.append(Retired(1))
    serve(journal, 4, 5, 6)
    assert epochs(journal) == [2, 3, 4, 5, 6]
    assert journal.recover().unretired == (2, 3, 4, 5)


def test_refusals_are_bounded_and_the_highest_epoch_is_never_forgotten(journal: JournalFile) -> None:
    last = KEEP_ABORTED + 20
    serve(journal, 1)
    for epoch in range(2, last + 1):
        journal.append(given(epoch))
        journal.append(aborted(epoch))
    journal.append(TermBegun(2))
    assert epochs(journal) == [1, *range(last - KEEP_ABORTED + 1, last + 1)]
    assert journal.recover().epoch == last


def test_what_is_held_outlives_the_rollback_that_held_it(journal: JournalFile) -> None:
    serve(journal, 1)
    journal.append(given(2, "bad"))
    journal.append(committed(2))
    journal.append(given(3, "content 1", 1, held("bad")))
    journal.append(committed(3))
    for epoch in range(4, 12):
        journal.append(Retired(epoch - 1))
        journal.append(Retired(epoch - 3))
        journal.append(given(epoch, f"content {epoch}", None, held("bad")))
        journal.append(committed(epoch))
    assert epochs(journal) == [9, 10, 11]
    assert journal.recover().held == {held("bad")}


def test_terms_leave_one_trace(journal: JournalFile) -> None:
    for term in range(1, 6):
        journal.append(TermBegun(term))
    assert journal.recover().term == 5
