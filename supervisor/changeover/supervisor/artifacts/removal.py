"""What serves without one of its plugins, or everything that needs it."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from changeover.supervisor.artifacts import candidate
from changeover.supervisor.artifacts.content import carried
from changeover.supervisor.artifacts.layout import Contents, Plan, plans_of
from changeover.supervisor.artifacts.problems import Problem, refusals
from changeover.supervisor.core.edits import RemovePlugin
from changeover.supervisor.core.outcome import ScanRefused
from changeover.workers.protocol.document import nearest
from changeover.workers.protocol.refusal import Fault
from changeover.workers.protocol.snapshot import ChannelSpec, PluginSpec, Snapshot, UnitKind


def without_plugin(
    wanted: RemovePlugin, label: str, epoch: int, current: Snapshot, store: Path
) -> Snapshot | ScanRefused:
    """Make what serves, without a plugin and its mounts, the candidate `epoch`.

    Args:
        wanted: Which.
        label: The operator's words for it.
        epoch: The number of the candidate.
        current: What is served.
        store: Where its plugins are.

    Raises:
        ManifestInvalid: A stored artifact is damaged.
        OSError: A stored artifact cannot be read.
    """
    plugin = wanted.plugin
    contents = {unit.key.ref.name: carried(unit, store) for unit in current.units if isinstance(unit, PluginSpec)}
    if plugin not in contents:
        known = ", ".join(sorted(contents)) or "none"
        return ScanRefused(
            refusals([Problem(f"no plugin {plugin} serves{nearest(plugin, contents)}; there are: {known}")])
        )
    plans = [plan for plan in plans_of(current) if plan.owner != plugin]
    if needing := list(_needing(plugin, contents, plans, current.channels)):
        return ScanRefused(refusals(needing))
    left = {name: content for name, content in contents.items() if name != plugin}
    units = candidate.assemble(left, current.application, plans, epoch, current.channels)
    names = {plan.name for plan in plans}
    routes = [route for route in current.routes if route.pipeline in names]
    executes, listen = current.interpreter, current.listen
    return candidate.snapshot(units, routes, epoch, current, label, interpreter=executes, listen=listen)


def _needing(
    plugin: str, contents: Contents, plans: Iterable[Plan], channels: Iterable[ChannelSpec]
) -> Iterator[Problem]:
    """Say everything that stays and needs it."""
    for other in contents.values():
        if other.manifest.id != plugin and plugin in other.manifest.requires:
            wanted = f"{other.name} requires {plugin} {other.manifest.requires[plugin]}".rstrip()
            yield _needed(f"{wanted}: remove {other.manifest.id} first", plugin)
    for plan in plans:
        used = [str(handler) for handler in plan.handlers if handler.plugin == plugin]
        if plan.target is not None and plan.target.kind is UnitKind.SERVICE:
            used += [plan.target.name] if plan.target.name.partition(":")[0] == plugin else []
        for name in used:
            yield _needed(f"pipeline {plan.name} has {name} in it: take it out, and reload", plugin)
    for channel in channels:
        for name in (*channel.initializers, *channel.selectors):
            if name.partition(":")[0] == plugin:
                yield _needed(f"{channel.key.ref.name} selects {name}: let it select another, and reload", plugin)


def _needed(message: str, plugin: str) -> Problem:
    return Problem(message, fault=Fault.CONTRACT, plugin=plugin)
