"""The journal for the supervisor's loop: all file work on one thread of its own."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

from changeover.supervisor.core.entries import Aborted, Committed, JournalEntry, Recovered
from changeover.supervisor.journal.file import JournalFile, reread
from changeover.supervisor.journal.views import EpochStory, Totals
from changeover.workers.protocol.snapshot import Snapshot

P = ParamSpec("P")
T = TypeVar("T")


class Journal:
    """One supervisor's journal. Calls are done one after the other; deadlines are the caller's.

    A call that is cancelled, or whose deadline passes, may still be carried out: what it wrote is
    learned by `reread`, which does not wait for it.
    """

    def __init__(self, file: JournalFile, executor: ThreadPoolExecutor) -> None:
        self._file = file
        self._executor = executor

    @classmethod
    async def open(cls, path: Path, keep: int, lock: int | None = None) -> "Journal":
        """Open the journal, or make it.

        Args:
            path: Its file.
            keep: How many committed epochs stay in it.
            lock: Descriptor of the lock that this process held before it was executed anew.

        Raises:
            JournalError: It cannot be had; the subclass says why.
        """
        executor = ThreadPoolExecutor(1, "journal")
        try:
            make = partial(JournalFile, path, keep, lock=lock)
            file = await asyncio.get_running_loop().run_in_executor(executor, make)
        except BaseException:
            executor.shutdown(wait=False)
            raise
        return cls(file, executor)

    @property
    def id(self) -> str:
        """The journal's identity, made once."""
        return self._file.id

    @property
    def lock(self) -> int:
        """Descriptor of its lock."""
        return self._file.lock

    async def copy(self, path: Path) -> None:
        """Copy it into another file."""
        await self._run(self._file.copy, path)

    async def append(self, entry: JournalEntry) -> int:
        """Make `entry` durable; see `JournalFile.append`."""
        return await self._run(self._file.append, entry)

    async def recover(self) -> Recovered:
        """Say what a starting supervisor must know."""
        return await self._run(self._file.recover)

    async def reread(self, epoch: int) -> Committed | Aborted | None:
        """Look for a decision over a fresh connection, beside whatever the journal's own thread is stuck in."""
        return await asyncio.to_thread(reread, self._file.path, epoch)

    async def history(self, limit: int) -> tuple[EpochStory, ...]:
        """The latest `limit` epochs, newest first."""
        return await self._run(self._file.history, limit)

    async def explain(self, epoch: int) -> EpochStory | None:
        """Everything that is kept of one epoch; None when nothing is."""
        return await self._run(self._file.explain, epoch)

    async def kept(self) -> tuple[Snapshot, ...]:
        """Every candidate that is kept, oldest first."""
        return await self._run(self._file.kept)

    async def committed(self) -> tuple[Snapshot, ...]:
        """Every committed generation that is kept, oldest first: what can be rolled back to."""
        return await self._run(self._file.committed)

    async def set_aside(self) -> frozenset[str]:
        """Digests of kept generations that were rolled back."""
        return await self._run(self._file.set_aside)

    async def totals(self) -> Totals:
        """What was counted since the journal was made."""
        return await self._run(self._file.totals)

    async def close(self) -> None:
        """Finish what was asked, close the file, let the next supervisor have it."""
        await self._run(self._file.close)
        self._executor.shutdown(wait=False)

    async def _run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, lambda: call(*args, **kwargs))
