"""What a journal says of a roll in parts: a part is no generation of all workers before the last one is."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from changeover.supervisor.core.entries import EpochGiven, Part, Retired
from changeover.supervisor.journal.file import JournalFile
from tests.entries import aborted, committed, generation, given


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[JournalFile]:
    """Epoch 1 serves everywhere."""
    file = JournalFile(tmp_path / "journal.sqlite3", keep=2)
    file.append(given(1))
    file.append(committed(1))
    yield file
    file.close()


def part(epoch: int, number: int, of: int = 3) -> EpochGiven:
    """A part of the roll that began as epoch 2."""
    candidate = msgspec.structs.replace(generation(epoch, "new"), rolled=2, part=1)
    return msgspec.structs.replace(given(epoch), candidate=candidate, part=Part(number, of, 1))


def commit(journal: JournalFile, *parts: EpochGiven) -> None:
    for each in parts:
        journal.append(each)
        journal.append(committed(each.epoch))


def epochs(journal: JournalFile) -> list[int]:
    return [story.epoch for story in reversed(journal.history(1000))]


def test_parts_are_recovered_beside_what_all_others_serve(journal: JournalFile) -> None:
    commit(journal, part(2, 1), part(3, 2))
    journal.append(Retired(2))
    found = journal.recover()
    assert (found.committed, found.parted) == (generation(1, "content 1"), part(3, 2).candidate)
    assert (found.part, found.unretired) == (Part(2, 3, 1), ())
    assert [snapshot.epoch for snapshot in journal.committed()] == [1]


def test_the_last_part_is_everybodys(journal: JournalFile) -> None:
    commit(journal, part(2, 1), part(3, 2), part(4, 3))
    found = journal.recover()
    assert (found.committed, found.parted, found.part) == (part(4, 3).candidate, None, None)
    assert found.unretired == (1, 2, 3)
    assert [snapshot.epoch for snapshot in journal.committed()] == [1, 4]


def test_reverted_parts_are_recovered_until_they_are_retired(journal: JournalFile) -> None:
    commit(journal, part(2, 1))
    journal.append(part(3, 2))
    journal.append(aborted(3))
    journal.append(given(4, "content 1", 1))
    journal.append(committed(4))
    found = journal.recover()
    assert (found.committed, found.parted) == (generation(4, "content 1"), part(2, 1).candidate)
    journal.append(Retired(2))
    assert journal.recover().parted is None


def test_an_ordinary_roll_that_follows_leaves_no_parts(journal: JournalFile) -> None:
    commit(journal, part(2, 1))
    whole = msgspec.structs.replace(given(3), candidate=msgspec.structs.replace(generation(3, "x"), rolled=3))
    commit(journal, whole)
    assert journal.recover().parted is None


def test_parts_take_the_place_of_nothing_that_could_be_rolled_back_to(journal: JournalFile) -> None:
    commit(journal, part(2, 1), part(3, 2), part(4, 3))
    for epoch in (1, 2, 3):
        journal.append(Retired(epoch))
    assert epochs(journal) == [1, 2, 3, 4]
    journal.append(given(5))
    journal.append(committed(5))
    assert epochs(journal) == [4, 5]
