"""The exclusive work of plugins with `singleton`: it runs here while this worker leads, and else nowhere in it.

Two contents of a plugin never do it at once either: the next one begins when nothing of the one before runs any
more. Tasks are cancelled for that; a thread, which cannot be, is waited for, also when the plugin that started it is
long released.
"""

import asyncio
from collections.abc import Callable, Container, Iterable, Mapping

from changeover.workers.generation.release import OnDegraded
from changeover.workers.generation.units import Unit
from changeover.workers.plugins.lifecycle import State
from changeover.workers.protocol.refusal import Refusal
from changeover.workers.protocol.snapshot import UnitKey, UnitRef
from changeover.workers.serving.attribution import UnitWork


class Exclusive:
    """Begins exclusive work, and ends it.

    Args:
        leads: Whether this worker leads.
        lock: Held by whoever runs hooks after a commit.
        resident: Every unit that lives here.
        serving: The keys of what serves, in build order.
        waiting: Units whose `on_activate` is still to come: whoever runs it asks `admits`.
        on_degraded: Told of what fails.

    Attributes:
        leads: Whether this worker leads.
    """

    def __init__(
        self,
        leads: bool,
        lock: asyncio.Lock,
        resident: Mapping[UnitKey, Unit],
        serving: Callable[[], Mapping[UnitKey, object]],
        waiting: Container[UnitKey],
        on_degraded: OnDegraded,
    ) -> None:
        self.leads = leads
        self._lock = lock
        self._resident = resident
        self._serving = serving
        self._waiting = waiting
        self._on_degraded = on_degraded
        self._left: list[tuple[UnitRef, UnitWork]] = []

    @property
    def wanted(self) -> bool:
        """Whether something that serves has exclusive work."""
        return any(self._resident[key].exclusive for key in self._serving())

    @property
    def runs(self) -> bool:
        """Whether exclusive work runs here, or may still."""
        return any(unit.leads for unit in self._resident.values()) or bool(self._outliving())

    @property
    def idle(self) -> bool:
        """Whether some of it could begin, and has not."""
        return bool(self._due())

    def admits(self, unit: Unit) -> bool:
        """Whether a unit that is to be activated may begin now."""
        return not unit.exclusive or (self.leads and not self._is_done_by_another(unit))

    def _is_done_by_another(self, unit: Unit) -> bool:
        copies = (each for each in self._resident.values() if each.key.ref == unit.key.ref and each is not unit)
        return any(copy.leads for copy in copies) or unit.key.ref in self._outliving()

    def ending(self, units: Iterable[Unit]) -> None:
        """Units are about to end: what of their exclusive work cannot be ended is remembered for as long as it runs."""
        self._left += [(unit.key.ref, work) for unit in units if (work := unit.exclusive_work) is not None]

    def _outliving(self) -> list[UnitRef]:
        """Whose work runs on, of units that have ended."""
        self._left = [(ref, work) for ref, work in self._left if work.alive()]
        return [ref for ref, _ in self._left]

    def _due(self) -> list[Unit]:
        units = (self._resident[key] for key in self._serving() if key not in self._waiting)
        ready = (unit for unit in units if unit.exclusive and unit.lifecycle.state is State.ACTIVE)
        return [unit for unit in ready if not unit.leads and not self._is_done_by_another(unit)]

    async def lead(self) -> None:
        """Begin the exclusive work of what serves, as far as that has not begun; failures are told."""
        async with self._lock:
            self.leads = True
            for unit in self._due():
                self._tell(await unit.activate())

    async def resign(self) -> None:
        """End it, in reverse; failures are told. Whether anything still runs after that says `runs`."""
        async with self._lock:
            self.leads = False
            for unit in [*self._resident.values()][::-1]:
                if unit.exclusive:
                    self._tell(await unit.deactivate())

    def _tell(self, refusal: Refusal | None) -> None:
        if refusal is not None:
            self._on_degraded(refusal)
