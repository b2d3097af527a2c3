"""Loads plugins of a candidate once more, as a worker does that is started later: by `on_load`, with nothing beside.

Where a plugin has an `on_reload` of its own, beside what it replaces nobody saw it loaded so. What fails here may do so
because this process had it before, in tables of other libraries say: then one that did not has to tell.
"""

from pathlib import Path

import msgspec

from changeover.workers.generation.cell import CommitCell
from changeover.workers.generation.switch import Generation, Switch
from changeover.workers.generation.workshop import Workshop
from changeover.workers.plugins.api import overrides
from changeover.workers.plugins.loaded import LoadedPlugin
from changeover.workers.plugins.rigid import never_swapped
from changeover.workers.plugins.witness import Witness
from changeover.workers.protocol.refusal import Refusal
from changeover.workers.protocol.rehearsal import RehearsalOrder
from changeover.workers.protocol.snapshot import EMPTY, PluginSpec, Snapshot, UnitKey, UnitRef
from changeover.workers.serving.offering import here


def unproved(built: Generation, order: RehearsalOrder) -> frozenset[UnitRef]:
    """The plugins of a candidate that were loaded in another way than by workers that are started later."""
    if order.goes_back:
        return frozenset()
    replaced = {unit.key.ref for unit in (order.current or EMPTY).units}
    units = (unit for key, unit in built.units.items() if key.ref in replaced and key in order.fresh())
    return frozenset(unit.spec.key.ref for unit in units if isinstance(unit, LoadedPlugin) and _reloads(unit))


def _reloads(plugin: LoadedPlugin) -> bool:
    return not plugin.is_copy and plugin.instance is not None and overrides(plugin.instance, "on_reload")


async def loads(
    wanted: frozenset[UnitRef], candidate: Snapshot, order: RehearsalOrder, witness: Witness, cell: CommitCell
) -> bool:
    """Load plugins with what they require, and end them; whether they load.

    What no process has twice is not loaded a second time here.

    Args:
        wanted: The plugins.
        candidate: What can be rehearsed of it; nothing of it is loaded now.
        order: What is rehearsed.
        witness: Hears what is going on.
        cell: A commit cell that nobody else reads.
    """
    specs = {unit.key.ref: unit for unit in candidate.units if isinstance(unit, PluginSpec)}
    left, needed = list(wanted), set[UnitRef]()
    while left:
        if (ref := left.pop()) in specs and ref not in needed:
            needed.add(ref)
            left += specs[ref].requires
    plugins = tuple(spec for ref, spec in specs.items() if ref in needed)
    if not never_swapped(candidate, Path(order.store)).isdisjoint(spec.key for spec in plugins):
        return False
    workshop = Workshop(
        Path(order.store),
        hook_deadline=order.settings.hook,
        on_drained=_nothing,
        on_degraded=_nothing,
        stage="preflight",
        witness=witness,
    )
    Switch(cell, workshop.activated)
    built = await workshop.build(msgspec.structs.replace(candidate, units=plugins, routes=()))
    await workshop.close()
    here.leave()
    return not isinstance(built, Refusal)


def _nothing(_: tuple[UnitKey, ...] | Refusal) -> None:
    """What ends here was seen to end before."""
