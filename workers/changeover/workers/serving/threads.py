"""Threads that run what would block the loop: a fixed number, started as they are needed, behind a bounded queue.

A thread cannot be stopped. One that hangs is left behind, and another takes its place; it ends when it comes back
after all.
"""

import asyncio
import contextlib
import contextvars
import logging
import threading
import time
from collections import deque
from queue import SimpleQueue

from changeover.workers.serving.assignment import Assignment, owing
from changeover.workers.serving.contract import NotReady

log = logging.getLogger("changeover.request")

WAITING = 1000
"""Most jobs of one pool that wait for a thread; beyond, whoever asks is told to come again."""
LEFT_BEHIND = 32
"""Most threads of one pool that are left behind, or as many as it has if it has more: each keeps what the application
has for a thread, a connection to a database say."""


def leave_hung_behind(seconds: float) -> None:
    """Let nobody wait any more for a thread that owes a response for so long; 0 = none does."""
    before = time.monotonic_ns() - seconds * 1e9
    for each in owing() if seconds else ():
        if each.owes_since <= before:
            each.staff.leave_behind(each)


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
        self._jobs: SimpleQueue[Assignment | None] = SimpleQueue()
        self._due: list[Assignment] = []
        self._ends: dict[threading.Thread, asyncio.Future[None]] = {}
        self._left = self._staff = self._started = 0
        self._turns: deque[Assignment] = deque()
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

    def submit(self, assignment: Assignment) -> None:
        """Let a thread do it as soon as one is free; `done` is to be called once it was.

        Raises:
            NotReady: Too many wait already.
            RuntimeError: No thread can be started.
        """
        busy = self._busy + 1
        if busy > self.size + WAITING:
            raise NotReady
        if self._staff < self.size:
            self._provide(busy, size=self.size)
        assignment.staff = self
        if not self._due:
            asyncio.get_running_loop().call_soon(self._hand_over)
        self._due.append(assignment)
        self._busy = busy
        if busy > self.size:
            self._turns.append(assignment)
            assignment.begin_turn()

    def leave_behind(self, assignment: Assignment) -> None:
        """Go on without the thread that does it, unless too many were left behind, or it is through with it: another
        takes the job that waits for longest."""
        if not assignment.is_waited_for or self._left >= max(LEFT_BEHIND, self.size):
            return
        staff, needed = self._staff, SimpleQueue[bool]()
        try:
            self._provide(self._busy, size=self.size + 1, needed=needed)
        except RuntimeError as error:
            log.warning("%s: a thread hangs, and no other can be started in its place: %s", self._name, error)
            return
        is_left = assignment.leave_behind()
        needed.put(is_left)
        if not is_left:
            self._staff = staff
            return
        self._left += 1
        self._staff -= 1
        self._busy -= 1
        if self._turns:
            self._turns.popleft().end_turn()

    def done(self, assignment: Assignment) -> None:
        """A job was done: its thread takes the one that waits for longest, or has ended if it was left behind."""
        if not assignment.done():
            self._left -= 1
            return
        self._busy -= 1
        if self._turns:
            self._turns.popleft().end_turn()

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
        for assignment in self._due:
            self._jobs.put(assignment)
        self._due.clear()

    def _provide(self, busy: int, *, size: int, needed: SimpleQueue[bool] | None = None) -> None:
        """Have threads for so many jobs, as far as there may be so many; one that may not be `needed` after all waits
        until it is told."""
        if self._staff < min(busy, size):
            self._start(needed)

    def _start(self, needed: SimpleQueue[bool] | None) -> None:
        """Start one more, which belongs to no request."""
        loop = asyncio.get_running_loop()
        end: asyncio.Future[None] = loop.create_future()
        name = f"changeover {self._name} {self._started}"
        thread = threading.Thread(target=_work, args=(self._jobs, loop, end, needed), name=name, daemon=True)
        contextvars.Context().run(thread.start)
        self._ends = {each: its for each, its in self._ends.items() if not its.done()} | {thread: end}
        self._staff += 1
        self._started += 1


def _work(
    jobs: SimpleQueue[Assignment | None],
    loop: asyncio.AbstractEventLoop,
    end: asyncio.Future[None],
    needed: SimpleQueue[bool] | None,
) -> None:
    thread = threading.current_thread()
    is_waited_for = needed is None or needed.get()
    while is_waited_for and (assignment := jobs.get()) is not None:
        assignment.begin(thread)
        try:
            assignment.run()
        finally:  # whatever happens to the thread, it keeps nothing
            is_waited_for = assignment.come_back()
            del assignment
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(_settle, end)


def _settle(end: asyncio.Future[None]) -> None:
    if not end.done():
        end.set_result(None)
