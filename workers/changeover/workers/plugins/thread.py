"""The one thread beside the loop in which a worker imports, and runs hooks that are not async.

A thread cannot be killed. One that is still busy at its deadline is left behind: its stack is
told, a fresh thread takes its place for whatever comes next, and the loop serves on.
"""

import asyncio
import contextlib
import contextvars
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from changeover.workers.errors import ChangeoverError

T = TypeVar("T")

SWITCH_INTERVAL = 0.0005
"""Seconds after which a loading thread lets the loop run; Python's own default is ten times that."""


class ThreadHung(ChangeoverError):
    """The work in the thread did not end within its deadline; the thread is left behind.

    Attributes:
        deadline: Seconds that were allowed.
        stack: Where the thread was then.
    """

    def __init__(self, deadline: float, stack: traceback.StackSummary) -> None:
        self.deadline = deadline
        self.stack = stack
        super().__init__(f"not done within {deadline:g} s; a thread cannot be killed: it was left behind")


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """What a piece of work led to: a value, or whatever it raised, SystemExit included."""

    value: T | None = None
    error: BaseException | None = None

    def take(self) -> T:
        """The value.

        Raises:
            BaseException: Whatever the work raised.
        """
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]


class _Job(Generic[T]):
    """One piece of work; hollow once it is done, because the thread still holds it while the loop goes on."""

    __slots__ = ("_call", "_context", "_future", "_loop", "_outcome")

    def __init__(self, call: Callable[[], T], context: contextvars.Context, future: "asyncio.Future[Outcome[T]]"):
        self._call: Callable[[], T] | None = call
        self._context: contextvars.Context | None = context
        self._future: asyncio.Future[Outcome[T]] | None = future
        self._loop = future.get_loop()
        self._outcome: Outcome[T] | None = None

    def run(self) -> None:
        """In the thread."""
        self._outcome = self._made()
        self._call = self._context = None
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._settle)

    def _made(self) -> Outcome[T]:
        if self._context is None or self._call is None:
            raise AssertionError("bug: a job was run twice")
        try:
            return Outcome(self._context.run(self._call))
        except BaseException as error:  # noqa: BLE001 - SystemExit in a plugin is its failure, not the thread's end
            return Outcome(error=error)

    def _settle(self) -> None:
        """On the loop."""
        future, outcome = self._future, self._outcome
        self._future = self._outcome = None
        if future is not None and outcome is not None and not future.done():
            future.set_result(outcome)


class LoaderThread:
    """Runs one piece of work at a time in a daemon thread, each with a deadline."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[_Job[Any] | None] | None = None
        self._thread: threading.Thread | None = None
        self._turn = asyncio.Lock()
        self._left_behind: list[threading.Thread] = []

    @property
    def left_behind(self) -> int:
        """How many threads missed their deadline and still run."""
        self._left_behind = [thread for thread in self._left_behind if thread.is_alive()]
        return len(self._left_behind)

    async def run(
        self, call: Callable[[], T], deadline: float, context: contextvars.Context | None = None
    ) -> Outcome[T]:
        """Run `call` in the thread, in a context.

        When the caller is cancelled, the work is still waited for, so that whoever unwinds finds nothing half-done.

        Args:
            call: What to run; whatever it raises is part of the outcome.
            deadline: Seconds from its start.
            context: Where context variables are read; a copy of the caller's by default.

        Raises:
            ThreadHung: It did not end in time.
        """
        async with self._turn:
            with _short_switch_interval():
                done = self._start(call, context or contextvars.copy_context())
                return await self._wait(done, deadline)

    def _start(self, call: Callable[[], T], context: contextvars.Context) -> "asyncio.Future[Outcome[T]]":
        future: asyncio.Future[Outcome[T]] = asyncio.get_running_loop().create_future()
        if self._jobs is None:
            self._jobs = SimpleQueue()
            self._thread = threading.Thread(target=_work, args=(self._jobs,), name="changeover-loader", daemon=True)
            contextvars.Context().run(self._thread.start)
        self._jobs.put(_Job(call, context, future))
        return future

    async def _wait(self, done: "asyncio.Future[Outcome[T]]", deadline: float) -> Outcome[T]:
        waiter = asyncio.ensure_future(asyncio.wait({done}, timeout=deadline))
        try:
            await asyncio.shield(waiter)
        except asyncio.CancelledError:
            await waiter
            if not done.done():
                self._leave_behind()
            raise
        if not done.done():
            raise ThreadHung(deadline, self._leave_behind())
        return done.result()

    def _leave_behind(self) -> traceback.StackSummary:
        stack = _stack_of(self._thread)
        if self._thread is not None:
            self._left_behind.append(self._thread)
        self.close()
        return stack

    def close(self) -> None:
        """Let the thread end as soon as it is done; the next `run` starts another."""
        if self._jobs is not None:
            self._jobs.put(None)
        self._jobs = self._thread = None


def _work(jobs: "SimpleQueue[_Job[Any] | None]") -> None:
    while (job := jobs.get()) is not None:
        job.run()
        del job


def _stack_of(thread: threading.Thread | None) -> traceback.StackSummary:
    frame = sys._current_frames().get(thread.ident or 0) if thread else None
    return traceback.extract_stack(frame) if frame else traceback.StackSummary()


@contextlib.contextmanager
def _short_switch_interval() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, SWITCH_INTERVAL))
    try:
        yield
    finally:
        sys.setswitchinterval(before)
