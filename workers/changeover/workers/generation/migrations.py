"""What one worker migrates for all, before a candidate is decided, and how that is undone."""

import asyncio
from collections.abc import Mapping

from changeover.workers.generation.plugin_unit import PluginUnit
from changeover.workers.generation.release import OnDegraded
from changeover.workers.generation.switch import Generation
from changeover.workers.generation.units import Unit
from changeover.workers.plugins.refused import Refused
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from changeover.workers.protocol.snapshot import UnitKey


class Migrations:
    """Runs `migrate` and `unmigrate` of generations that are prepared.

    Args:
        lock: Held by whoever builds or discards.
        prepared: Those generations, by epoch.
        resident: Every unit that lives here.
        on_degraded: Told of what cannot be undone.
    """

    def __init__(
        self,
        lock: asyncio.Lock,
        prepared: Mapping[int, Generation],
        resident: Mapping[UnitKey, Unit],
        on_degraded: OnDegraded,
    ) -> None:
        self._lock = lock
        self._prepared = prepared
        self._resident = resident
        self._on_degraded = on_degraded
        self._untried: tuple[int, frozenset[UnitKey]] = (0, frozenset())

    def of(self, generation: Generation) -> tuple[str, ...]:
        """The plugins of a generation that migrate something, by id, in build order."""
        return tuple(unit.key.ref.name for unit in self._units(generation))

    def _units(self, generation: Generation) -> list[PluginUnit]:
        units = (self._resident.get(key) for key in generation.units)
        return [unit for unit in units if isinstance(unit, PluginUnit) and unit.migrates_from is not None]

    async def migrate(self, epoch: int) -> Refusal | None:
        """Run `migrate` of one plugin after the other, each after those that it requires; stop at a failure."""
        async with self._lock:
            if (generation := self._prepared.get(epoch)) is None:
                return _gone(epoch)
            units = self._units(generation)
            for place, unit in enumerate(units, 1):
                self._untried = (epoch, frozenset(each.key for each in units[place:]))
                try:
                    await unit.migrate()
                except Refused as refused:
                    return refused.refusal
        return None

    async def unmigrate(self, epoch: int) -> tuple[str, ...]:
        """Run `unmigrate` in reverse, of all whose `migrate` may have begun, here or in another worker.

        Returns:
            What could not be undone, and why: a line for each.
        """
        failures: list[Refusal] = []
        async with self._lock:
            if (generation := self._prepared.get(epoch)) is None:
                self._on_degraded(_gone(epoch))
                return (_gone(epoch).summary,)
            tried, untried = self._untried
            skipped = untried if tried == epoch else frozenset()
            for unit in reversed(self._units(generation)):
                if unit.key not in skipped and (failed := await unit.unmigrate()) is not None:
                    self._on_degraded(failed)
                    failures.append(failed)
        return tuple(f"{failed.unit} {failed.hook}: {failed.summary}" for failed in failures)


def _gone(epoch: int) -> Refusal:
    return Refusal(Stage.PREPARE, Fault.INTERNAL, f"epoch {epoch} is not prepared here any more")
