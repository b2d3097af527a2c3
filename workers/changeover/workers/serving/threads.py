"""Threads that run what would block the loop: a fixed number, started as they are needed, behind a bounded queue."""

import asyncio
import contextlib
import contextvars
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Protocol

from changeover.workers.serving.contract import NotReady
from changeover.workers.serving.lease import Lease

WAITING = 1000
"""Most jobs of one pool that wait for a thread; beyond, whoever asks is told to come again."""


class Job(Protocol):
    """What a thread does."""

    @property
    def lease(self) -> Lease:
        """Of the request that it is done for."""

    def run(self) -> None:
        """Do it, in the thread; raises nothing."""


at_work: dict[threading.Thread, Job] = {}
"""What threads do now."""


def thread_of(lease: Lease) -> threading.Thread | None:
    """A thread that works for a request now, for whoever asks where it stands: there are two where a handler calls
    twice."""
    return next((thread for thread, job in at_work.copy().items() if job.lease is lease), None)


class ThreadPool:
    """Threads of one unit; used on the loop's thread.

    What is submitted in one turn of the loop is handed over at its end: a thread that is woken before wants the
    interpreter's lock whenever the loop lets go of it for a moment, between two clients say.

    Args:
        name: The unit's name, for the threads' own.
        size: Most threads.

    Attributes:
        size: Most threads.
    """

    __slots__ = ("_busy", "_due", "_ends", "_jobs", "_name", "_threads", "_turns", "size")

    def __init__(self, name: str, size: int) -> None:
        self.size = size
        self._name = name
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._due: list[Job] = []
        self._threads: list[threading.Thread] = []
        self._ends: list[asyncio.Future[None]] = []
        self._turns: deque[Callable[[], None] | None] = deque()
        self._busy = 0

    @property
    def is_busy(self) -> bool:
        """Whether a job that comes now waits for a thread."""
        return self._busy >= self.size

    @property
    def waiting(self) -> int:
        """How many jobs wait for a thread."""
        return max(0, self._busy - self.size)

    def admit(self) -> None:
        """Return when one more job would be taken.

        Raises:
            NotReady: Too many wait already.
        """
        if self._busy >= self.size + WAITING:
            raise NotReady

    def submit(self, job: Job, turn: Callable[[], None] | None = None) -> None:
        """Let a thread do `job` as soon as one is free; `done` is to be called once it was.

        Args:
            job: What to do.
            turn: Called when a thread takes it, if it had to wait for one.

        Raises:
            NotReady: Too many wait already.
            RuntimeError: No thread can be started.
        """
        self.admit()
        if len(self._threads) <= self._busy and len(self._threads) < self.size:
            self._start()
        if self._busy >= self.size:
            self._turns.append(turn)
        self._busy += 1
        if not self._due:
            asyncio.get_running_loop().call_soon(self._hand_over)
        self._due.append(job)

    def done(self) -> None:
        """A job was done: its thread takes the one that waits for longest."""
        self._busy -= 1
        if self._turns:
            turn = self._turns.popleft()
            if turn is not None:
                turn()

    async def close(self, deadline: float) -> None:
        """Let all threads end, those that work as soon as they are done.

        Args:
            deadline: Seconds to wait for them.
        """
        self._hand_over()
        for _ in self._threads:
            self._jobs.put(None)
        if self._ends:
            await asyncio.wait(self._ends, timeout=deadline)

    def unfinished(self) -> tuple[threading.Thread, ...]:
        """The threads that have not ended."""
        return tuple(thread for thread, end in zip(self._threads, self._ends, strict=True) if not end.done())

    def _hand_over(self) -> None:
        for job in self._due:
            self._jobs.put(job)
        self._due.clear()

    def _start(self) -> None:
        """Start one more, which belongs to no request."""
        loop = asyncio.get_running_loop()
        end: asyncio.Future[None] = loop.create_future()
        name = f"changeover {self._name} {len(self._threads)}"
        thread = threading.Thread(target=_work, args=(self._jobs, loop, end), name=name, daemon=True)
        contextvars.Context().run(thread.start)
        self._threads.append(thread)
        self._ends.append(end)


def _work(jobs: SimpleQueue[Job | None], loop: asyncio.AbstractEventLoop, end: asyncio.Future[None]) -> None:
    thread = threading.current_thread()
    while (job := jobs.get()) is not None:
        at_work[thread] = job
        try:
            job.run()
        finally:  # whatever happens to the thread, it keeps nothing
            del at_work[thread], job
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(_settle, end)


def _settle(end: asyncio.Future[None]) -> None:
    if not end.done():
        end.set_result(None)
