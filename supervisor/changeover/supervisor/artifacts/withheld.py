"""What lies on disk and is held after a rollback or a removal: what serves stays in its place. Pure."""

from collections.abc import Collection, Iterable, Mapping

import msgspec

from changeover.supervisor.artifacts.content import Content
from changeover.supervisor.artifacts.layout import Layout, Plan, plans_of
from changeover.supervisor.core.entries import Held, Quarantined
from changeover.supervisor.core.holding import ABSENT, contents, differing, in_force, pipeline_content, plugin_content
from changeover.supervisor.core.quarantine import skipped
from changeover.supervisor.core.scanning import quarantined
from changeover.workers.protocol.snapshot import EMPTY, PluginSpec, Snapshot, UnitKind, UnitRef

WHY = "held; change it, or --force"


def held_plugins(
    held: Iterable[Held], serving: Mapping[str, PluginSpec], fresh: Mapping[str, Content], fixed: Iterable[str]
) -> dict[str, str]:
    """Find the plugins whose content on disk is held.

    Args:
        held: What rollbacks set aside.
        serving: Plugin id -> what serves.
        fresh: Plugin id -> what lies on disk.
        fixed: Plugins that are not taken from disk anyway, or cannot be.

    Returns:
        Plugin id -> why it is not taken, for people.
    """
    decided, found = set(fixed), {}
    for each in held:
        plugin = each.ref.name
        if each.ref.kind is UnitKind.PLUGIN and plugin not in decided:
            content = fresh.get(plugin)
            lies = plugin_content(content.artifact, content.config) if content else ABSENT
            if lies == each.content:
                found[plugin] = _worded(content, serving.get(plugin), plugin)
    return found


def _worded(content: Content | None, spec: PluginSpec | None, plugin: str) -> str:
    if content is None:
        return f"{plugin} (removed on disk, {WHY})"
    if spec is not None and spec.artifact == content.artifact:
        return f"{content.name} (other configuration, {WHY})"
    return f"{content.name} ({WHY})"


def quarantined_plugins(
    quarantine: tuple[Quarantined, ...],
    serving: Mapping[str, PluginSpec],
    fresh: Mapping[str, Content],
    fixed: Iterable[str],
    exempt: Collection[str],
) -> dict[str, str]:
    """Find the plugins whose content on disk was refused, together with what they require.

    Args:
        quarantine: What was refused.
        serving: Plugin id -> what serves.
        fresh: Plugin id -> what lies on disk.
        fixed: Plugins that are not taken from disk anyway.
        exempt: Plugins that are not rehearsed.

    Returns:
        Plugin id -> why it is not taken, for people.
    """
    now = {name: plugin_content(spec.artifact, spec.config) for name, spec in serving.items()}
    lies = {name: plugin_content(each.artifact, each.config) for name, each in fresh.items()}
    wanted = lies | {name: now[name] for name in fixed if name in now}
    return {name: quarantined(each) for name, each in skipped(quarantine, now, wanted, exempt).items()}


def without_held(
    layout: Layout, held: Iterable[Held], plugins: Mapping[str, Content], current: Snapshot | None
) -> tuple[Layout, tuple[str, ...]]:
    """Leave the pipelines as they serve whose wanted content is held.

    Args:
        layout: What is wanted.
        held: What rollbacks set aside.
        plugins: Every plugin that the candidate has.
        current: What is served; None when nothing is.

    Returns:
        What is left of it, and what is not taken, for people.
    """
    before = contents(current or EMPTY)
    after = {UnitRef(UnitKind.PLUGIN, name): plugin_content(it.artifact, it.config) for name, it in plugins.items()}
    changed = frozenset(ref for ref in differing(before, after) if ref.kind is UnitKind.PLUGIN)
    wanted = {plan.name: pipeline_content(plan.handlers, plan.target, plan.routes) for plan in layout.plans}
    names = {
        each.ref.name
        for each in in_force(held, changed)
        if each.ref.kind is UnitKind.PIPELINE and wanted.get(each.ref.name, ABSENT) == each.content
    }
    serving: tuple[Plan, ...] = tuple(plans_of(current)) if current else ()
    plans = (
        *(plan for plan in layout.plans if plan.name not in names),
        *(plan for plan in serving if plan.name in names),
    )
    notes = tuple(f"not taken: pipeline {name} ({WHY})" for name in sorted(names))
    return msgspec.structs.replace(layout, plans=plans), notes
