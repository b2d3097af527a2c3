"""What a generation publishes about itself."""

from typing import Self

import msgspec

from changeover.workers.protocol.assembly import InitializerDescriptor
from changeover.workers.protocol.snapshot import PipelineSpec, Route, Snapshot, UnitKey


class HandlerEntry(msgspec.Struct, frozen=True):
    """One handler of a pipeline, as it was found in a worker.

    Attributes:
        name: As in configurations (`pricing:discount`).
        direction: `inbound`, `outbound` or `around`.
        phase: Where in a pipeline it belongs, as it declares; empty where it declares nothing.
        owner: The unit whose instance it is bound to; null where it belongs to none.
    """

    name: str
    direction: str
    phase: str = ""
    owner: UnitKey | None = None


class PipelineEntry(msgspec.Struct, frozen=True):
    """One pipeline that a worker runs, read from the objects that requests pass.

    Attributes:
        key: The unit.
        routes: What leads to it.
        handlers: In request order.
        service: The unit that answers; null when nothing does.
        leases: Who holds it now: kind -> how many.
        initializer: Which one put it together, where it speaks a raw protocol at the address that is `key`'s name, and
            `service` is the plugin that answers; empty for HTTP.
        descriptor: What that initializer says of itself; null for HTTP.
    """

    key: UnitKey
    routes: tuple[Route, ...] = ()
    handlers: tuple[HandlerEntry, ...] = ()
    service: UnitKey | None = None
    leases: dict[str, int] = {}
    initializer: str = ""
    descriptor: InitializerDescriptor | None = None

    @property
    def name(self) -> str:
        """What people call it."""
        name = self.key.ref.name
        return raw_pipeline(name, self.initializer) if self.initializer else name


def raw_pipeline(address: str, initializer: str) -> str:
    """What people call the pipeline of a raw protocol: `127.0.0.1:8011 feed:lines`."""
    return f"{address} {initializer}"


class Registry(msgspec.Struct, frozen=True):
    """Units, handlers and routes of one generation, with its epoch: one object, so one read gives both.

    Attributes:
        epoch: The generation's epoch.
        units: Identities of all units, in build order.
        handlers: Pipeline name -> its handlers in request order (`pricing:discount`).
        routes: All routes.
    """

    epoch: int
    units: tuple[UnitKey, ...] = ()
    handlers: dict[str, tuple[str, ...]] = {}
    routes: tuple[Route, ...] = ()

    @classmethod
    def of(cls, snapshot: Snapshot) -> Self:
        """Derive the registry that `snapshot` must have in every worker."""
        return cls(
            epoch=snapshot.epoch,
            units=tuple(unit.key for unit in snapshot.units),
            handlers={
                unit.key.ref.name: tuple(str(handler) for handler in unit.handlers)
                for unit in snapshot.units
                if isinstance(unit, PipelineSpec)
            },
            routes=snapshot.routes,
        )
