"""The journal tells a starting supervisor what was decided, and never lets a decision be changed."""

import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from changeover.supervisor.core.entries import (
    Committed,
    EpochRaised,
    JournalEntry,
    PreparingBegun,
    Recovered,
    Retired,
    TermBegun,
)
from changeover.supervisor.journal.errors import DecisionExists, EpochExists
from changeover.supervisor.journal.file import JournalFile, reread
from changeover.supervisor.journal.views import Totals
from changeover.workers.protocol.refusal import Stage
from tests.entries import aborted, committed, generation, given, held


class Clock:
    """A wall clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def journal(tmp_path: Path, clock: Clock) -> Iterator[JournalFile]:
    file = JournalFile(tmp_path / "state" / "journal.sqlite3", keep=10, clock=clock)
    yield file
    with suppress(OSError):
        file.close()


def write(journal: JournalFile, *entries: JournalEntry) -> None:
    for entry in entries:
        journal.append(entry)


def test_a_new_journal_knows_nothing_but_itself(journal: JournalFile) -> None:
    assert journal.recover() == Recovered(journal.id)
    assert journal.history(10) == ()
    assert journal.explain(1) is None
    assert journal.totals() == Totals()


def test_a_journal_keeps_its_identity_and_what_was_written(journal: JournalFile) -> None:
    write(
        journal, TermBegun(1), given(1), PreparingBegun(1), committed(1), given(2), aborted(2), given(3), committed(3)
    )
    told = journal.history(10)
    journal.close()
    again = JournalFile(journal.path, keep=10)
    assert again.id == journal.id
    assert again.recover() == Recovered(journal.id, 1, 3, generation(3, "content 3"), None, (1,), frozenset())
    assert again.history(10) == told
    again.close()


def test_epochs_continue_over_refusals_and_restarts(journal: JournalFile) -> None:
    write(journal, TermBegun(1), given(1), committed(1), given(2), aborted(2), TermBegun(2))
    found = journal.recover()
    assert (found.term, found.epoch) == (2, 2)
    assert found.committed is not None
    assert found.committed.epoch == 1


def test_a_number_that_only_a_worker_knew_is_not_given_again_after_a_restart(journal: JournalFile) -> None:
    write(journal, given(1), committed(1), EpochRaised(7))
    assert journal.recover().epoch == 7


def test_a_number_that_was_refused_before_its_candidate_was_on_disk_is_taken_too(journal: JournalFile) -> None:
    write(journal, given(1), committed(1), aborted(2))
    assert journal.recover().epoch == 2


@pytest.mark.parametrize("last", [[given(2)], [given(2), PreparingBegun(2)]], ids=["given", "preparing"])
def test_a_candidate_without_a_decision_is_undecided(journal: JournalFile, last: list[JournalEntry]) -> None:
    write(journal, given(1), committed(1), *last)
    assert journal.recover().undecided == 2


def test_what_was_superseded_and_not_retired_is_still_owed(journal: JournalFile) -> None:
    write(journal, *(entry for epoch in (1, 2, 3, 4) for entry in (given(epoch), committed(epoch))), Retired(2))
    assert journal.recover().unretired == (1, 3)


def test_at_most_one_decision_exists_per_epoch(journal: JournalFile) -> None:
    write(journal, given(1), committed(1), given(2), aborted(2))
    with pytest.raises(DecisionExists, match="epoch 1 is committed already"):
        journal.append(aborted(1))
    with pytest.raises(DecisionExists, match="epoch 2 is aborted already"):
        journal.append(committed(2))
    assert journal.recover().committed == generation(1, "content 1")


def test_the_database_itself_refuses_a_second_decision(journal: JournalFile) -> None:
    write(journal, given(1), committed(1))
    with sqlite3.connect(journal.path) as other, pytest.raises(sqlite3.IntegrityError):
        other.execute("INSERT INTO entries (at, kind, epoch, body) VALUES (0, 'Aborted', 1, '{}')")
    other.close()


def test_writing_the_same_entry_again_changes_nothing(journal: JournalFile) -> None:
    entries: list[JournalEntry] = [TermBegun(1), given(1), PreparingBegun(1), committed(1), Retired(1)]
    first = [journal.append(entry) for entry in entries]
    assert [journal.append(entry) for entry in entries] == first
    assert journal.totals().committed == 1


def test_an_epoch_is_given_once(journal: JournalFile) -> None:
    write(journal, given(1, "this"))
    with pytest.raises(EpochExists):
        journal.append(given(1, "that"))


def test_a_decision_is_reread_over_a_connection_of_its_own(journal: JournalFile) -> None:
    write(journal, given(1), committed(1), given(2), aborted(2), given(3), PreparingBegun(3))
    assert reread(journal.path, 1) == Committed(1)
    assert reread(journal.path, 2) == aborted(2)
    assert reread(journal.path, 3) is None


def test_the_history_is_told_newest_first_with_who_and_why_and_when(journal: JournalFile, clock: Clock) -> None:
    write(journal, given(1), committed(1))
    clock.now = 1010.0
    write(journal, given(2))
    clock.now = 1012.5
    write(journal, aborted(2), given(3))
    newest, refused = journal.history(2)
    assert (newest.epoch, newest.decision, newest.decided_at) == (3, None, None)
    assert (refused.given_at, refused.decided_at, refused.decision) == (1010.0, 1012.5, aborted(2))
    assert refused.given.summary == ("pricing 1.0 -> 1.1",)
    assert journal.explain(2) == refused


def test_what_is_held_is_what_the_last_committed_epoch_says(journal: JournalFile) -> None:
    write(journal, given(1, "good"), committed(1), given(2, "bad"), committed(2))
    write(journal, given(3, "good", 1, held("bad")))
    assert journal.recover().held == frozenset()
    write(journal, committed(3))
    assert journal.recover().held == {held("bad")}
    write(journal, given(4, "bad"), aborted(4))
    assert journal.recover().held == {held("bad")}
    write(journal, given(5, "bad"), committed(5))
    assert journal.recover().held == frozenset()


def test_a_generation_that_was_rolled_back_is_set_aside_until_it_is_committed_again(journal: JournalFile) -> None:
    write(journal, given(1, "good"), committed(1), given(2, "bad"), committed(2), given(3, "good", 1))
    assert journal.set_aside() == frozenset()
    write(journal, committed(3), given(4, "worse"), committed(4), given(5, "good", 3), committed(5))
    assert journal.set_aside() == {"bad", "worse"}
    write(journal, given(6, "bad"), committed(6))
    assert journal.set_aside() == {"worse"}


def test_what_can_be_gone_back_to_is_what_was_committed(journal: JournalFile) -> None:
    write(journal, given(1), committed(1), given(2), aborted(2), given(3), committed(3), given(4))
    assert [snapshot.epoch for snapshot in journal.committed()] == [1, 3]
    assert [snapshot.epoch for snapshot in journal.kept()] == [1, 2, 3, 4]


def test_decisions_are_counted(journal: JournalFile, clock: Clock) -> None:
    write(journal, given(1), committed(1), given(2), aborted(2), given(3), aborted(3, Stage.INITIALISE), given(4))
    write(journal, aborted(4), given(5, restores=1))
    clock.now += 0.5
    write(journal, committed(5))
    assert journal.totals() == Totals(
        committed=2, rollbacks=1, aborted=3, refusals={"initialise": 1, "load": 2}, last_duration=0.5
    )


def test_entries_are_readable_for_people_with_sqlite_alone(journal: JournalFile) -> None:
    write(journal, given(1), aborted(1))
    with sqlite3.connect(journal.path) as other:
        [(body,)] = other.execute("SELECT body FROM entries WHERE kind = 'Aborted'").fetchall()
    other.close()
    assert '"reason":"refused"' in body


def test_what_was_refused_is_quarantined_until_other_content_serves(journal: JournalFile) -> None:
    write(journal, given(1, "good"), committed(1), given(2, "bad"), aborted(2))
    assert [(each.epoch, str(each)) for each in journal.recover().quarantine] == [(2, "pricing 1.0")]
    write(journal, given(3, "better"), committed(3))
    assert journal.recover().quarantine == ()
