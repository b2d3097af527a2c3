"""Proves that released units are gone: collects when the loop is idle, one worker at a time, and names what is left.

A collection holds the loop up. So it waits for a moment without requests, and for the others of this
service that would do the same at once; but never for long: what leaks is to be known soon.
"""

import asyncio
import contextlib
import contextvars
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from changeover.workers.generation.remnants import Leak
from changeover.workers.generation.workshop import Workshop
from changeover.workers.protocol.snapshot import UnitKey
from changeover.workers.serving.lease import LeaseKind

LATEST = 5.0
"""Seconds after a release at which the collection no longer waits for idleness, nor for other workers."""
LOOK = 0.02
"""Seconds between two looks at whether the loop is idle."""
PROMPT = 0.002
"""Seconds by which an idle loop is late at the most."""


@dataclass(frozen=True, slots=True)
class Proven:
    """What a collection showed.

    Attributes:
        units: What was released since the one before.
        pause: Seconds that the loop stood still for it.
        leaks: What is left of them; empty when everything is gone.
    """

    units: tuple[UnitKey, ...]
    pause: float
    leaks: tuple[Leak, ...]


class Proof:
    """Collects after releases.

    Args:
        loop: The worker's loop.
        workshop: Where units are released.
        folder: Stands for the service: whoever collects holds a lock on it. It must be readable.
        tell: Told of each collection.
        latest: Seconds after a release at which it comes, whatever goes on.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        workshop: Workshop,
        folder: Path,
        tell: Callable[[Proven], None],
        latest: float = LATEST,
    ) -> None:
        self._loop = loop
        self._workshop = workshop
        self._folder = folder
        self._tell = tell
        self._latest = latest
        self._units: list[UnitKey] = []
        self._proving: asyncio.Task[None] | None = None

    def released(self, units: tuple[UnitKey, ...]) -> None:
        """Units ended: look for them soon, together with others that end meanwhile."""
        if not self._workshop.remnants.unproved:
            return
        self._units += units
        if self._proving is None:
            self._proving = self._loop.create_task(self._prove(), context=contextvars.Context())
            self._proving.add_done_callback(self._report)

    def close(self) -> None:
        """Collect no more: the worker leaves."""
        if self._proving is not None:
            self._proving.cancel()

    def _report(self, proving: "asyncio.Task[None]") -> None:
        if not proving.cancelled() and (error := proving.exception()) is not None:
            self._loop.call_exception_handler({"message": "released units could not be looked for", "exception": error})

    async def _prove(self) -> None:
        until = self._loop.time() + self._latest
        while self._loop.time() < until:
            if await self._is_idle():
                with _alone(self._folder) as alone:
                    if alone:
                        return self._collect()
        self._collect()

    async def _is_idle(self) -> bool:
        due = self._loop.time() + LOOK
        await asyncio.sleep(LOOK)
        late = self._loop.time() - due
        return late < PROMPT and all(lease.kind is not LeaseKind.HTTP for lease in self._workshop.leases())

    def _collect(self) -> None:
        self._proving = None
        began = time.perf_counter()
        self._workshop.remnants.collect()
        pause = time.perf_counter() - began
        units, self._units = tuple(self._units), []
        self._tell(Proven(units, pause, tuple(self._workshop.remnants.review())))


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Hold the lock of a folder, if it can be had: it needs no right to write, and goes with whoever dies."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:  # a lock is a courtesy: who cannot have it collects when it is time
        yield False
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        yield False
    else:
        yield True
    finally:
        os.close(fd)
