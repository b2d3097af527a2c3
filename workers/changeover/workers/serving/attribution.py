"""Attributes tasks and threads to the request or to the unit's hook that started them.

What is started under a request takes a further lease on the request's unit set until it ends.
Threads of a pool outlive the work they are made for, so not they but each submitted piece of
work holds a lease. What is started under a hook is only known by name, to the leak check.
"""

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import Context, ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, ParamSpec, TypeVar
from weakref import WeakSet

from changeover.workers.protocol.snapshot import UnitKey
from changeover.workers.serving.lease import Lease, LeaseKind, current_lease

P = ParamSpec("P")
T = TypeVar("T")
Work = Coroutine[Any, Any, T] | Generator[Any, None, T]

POOLS = frozenset(
    {
        "concurrent.futures.thread",
        "concurrent.futures.process",
        "multiprocessing.pool",
        "multiprocessing.queues",
        "multiprocess.pool",
        "multiprocess.queues",
        "anyio._backends._asyncio",
    }
)
"""Modules whose threads serve whoever comes: such a thread belongs to nobody."""


@dataclass(frozen=True, slots=True, eq=False)
class Handling:
    """A signal handler that a unit's code set.

    Attributes:
        number: The signal.
        handler: What handles it.
    """

    number: int
    handler: Any


class UnitWork:
    """Tasks and threads that the hooks of one unit started, while they live; no lease holds them.

    Attributes:
        name: The unit's name.
        tasks: Tasks not yet collected.
        threads: Threads not yet collected.
        asks: Names of the extension points that its code made while hooks ran, imports included.
        exits: What its code registered with `atexit`, the latest last.
        signals: The signal handlers that its code set.
        granted: Capabilities that its code has; None where nobody has to be granted any, as an application.
        key: The unit's identity, where it is of a plugin.
    """

    __slots__ = ("asks", "exits", "granted", "key", "name", "signals", "tasks", "threads")

    def __init__(self, name: str, granted: Iterable[str] | None = None, key: UnitKey | None = None) -> None:
        self.name = name
        self.key = key
        self.granted = None if granted is None else frozenset(granted)
        self.tasks: WeakSet[asyncio.Future[Any]] = WeakSet()
        self.threads: WeakSet[threading.Thread] = WeakSet()
        self.asks: set[str] = set()
        self.exits: list[partial[Any]] = []
        self.signals: list[Handling] = []

    def alive(self) -> list[str]:
        """The names of what still runs."""
        tasks = [_name_of(task) for task in self.tasks if not task.done()]
        return sorted(tasks + [f"thread {thread.name}" for thread in self.threads if thread.is_alive()])


current_work: ContextVar[UnitWork | None] = ContextVar("changeover_work", default=None)
"""Set (in a context of its own) while a unit's hook runs, so that what the hook starts is known by name."""


class Attribution:
    """The hooks into one loop and into `threading`, between `install` and `uninstall`.

    Args:
        loop: The worker's loop; leases are released on its thread.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._factory = loop.get_task_factory()
        self._start = threading.Thread.start
        self._submit = ThreadPoolExecutor.submit

    def install(self) -> None:
        """Attribute every task and thread that is started from now on."""
        start, submit = self._thread_start, self._pool_submit

        def thread_start(thread: threading.Thread) -> None:
            start(thread)

        def pool_submit(
            pool: ThreadPoolExecutor, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
        ) -> "Future[T]":
            return submit(pool, function, *args, **kwargs)

        self._loop.set_task_factory(self._make_task)
        threading.Thread.start = thread_start  # type: ignore[method-assign, assignment]
        ThreadPoolExecutor.submit = pool_submit  # type: ignore[method-assign, assignment]

    def uninstall(self) -> None:
        """Undo `install`."""
        threading.Thread.start = self._start  # type: ignore[method-assign]
        ThreadPoolExecutor.submit = self._submit  # type: ignore[method-assign]
        if not self._loop.is_closed():
            self._loop.set_task_factory(self._factory)

    def _make_task(self, loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> Any:
        task = self._factory(loop, work, **options) if self._factory else asyncio.Task(work, loop=loop, **options)
        context: Context | None = options.get("context")
        lease = current_lease.get() if context is None else context.get(current_lease)
        if lease is not None:
            if not task.done():
                _attribute(task, lease)
        elif (unit_work := current_work.get() if context is None else context.get(current_work)) is not None:
            unit_work.tasks.add(task)
        return task

    def _thread_start(self, thread: threading.Thread) -> None:
        lease = _live_lease()
        if _is_pooled(thread):
            self._start(thread)
        elif lease is None:
            if (unit_work := current_work.get()) is not None:
                unit_work.threads.add(thread)
            self._start(thread)
        else:
            self._start_leased(thread, lease.share(LeaseKind.TASK))

    def _start_leased(self, thread: threading.Thread, held: Lease) -> None:
        held.holder = thread
        run, context = thread.run, contextvars.copy_context()

        def leased_run() -> None:
            try:
                context.run(run)
            finally:
                del thread.run
                self._release(held)

        thread.run = leased_run  # type: ignore[method-assign]
        try:
            self._start(thread)
        except BaseException:
            del thread.run
            held.release()
            raise

    def _pool_submit(
        self, pool: ThreadPoolExecutor, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> "Future[T]":
        lease = _live_lease()
        if lease is None:
            return self._submit(pool, function, *args, **kwargs)
        held = lease.share(LeaseKind.TASK)
        try:
            future = self._submit(pool, partial(_under, held, function), *args, **kwargs)
        except BaseException:
            held.release()
            raise
        future.add_done_callback(partial(self._release, held))
        return future

    def _release(self, held: Lease, _future: object = None) -> None:
        try:
            self._loop.call_soon_threadsafe(held.release)
        except RuntimeError:
            held.release()  # the loop is closed: nobody else looks at leases any more


def _attribute(task: asyncio.Future[Any], lease: Lease) -> None:
    if lease.units.retired:
        return
    held = lease.share(LeaseKind.TASK)
    held.holder = task if isinstance(task, asyncio.Task) else None
    task.add_done_callback(held.release)


def _live_lease() -> Lease | None:
    lease = current_lease.get()
    return None if lease is None or lease.units.retired else lease


def _under(held: Lease, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    token = current_lease.set(held)
    try:
        return function(*args, **kwargs)
    finally:
        current_lease.reset(token)


def _is_pooled(thread: threading.Thread) -> bool:
    target = getattr(thread, "_target", None)
    return type(thread).__module__ in POOLS or getattr(target, "__module__", None) in POOLS


def _name_of(task: asyncio.Future[Any]) -> str:
    return f"task {task.get_name()}" if isinstance(task, asyncio.Task) else repr(task)


_installed: list[Attribution] = []


def install(loop: asyncio.AbstractEventLoop) -> None:
    """Attribute every task and thread that is started from now on; once per process.

    Args:
        loop: The worker's loop.
    """
    if _installed:
        raise AssertionError("bug: attribution is installed already")
    attribution = Attribution(loop)
    attribution.install()
    _installed.append(attribution)


def uninstall() -> None:
    """Undo `install`; does nothing when it is not installed."""
    while _installed:
        _installed.pop().uninstall()
