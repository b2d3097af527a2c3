"""Leases on unit sets: what keeps a unit alive while somebody uses it.

A unit set is made when a generation is built and shared between generations while nothing in it
changes. Taking a lease is one set insertion; nothing global is touched, so the read path costs
the same while a cutover runs.
"""

import enum
import time
from collections.abc import Callable, Iterable
from contextvars import ContextVar

from changeover.workers.protocol.snapshot import UnitKey


class LeaseKind(enum.Enum):
    """Who holds on: each kind has a drain deadline of its own."""

    HTTP = "http"
    STREAM = "stream"
    WEBSOCKET = "websocket"
    TASK = "task"


class Lease:
    """One hold on a unit set, until `release`.

    Attributes:
        units: The unit set that is held.
        kind: Who holds it.
        epoch: The generation that the holder was dispatched to.
        path: What it serves, for people.
        since: When it was taken, CLOCK_MONOTONIC in nanoseconds.
    """

    __slots__ = ("epoch", "kind", "path", "since", "units")

    def __init__(self, units: "UnitSet", kind: LeaseKind, epoch: int, path: str, since: int) -> None:
        self.units = units
        self.kind = kind
        self.epoch = epoch
        self.path = path
        self.since = since

    def share(self, kind: LeaseKind) -> "Lease":
        """Take a further lease on the same unit set, for work that may outlive this one."""
        return self.units.lease(kind, self.epoch, self.path, time.monotonic_ns())

    def release(self) -> None:
        """Let go. A lease that was let go already stays so."""
        self.units.release(self)


class UnitSet:
    """The immutable set of units that a route can reach, and who holds them.

    Attributes:
        keys: The units.
        leases: Leases held now.
    """

    __slots__ = ("_on_idle", "keys", "leases")

    def __init__(self, keys: Iterable[UnitKey]) -> None:
        self.keys = frozenset(keys)
        self.leases: set[Lease] = set()
        self._on_idle: Callable[[UnitSet], None] | None = None

    def lease(self, kind: LeaseKind, epoch: int, path: str, since: int) -> Lease:
        """Hold the units until the lease is released."""
        lease = Lease(self, kind, epoch, path, since)
        self.leases.add(lease)
        return lease

    def release(self, lease: Lease) -> None:
        """Take a lease back; idempotent."""
        self.leases.discard(lease)
        if self._on_idle is not None and not self.leases:
            self._on_idle(self)

    def watch(self, on_idle: Callable[["UnitSet"], None]) -> None:
        """Call `on_idle` whenever the last lease goes; set once the set is part of no serving generation."""
        self._on_idle = on_idle


current_lease: ContextVar[Lease | None] = ContextVar("changeover_lease", default=None)
"""The lease under which the running code works; tasks and threads that it starts inherit the hold."""
