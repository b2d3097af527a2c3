"""From a snapshot to a generation: what lives already is shared, what is new is prepared in order.

Nothing that serves is touched. On any error, cancellation included, the units that were begun for
the candidate are ended in reverse before the error goes on.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from changeover.workers.channel.server_channel import ServerChannel
from changeover.workers.generation.assembled_units import ChannelUnit
from changeover.workers.generation.offered import Reach, UnitSets
from changeover.workers.generation.switch import Generation
from changeover.workers.generation.units import Others, Unit
from changeover.workers.message.site import MessageTarget
from changeover.workers.plugins.lifecycle import State
from changeover.workers.plugins.loaded import LoadedPlugin
from changeover.workers.plugins.refused import Refused, Site, refusal_of
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from changeover.workers.protocol.registry import Registry
from changeover.workers.protocol.snapshot import Snapshot, UnitKey, UnitKind, UnitRef, UnitSpec
from changeover.workers.serving.offering import building
from changeover.workers.serving.pipeline import Pipeline
from changeover.workers.serving.router import ApplicationRouter, Target


async def prepare(
    snapshot: Snapshot,
    resident: Mapping[UnitKey, Unit],
    serving: Mapping[str, LoadedPlugin],
    make: Callable[[UnitSpec], Unit],
    begun: list[Unit],
) -> dict[UnitKey, Unit]:
    """Prepare every unit of `snapshot` that does not live yet, in its order.

    Args:
        snapshot: The candidate.
        resident: What lives in this worker.
        serving: The plugins that serve now, by id.
        make: Makes a unit; nothing is begun by it.
        begun: Receives each new unit before anything is done for it, so that it can be ended.

    Returns:
        All units of the candidate, in its order.

    Raises:
        Refused: A unit cannot serve, or the snapshot contradicts itself.
    """
    _consistent(snapshot)
    before = {each.id: each for each in snapshot.before}
    others = Others(snapshot.epoch, serving, before, snapshot.afresh)
    units: dict[UnitKey, Unit] = {}
    with building() as candidate:
        for spec in snapshot.units:
            units[spec.key] = unit = _living(resident.get(spec.key)) or make(spec)
            if spec.key not in resident:
                begun.append(unit)
                await _prepared(unit, others)
            others.add(unit)
            if isinstance(unit.value, LoadedPlugin):
                candidate.add(unit.value.extensions)
    return units


def _living(unit: Unit | None) -> Unit | None:
    """What lives already, provided that it may serve again."""
    if unit is not None and unit.lifecycle.state in (State.DRAINING, State.REMOVED):
        fact = f"bug: {unit.key} is {unit.lifecycle.state.value} here and cannot serve again under the same epoch"
        raise Refused(Refusal(Stage.PREPARE, Fault.INTERNAL, fact, unit=str(unit.key.ref)))
    return unit


async def _prepared(unit: Unit, others: Others) -> None:
    try:
        await unit.prepare(others)
    except Refused:
        raise
    except Exception as error:  # noqa: BLE001 - whatever was overlooked refuses the candidate and not the worker
        raise Refused(refusal_of(error, Site(Stage.PREPARE, str(unit.key.ref)))) from None


def _consistent(snapshot: Snapshot) -> None:
    wrong = list(snapshot.inconsistencies())
    if wrong:
        raise Refused(Refusal(Stage.LINK, Fault.INTERNAL, f"bug: the snapshot contradicts itself: {'; '.join(wrong)}"))


def assemble(snapshot: Snapshot, units: Mapping[UnitKey, Unit], unit_sets: UnitSets) -> Generation:
    """Put routes over prepared units. Runs no user code.

    Args:
        snapshot: The candidate.
        units: All its units.
        unit_sets: Unit sets that serve now: where the same units make one up, it is the same object.
    """
    targets = []
    keys = {unit.key.ref: unit.key for unit in snapshot.units}
    reach = Reach(snapshot, units, unit_sets)
    for route in snapshot.routes:
        key = keys[UnitRef(UnitKind.PIPELINE, route.pipeline)]
        pipeline = units[key].value
        assert isinstance(pipeline, Pipeline)
        targets.append(Target(route, pipeline, reach.unit_set(key, pipeline.counters)))
    values = {key: unit.value for key, unit in units.items()}
    channels = {each.address: each for each in values.values() if isinstance(each, ServerChannel)}
    messages: dict[tuple[str, str], MessageTarget] = {}
    for key, unit in units.items():
        if isinstance(unit, ChannelUnit) and unit.pipelines:
            unit_set = reach.unit_set(key)
            messages |= {(key.ref.name, name): MessageTarget(it, unit_set) for name, it in unit.pipelines.items()}
    return Generation(
        snapshot,
        Registry.of(snapshot),
        ApplicationRouter(targets),
        MappingProxyType(values),
        MappingProxyType(channels),
        MappingProxyType(messages),
        reach.extensions,
    )
