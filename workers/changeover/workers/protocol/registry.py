"""What a generation publishes about itself."""

from typing import Self

import msgspec

from changeover.workers.protocol.snapshot import PipelineSpec, Route, Snapshot, UnitKey


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
