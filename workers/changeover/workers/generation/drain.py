"""Drains: which units that no longer serve are still held, and by which leases.

Bookkeeping only: no user code, no waiting. Every unit is told as drained exactly once, on its own,
in whatever order its last lease goes; nothing that happens later waits for it.
"""

import asyncio
import contextvars
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping

from changeover.workers.generation.units import Unit
from changeover.workers.protocol.snapshot import UnitKey, UnitRef
from changeover.workers.serving.lease import Lease, UnitSet

OnDrained = Callable[[tuple[UnitKey, ...]], None]


def noted(resident: Mapping[UnitKey, Unit], on_drained: OnDrained) -> OnDrained:
    """Have units note that they are drained before somebody is told of them.

    Args:
        resident: Every unit that lives here.
        on_drained: Told then.
    """

    def tell(keys: tuple[UnitKey, ...]) -> None:
        for key in keys:
            resident[key].drained()
        on_drained(keys)

    return tell


class Drains:
    """Follows units from the moment at which the serving generation lacks them.

    Args:
        on_drained: Told once of each unit that no lease holds any more.
    """

    def __init__(self, on_drained: OnDrained) -> None:
        self._on_drained = on_drained
        self._sets: dict[UnitSet, int] = {}
        self._draining: dict[UnitKey, None] = {}
        self._told: set[UnitKey] = set()
        self._freed: asyncio.Event | None = None

    def begin(self, units: Iterable[UnitKey], unit_sets: Iterable[UnitSet]) -> None:
        """Follow units, and the unit sets that no route leads to any more. `sweep` tells of those that are free."""
        self._draining |= dict.fromkeys(units)
        for unit_set in unit_sets:
            self._sets.setdefault(unit_set, 0)
            unit_set.watch(self._idle)

    def _idle(self, unit_set: UnitSet) -> None:
        self._sets[unit_set] += 1
        self.sweep()
        freed, self._freed = self._freed, None
        if freed is not None:
            freed.set()

    def sweep(self) -> None:
        """Tell of every unit that is free and was not told of.

        Told in a context of its own: the last lease goes in its holder's, and a task that is started there to
        release the units would hold them.
        """
        free = tuple(key for key in self._draining if key not in self._told and not self.held(key))
        if free:
            self._told.update(free)
            contextvars.Context().run(self._on_drained, free)

    def held(self, key: UnitKey) -> bool:
        """Whether a lease holds a unit that drains."""
        return any(unit_set.leases and key in unit_set.keys for unit_set in self._sets)

    def freed(self, keys: Collection[UnitKey]) -> int:
        """How often the last lease on any of these units has gone: it grows whenever one was held meanwhile."""
        return sum(times for unit_set, times in self._sets.items() if not unit_set.keys.isdisjoint(keys))

    async def free(self, keys: Collection[UnitKey]) -> None:
        """Return once no lease holds any of `keys`: at once, unless one was taken since they were told."""
        while any(map(self.held, keys)):
            if self._freed is None:
                self._freed = asyncio.Event()
            await self._freed.wait()

    @property
    def draining(self) -> tuple[UnitKey, ...]:
        """Units that drain or have drained and are not released, oldest cutover first."""
        return tuple(self._draining)

    @property
    def unit_sets(self) -> frozenset[UnitSet]:
        """The unit sets that no route leads to any more, and that are not released."""
        return frozenset(self._sets)

    def leases_over(self, bound: int, resident: Iterable[UnitKey]) -> list[Lease]:
        """The leases on the oldest copies of units that have more than `bound` copies here, oldest first.

        Args:
            bound: Most copies of one unit, the serving one included.
            resident: Every unit that lives here.
        """
        copies: Counter[UnitRef] = Counter(key.ref for key in resident)
        surplus: set[UnitKey] = set()
        for key in self._draining:
            if copies[key.ref] > bound:
                copies[key.ref] -= 1
                surplus.add(key)
        held = [lease for unit_set in self._sets if unit_set.keys & surplus for lease in unit_set.live_leases()]
        return sorted(held, key=lambda lease: lease.since)

    def finish(self, units: Iterable[UnitKey]) -> None:
        """The units are about to be released: what held them takes no further lease."""
        gone = set(units)
        for unit_set in [each for each in self._sets if each.keys & gone]:
            unit_set.retire()
            del self._sets[unit_set]
        for key in gone:
            self._draining.pop(key, None)
            self._told.discard(key)
