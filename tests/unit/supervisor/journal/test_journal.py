"""The journal off the loop: one thread writes in order, a fresh connection does not wait for it."""

import threading
from pathlib import Path

import pytest

from changeover.supervisor.core.entries import Committed, TermBegun
from changeover.supervisor.journal.errors import DecisionExists, JournalHeld
from changeover.supervisor.journal.journal import Journal
from tests.entries import aborted, committed, given


async def test_everything_is_asked_for_without_blocking_the_loop(tmp_path: Path) -> None:
    journal = await Journal.open(tmp_path / "journal.sqlite3", keep=10)
    await journal.append(TermBegun(1))
    await journal.append(given(1))
    await journal.append(committed(1))
    assert (await journal.recover()).epoch == 1
    assert await journal.reread(1) == Committed(1)
    assert [story.epoch for story in await journal.history(5)] == [1]
    assert (await journal.totals()).committed == 1
    assert len(await journal.kept()) == len(await journal.committed()) == 1
    assert await journal.explain(2) is None
    assert {thread.name for thread in threading.enumerate() if thread.name.startswith("journal")} == {"journal_0"}
    await journal.close()


async def test_errors_come_out_of_the_thread_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite3"
    journal = await Journal.open(path, keep=10)
    with pytest.raises(JournalHeld):
        await Journal.open(path, keep=10)
    await journal.append(given(1))
    await journal.append(committed(1))
    with pytest.raises(DecisionExists):
        await journal.append(aborted(1))
    await journal.close()
    again = await Journal.open(path, keep=10)
    assert again.id == journal.id
    await again.close()


async def test_a_decision_can_be_reread_while_the_journals_thread_is_stuck(tmp_path: Path) -> None:
    journal = await Journal.open(tmp_path / "journal.sqlite3", keep=10)
    await journal.append(given(1))
    await journal.append(committed(1))
    stuck, release = threading.Event(), threading.Event()

    def hang() -> None:
        stuck.set()
        release.wait(10)

    hanging = journal._executor.submit(hang)
    assert stuck.wait(5)
    assert await journal.reread(1) == Committed(1)
    assert not hanging.done()
    release.set()
    await journal.close()
