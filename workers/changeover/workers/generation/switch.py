"""The switch: which generation a request that is dispatched now belongs to.

Order of writes (Spark's hot-swap timing): build aside; registry; pointer; observable epoch.
Registry and epoch are fields of the generation, so one pointer makes both visible at once, and
an error before the pointer changes leaves everything as it was.

Order of reads: cell, one attribute load, one lease. No lock, no await, no global counter.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from changeover.workers.channel.server_channel import ServerChannel
from changeover.workers.generation.cell import CommitCell
from changeover.workers.message.site import MessageTarget
from changeover.workers.protocol.registry import Registry
from changeover.workers.protocol.snapshot import EMPTY, Snapshot, UnitKey
from changeover.workers.serving.lease import UnitSet
from changeover.workers.serving.offering import NONE, Extensions, here
from changeover.workers.serving.router import EMPTY_ROUTER, ApplicationRouter


@dataclass(frozen=True, slots=True)
class Generation:
    """What one epoch serves in this worker.

    Attributes:
        snapshot: What the supervisor sent.
        registry: What it publishes about itself.
        router: Leads a request to a pipeline and its unit set.
        units: Every unit's live instance, by identity.
        channels: What comes before the first message, by address; an address without anything is not among them.
        messages: What answers raw protocols, by address and initializer.
        extensions: What its plugins offer at extension points.
        epoch: The number it goes by.
    """

    snapshot: Snapshot
    registry: Registry
    router: ApplicationRouter
    units: Mapping[UnitKey, object] = field(default_factory=lambda: MappingProxyType({}))
    channels: Mapping[str, ServerChannel] = field(default_factory=lambda: MappingProxyType({}))
    messages: Mapping[tuple[str, str], MessageTarget] = field(default_factory=lambda: MappingProxyType({}))
    extensions: Extensions = field(default_factory=lambda: NONE)

    epoch: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "epoch", self.registry.epoch)  # not looked up at every request

    @property
    def unit_sets(self) -> frozenset[UnitSet]:
        """The unit sets of its routes and raw protocols."""
        return self.router.unit_sets | {target.unit_set for target in self.messages.values()}


NOTHING = Generation(EMPTY, Registry(epoch=0), EMPTY_ROUTER)
"""Before the first commit: an empty registry and a pipeline of length 0."""

Activation = Callable[[Generation, Generation], None]
"""Told (old, new) right after the pointer changed; runs no user code and does not fail."""


class Switch:
    """Holds the current and the prepared generation, and moves between two requests.

    Args:
        cell: Says which epoch is committed.
        on_activated: Told of every change of the pointer.
        on_stranded: Told, once per epoch, that the cell names one that is neither served nor prepared here.

    Attributes:
        current: The generation that serves.
        prepared: The candidate that would serve if it were committed.
    """

    __slots__ = ("_cell", "_on_activated", "_on_stranded", "_stranded", "current", "prepared")

    def __init__(
        self, cell: CommitCell, on_activated: Activation, on_stranded: Callable[[int], None] | None = None
    ) -> None:
        self._cell = cell
        self._on_activated = on_activated
        self._on_stranded = on_stranded
        self._stranded = 0
        self.current = NOTHING
        self.prepared: Generation | None = None
        here.enter()

    def admit(self) -> Generation | None:
        """The generation of a request that is dispatched now; None when it must not be dispatched.

        None means that the committed epoch is neither served nor prepared here: this worker
        missed a cutover, and whoever asks keeps the request and asks for the snapshot.
        """
        epoch = self._cell.read()
        if epoch == self.current.epoch:
            return self.current
        return self._follow(epoch)

    def _follow(self, epoch: int) -> Generation | None:
        if self.prepared is None or self.prepared.epoch != epoch:
            if self._on_stranded is not None and self._stranded != epoch:
                self._stranded = epoch
                self._on_stranded(epoch)
            return None
        self.activate()
        return self.current

    def activate(self) -> None:
        """Make the prepared generation the current one. Runs no user code."""
        if self.prepared is None:
            raise AssertionError("bug: activate without a prepared generation")
        old, self.current, self.prepared = self.current, self.prepared, None
        here.serves = self.current.extensions
        self._on_activated(old, self.current)

    def discard(self) -> Generation | None:
        """Forget the prepared generation and hand it back to be unwound."""
        dropped, self.prepared = self.prepared, None
        return dropped
