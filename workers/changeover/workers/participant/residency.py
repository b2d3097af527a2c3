"""Units that were superseded and are still here: in use, unused, or on their way out."""

from collections.abc import Iterable

from changeover.workers.protocol.snapshot import UnitKey


class Residency:
    """What a worker still holds of generations that it served.

    Attributes:
        draining: In use, or not known to be unused.
        drained: Unused here; the supervisor says when they go, because no worker must still need them.
        releasing: On their way out.
    """

    __slots__ = ("drained", "draining", "releasing")

    def __init__(self) -> None:
        self.draining: set[UnitKey] = set()
        self.drained: set[UnitKey] = set()
        self.releasing: set[UnitKey] = set()

    def activated(self, draining: Iterable[UnitKey]) -> None:
        """Another generation serves; `draining` is all that it lacks and that is still here."""
        self.draining.update(unit for unit in draining if unit not in self.drained and unit not in self.releasing)

    def unused(self, units: Iterable[UnitKey]) -> None:
        """Nothing holds `units`, and nothing can."""
        for unit in units:
            self.draining.discard(unit)
            self.drained.add(unit)

    def to_release(self, units: Iterable[UnitKey]) -> tuple[UnitKey, ...]:
        """Those of `units` that can go now: unused, and not going already."""
        going = tuple(unit for unit in units if unit in self.drained)
        self.drained.difference_update(going)
        self.releasing.update(going)
        return going

    def absent(self, units: Iterable[UnitKey]) -> tuple[UnitKey, ...]:
        """Those of `units` that are not here, or not any more."""
        return tuple(unit for unit in units if unit not in self.all())

    def released(self, units: Iterable[UnitKey]) -> None:
        """`units` are gone."""
        self.releasing.difference_update(units)

    def all(self) -> frozenset[UnitKey]:
        """Everything that is still here."""
        return frozenset(self.draining | self.drained | self.releasing)
