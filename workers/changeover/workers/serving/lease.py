"""Leases on unit sets: what keeps a unit alive while somebody uses it.

A unit set is made when a generation is built and shared between generations while nothing in it
changes. Taking a lease is one set insertion; nothing global is touched, so the read path costs
the same while a cutover runs.

Leases are taken from any thread and released on the loop's thread.
"""

import asyncio
import enum
import threading
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any, Self

import msgspec

from changeover.workers.protocol.snapshot import UnitKey
from changeover.workers.serving.counters import PipelineCounters
from changeover.workers.serving.offering import Extensions
from changeover.workers.serving.waiting import Waiting


class Taskless(ABC):
    """What goes on in a thread and without a task, for as long as it has nothing to await."""

    __slots__ = ()

    @property
    @abstractmethod
    def thread_came(self) -> int:
        """When it had its thread, CLOCK_MONOTONIC in nanoseconds; 0 while it waits for one."""

    @abstractmethod
    def follow(self) -> asyncio.Task[Any]:
        """Go on in a task, which holds the lease from now on."""


class Ending(str):
    """Why the server ends the task that holds a lease: the message of its cancellation, which others may hear too."""

    __slots__ = ("_task",)

    _task: weakref.ref[asyncio.Task[Any]]

    @classmethod
    def of(cls, task: asyncio.Task[Any], reason: str) -> Self:
        """That `task` is ended."""
        ending = cls(reason)
        ending._task = weakref.ref(task)
        return ending

    def ends(self, task: asyncio.Task[Any] | None) -> bool:
        """Whether it is that task which is ended, and not one that it waits for."""
        return task is not None and self._task() is task


Holder = asyncio.Task[Any] | threading.Thread | Taskless


class LeaseKind(enum.Enum):
    """Who holds on: each kind has a drain deadline of its own."""

    HTTP = "http"
    STREAM = "stream"
    WEBSOCKET = "websocket"
    TASK = "task"


class Lease(msgspec.Struct, eq=False):
    """One hold on a unit set, until `release`.

    Attributes:
        units: The unit set that is held.
        kind: Who holds it; an HTTP lease becomes STREAM with the second piece of a body, TASK after its last byte.
        epoch: The generation that the holder was dispatched to.
        path: What it serves, for people.
        since: When it was taken; CLOCK_MONOTONIC in nanoseconds.
        holder: The task or thread that holds it, or what gets a task when it needs one; None for work that waits in a
            thread pool.
        under: That of the request which started this work, or which this one goes on under; None for a request's own.
    """

    units: "UnitSet"
    kind: LeaseKind
    epoch: int
    path: str
    since: int
    holder: Holder | None = None
    under: "Lease | None" = None
    _waiting: Waiting | None = None

    @property
    def waiting(self) -> Waiting:
        """What its request waits for: made for who asks first, as most wait for nothing."""
        waiting = self._waiting
        if waiting is None:
            waiting = self._waiting = Waiting()
        return waiting

    @property
    def waits(self) -> bool:
        """Whether it is of a request that waits for a thread, so that nothing of it can hang yet."""
        if isinstance(self.holder, Taskless):
            return self.holder.thread_came == 0
        return self._waiting is not None and self._waiting.calls > 0

    @property
    def reads(self) -> bool:
        """Whether something of its request waits for its client: for a piece of the body that has not come."""
        return self._waiting is not None and self._waiting.readers > 0

    @property
    def resumed(self) -> int:
        """When what its request needs came last, a thread or a piece of the body; 0 = neither did."""
        if isinstance(self.holder, Taskless):
            return self.holder.thread_came
        return 0 if self._waiting is None else self._waiting.resumed

    @property
    def owes(self) -> bool:
        """Whether it is of a request that has no response yet, and not because it waits."""
        return self.kind is LeaseKind.HTTP and not self.waits and not self.reads

    @property
    def owes_since(self) -> int:
        """When the latest came of what its request needs; as `since`."""
        return max(self.since, self.resumed)

    @property
    def request(self) -> "Lease":
        """That of the request which it is for, as what goes on for longer than a generation holds it now."""
        request = self
        while request.under is not None:
            request = request.under
        if request is not self:
            self.under = request  # whoever stays need not keep those in between
        return request

    @property
    def left_behind(self) -> bool:
        """Whether it is of work whose request is over; a request's own never is."""
        request = self.request
        return request is not self and request not in request.units.leases

    def go_on_under(self, lease: "Lease") -> None:
        """Its request goes on under another one, and so does what it has started."""
        self.under = lease

    def share(self, kind: LeaseKind) -> "Lease":
        """Take a further lease on the same unit set, for work that may outlive this one."""
        lease = self.units.lease(kind, self.epoch, self.path, time.monotonic_ns())
        lease.under = self.request
        return lease

    def release(self, _done: object = None) -> None:
        """Let go. A lease that was let go already stays so. May be used as a task's done callback."""
        units = self.units
        try:
            units.leases.remove(self)
        except KeyError:
            return
        self.holder = None
        if units.on_idle is not None and not units.leases:
            units.on_idle(units)

    def end(self, reason: str) -> bool:
        """Ask the holder to let go soon: a task is cancelled, with `reason` as the cancellation's message.

        Returns:
            Whether it could be asked; a thread cannot.
        """
        holder = self.holder.follow() if isinstance(self.holder, Taskless) else self.holder
        if not isinstance(holder, asyncio.Task) or holder.done():
            return False
        # Cancelled before its first step, a coroutine never runs, and so would neither answer nor release.
        holder.get_loop().call_soon(holder.cancel, Ending.of(holder, reason))
        return True

    def __repr__(self) -> str:
        return f"<Lease {self.kind.value} {self.path} on epoch {self.epoch}>"


class UnitSet:
    """The immutable set of units that a route can reach, and who holds them.

    Args:
        keys: The units.
        counters: Counts for the one pipeline among them.
        extensions: What the plugins among them offer at extension points, where every plugin that offers something is
            among them.

    Attributes:
        keys: The units.
        counters: Counts for the one pipeline among them.
        extensions: What is offered at extension points; None where those who offer it are not held.
        leases: Leases held now.
        on_idle: Called whenever the last lease goes; None as long as the set is part of a serving generation.
        retired: Whether its units were released: what still runs by then is not attributed to it any more.
    """

    __slots__ = ("counters", "extensions", "keys", "leases", "on_idle", "retired")

    def __init__(
        self,
        keys: Iterable[UnitKey],
        counters: PipelineCounters | None = None,
        extensions: Extensions | None = None,
    ) -> None:
        self.keys = frozenset(keys)
        self.counters = counters or PipelineCounters()
        self.extensions = extensions
        self.leases: set[Lease] = set()
        self.retired = False
        self.on_idle: Callable[[UnitSet], None] | None = None

    def lease(self, kind: LeaseKind, epoch: int, path: str, since: int) -> Lease:
        """Hold the units until the lease is released."""
        lease = Lease(self, kind, epoch, path, since)
        self.leases.add(lease)
        return lease

    def live_leases(self) -> list[Lease]:
        """The leases held now, oldest first: a copy, for views and for choosing what ends."""
        return sorted(self.leases.copy(), key=_age)

    def watch(self, on_idle: Callable[["UnitSet"], None]) -> None:
        """Call `on_idle` whenever the last lease goes; set once the set is part of no serving generation."""
        self.on_idle = on_idle

    def retire(self) -> None:
        """Its units are about to be released: nothing is attributed to it from now on."""
        self.retired = True
        self.on_idle = None
        self.extensions = None  # a context that somebody keeps must not keep what is behind them


def _age(lease: Lease) -> int:
    return lease.since


current_lease: ContextVar[Lease | None] = ContextVar("changeover_lease", default=None)
"""The lease under which the running code works; tasks and threads that it starts inherit the hold."""
