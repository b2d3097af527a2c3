"""Units that were superseded and are still here: in use, unused, or on their way out."""

import enum
from collections.abc import Iterable

from changeover.workers.protocol.snapshot import UnitKey


class Standing(enum.Enum):
    """How a superseded unit stands."""

    DRAINING = "draining"
    """In use, or not known to be unused."""
    DRAINED = "drained"
    """Unused here; the supervisor says when it goes, because no worker must still need it."""
    RELEASING = "releasing"
    """On its way out."""


class Residency:
    """What a worker still holds of generations that it served, the oldest first."""

    __slots__ = ("_standing",)

    def __init__(self) -> None:
        self._standing: dict[UnitKey, Standing] = {}

    def superseded(self, units: Iterable[UnitKey]) -> None:
        """A generation serves that lacks `units`, and the one before had them."""
        for unit in units:
            self._standing.setdefault(unit, Standing.DRAINING)

    def unused(self, units: Iterable[UnitKey]) -> None:
        """Nothing holds `units`, and nothing can."""
        for unit in units:
            self._standing[unit] = Standing.DRAINED

    def to_release(self, units: Iterable[UnitKey]) -> tuple[UnitKey, ...]:
        """Those of `units` that can go now: unused, and not going already."""
        going = tuple(unit for unit in units if self._standing.get(unit) is Standing.DRAINED)
        for unit in going:
            self._standing[unit] = Standing.RELEASING
        return going

    def absent(self, units: Iterable[UnitKey]) -> tuple[UnitKey, ...]:
        """Those of `units` that are not here, or not any more."""
        return tuple(unit for unit in units if unit not in self._standing)

    def released(self, units: Iterable[UnitKey]) -> None:
        """`units` are gone."""
        for unit in units:
            self._standing.pop(unit, None)

    @property
    def drained(self) -> tuple[UnitKey, ...]:
        """What is unused, and not on its way out."""
        return tuple(unit for unit, standing in self._standing.items() if standing is Standing.DRAINED)

    def all(self) -> tuple[UnitKey, ...]:
        """Everything that is still here."""
        return tuple(self._standing)
