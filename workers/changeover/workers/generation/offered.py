"""What a generation's plugins offer at extension points, and which of its units look there.

What code will look up is not known before it runs. So whatever may ask holds every plugin that
offers something, with all that these require: a look-up late in a request still finds its own
generation. None of them is a dependency: a changed one makes a new unit set, and nothing else.
"""

from collections.abc import Iterator, Mapping

from changeover.workers.generation.units import AnsweringUnit, Unit
from changeover.workers.plugins.loaded import LoadedPlugin
from changeover.workers.protocol.snapshot import Snapshot, UnitKey, UnitRef
from changeover.workers.serving.asgi import Application
from changeover.workers.serving.counters import PipelineCounters
from changeover.workers.serving.lease import UnitSet
from changeover.workers.serving.offering import collected
from changeover.workers.serving.wsgi import WsgiApplication

UnitSets = Mapping[frozenset[UnitKey], UnitSet]


class Reach:
    """Makes the unit sets of one generation.

    Args:
        snapshot: The generation.
        units: All its units, prepared.
        unit_sets: Unit sets that serve now: where the same units make one up, it is the same object.

    Attributes:
        extensions: What its plugins offer.
    """

    def __init__(self, snapshot: Snapshot, units: Mapping[UnitKey, Unit], unit_sets: UnitSets) -> None:
        self._below = dict(_below(snapshot))
        self._sets = dict(unit_sets)
        plugins = {key: unit.value for key, unit in units.items() if isinstance(unit.value, LoadedPlugin)}
        self.extensions = collected(plugin.extensions for plugin in plugins.values())
        offering = [self._below[key] for key, plugin in plugins.items() if plugin.extensions]
        self._offering: frozenset[UnitKey] = frozenset().union(*offering)
        self._asking = {key for key, unit in units.items() if _may_ask(unit)}

    def unit_set(self, key: UnitKey, counters: PipelineCounters | None = None) -> UnitSet:
        """What is held for whoever uses a unit."""
        below = self._below[key]
        asks = not below.isdisjoint(self._asking)
        keys = below | self._offering if asks else below
        return self._sets.setdefault(keys, UnitSet(keys, counters, self.extensions if asks else None))


def _may_ask(unit: Unit) -> bool:
    """Whether code of a unit may ask at extension points: of an application nobody can know."""
    if isinstance(unit.value, LoadedPlugin):
        return bool(unit.value.work.asks)
    return isinstance(unit, AnsweringUnit) and isinstance(unit.value, Application | WsgiApplication)


def _below(snapshot: Snapshot) -> Iterator[tuple[UnitKey, frozenset[UnitKey]]]:
    """Each unit with everything that it requires, directly or not."""
    reach: dict[UnitRef, frozenset[UnitKey]] = {}
    for unit in snapshot.units:
        below = [reach[ref] for ref in unit.requires]
        reach[unit.key.ref] = frozenset({unit.key}).union(*below)
        yield unit.key, reach[unit.key.ref]
