"""Threads that run what would block the loop: a fixed number, started as they are needed, behind a bounded queue.

A thread cannot be stopped. One that hangs is left behind, and another takes its place until it is done after all.
"""

import asyncio
import contextlib
import contextvars
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Protocol

from changeover.workers.serving.contract import NotReady
from changeover.workers.serving.lease import Lease

log = logging.getLogger("changeover.request")

WAITING = 1000
"""Most jobs of one pool that wait for a thread; beyond, whoever asks is told to come again."""
LEFT_BEHIND = 32
"""Most threads of one pool that are left behind, or as many as it has if it has more: each keeps what the application
has for a thread, a connection to a database say."""


class Job(Protocol):
    """What a thread does."""

    @property
    def lease(self) -> Lease:
        """Of the request that it is done for."""

    @property
    def pool(self) -> "ThreadPool":
        """Whose thread does it."""

    @property
    def owes(self) -> bool:
        """Whether no more than the beginning of a response came of it yet."""

    def run(self) -> None:
        """Do it, in the thread; raises nothing."""


at_work: dict[threading.Thread, Job] = {}
"""What threads do now."""


def thread_of(lease: Lease) -> threading.Thread | None:
    """A thread that works for a request now, for whoever asks where it stands: there are two where a handler calls
    twice."""
    return next((thread for thread, job in at_work.copy().items() if job.lease is lease), None)


def leave_behind(lease: Lease) -> None:
    """Let nobody wait any more for a thread that works for this request."""
    for job in at_work.copy().values():
        if job.lease is lease:
            job.pool.leave_behind(job)


def leave_hung_behind(seconds: float) -> None:
    """Let nobody wait any more for a thread that owes a response for so long; 0 = none does."""
    before = time.monotonic_ns() - seconds * 1e9
    for lease in owing() if seconds else ():
        if lease.since <= before:
            leave_behind(lease)


def owing() -> list[Lease]:
    """Those whose threads owe a response, also where somebody else has answered meanwhile."""
    return [job.lease for job in at_work.copy().values() if job.owes and not job.lease.waits]


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

    __slots__ = ("_busy", "_due", "_ends", "_jobs", "_left", "_name", "_staff", "_started", "_turns", "size")

    def __init__(self, name: str, size: int) -> None:
        self.size = size
        self._name = name
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._due: list[Job] = []
        self._ends: dict[threading.Thread, asyncio.Future[None]] = {}
        self._left: set[Job] = set()
        self._staff = self._started = 0
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
        self._provide(self._busy + 1, size=self.size)
        if self._busy >= self.size:
            self._turns.append(turn)
        self._busy += 1
        if not self._due:
            asyncio.get_running_loop().call_soon(self._hand_over)
        self._due.append(job)

    def leave_behind(self, job: Job) -> None:
        """Go on without the thread that does `job`, unless too many were left behind: another takes the one that waits
        for longest."""
        if job in self._left or len(self._left) >= max(LEFT_BEHIND, self.size):
            return
        try:
            self._provide(self._busy, size=self.size + 1)
        except RuntimeError as error:
            log.warning("%s: a thread hangs, and no other can be started in its place: %s", self._name, error)
            return
        self._left.add(job)
        self._staff -= 1
        self._busy -= 1
        self._next()

    def done(self, job: Job) -> None:
        """A job was done: its thread takes the one that waits for longest, or one thread ends if another had taken its
        place."""
        if job in self._left:
            self._left.remove(job)
            self._jobs.put(None)
        else:
            self._busy -= 1
            self._next()

    def _next(self) -> None:
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
        for _ in self._ends:
            self._jobs.put(None)
        if self._ends:
            await asyncio.wait(self._ends.values(), timeout=deadline)

    def unfinished(self) -> tuple[threading.Thread, ...]:
        """The threads that have not ended."""
        return tuple(thread for thread, end in self._ends.items() if not end.done())

    def _hand_over(self) -> None:
        for job in self._due:
            self._jobs.put(job)
        self._due.clear()

    def _provide(self, busy: int, *, size: int) -> None:
        """Have threads for so many jobs, as far as there may be so many."""
        if self._staff < min(busy, size):
            self._start()

    def _start(self) -> None:
        """Start one more, which belongs to no request."""
        loop = asyncio.get_running_loop()
        end: asyncio.Future[None] = loop.create_future()
        name = f"changeover {self._name} {self._started}"
        thread = threading.Thread(target=_work, args=(self._jobs, loop, end), name=name, daemon=True)
        contextvars.Context().run(thread.start)
        self._ends = {each: its for each, its in self._ends.items() if not its.done()} | {thread: end}
        self._staff += 1
        self._started += 1


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
