"""Which plugins cannot be replaced in the processes that live, so that what changes them is a roll."""

from collections.abc import Mapping, Set
from pathlib import Path

import msgspec

from changeover.supervisor.artifacts.candidate import plugins_before
from changeover.supervisor.artifacts.content import Content
from changeover.workers.plugins.rigid import needs_roll, stored_needs_roll
from changeover.workers.protocol.snapshot import PluginSpec, Snapshot


def rolling(
    made: Snapshot,
    current: Snapshot | None,
    store: Path,
    contents: Mapping[str, Content],
    files: Mapping[str, Mapping[str, bytes]],
) -> dict[str, str]:
    """Find the plugins because of which a candidate is a roll.

    Args:
        made: The candidate.
        current: What is served; None when nothing is.
        store: Where the content of what is served is.
        contents: Plugin id -> content of the candidate, as far as it is not stored yet.
        files: Digest -> files of these.

    Returns:
        Plugin id -> why, for each that gets another instance, is new, or goes.
    """
    if current is None:
        return {}
    before, after = _plugins(current), _plugins(made)
    changed = [name for name in before.keys() | after.keys() if _digest(before.get(name)) != _digest(after.get(name))]
    found = {}
    for name in sorted(changed):
        fresh = files.get(after[name].artifact) if name in after else None
        reasons = [stored_needs_roll(side[name], store) for side in (before, after) if name in side]
        if fresh is not None:
            reasons.append(needs_roll(contents[name].manifest, fresh, contents[name].distribution))
        found[name] = next(filter(None, reversed(reasons)), "")
    return {name: why for name, why in found.items() if why}


def unswappable(
    serving: Mapping[str, PluginSpec],
    fresh: Mapping[str, Content],
    files: Mapping[str, Mapping[str, bytes]],
    untaken: Set[str],
    store: Path,
) -> dict[str, str]:
    """Find what lies on disk and no swap takes: what needs a roll, and what is required by something that would.

    Args:
        serving: Plugin id -> what serves.
        fresh: Plugin id -> what lies on disk.
        files: Digest -> files of these.
        untaken: Plugins that are not taken from disk anyway.
        store: Where the content of what is served is.

    Returns:
        Plugin id -> why.
    """
    rigid = {plugin: why for plugin, spec in serving.items() if (why := stored_needs_roll(spec, store))}
    found: dict[str, str] = {}
    changed = [each for each in sorted(serving.keys() | fresh.keys()) if is_other(serving.get(each), fresh.get(each))]
    for plugin in (each for each in changed if each not in untaken):
        new = fresh.get(plugin)
        why = needs_roll(new.manifest, files[new.artifact], new.distribution) if new else ""
        above = (f"{each} requires it: {rigid[each]}" for each in sorted(rigid) if plugin in _below(each, serving))
        found[plugin] = why or rigid.get(plugin, "") or next(above, "")
    return {plugin: why for plugin, why in found.items() if why}


def is_other(spec: PluginSpec | None, content: Content | None) -> bool:
    """Whether what lies on disk is not what serves."""
    if spec is None or content is None:
        return True
    mine = (spec.artifact, spec.config, spec.granted, spec.distribution)
    return mine != (content.artifact, content.config, content.granted, content.distribution)


def _below(plugin: str, serving: Mapping[str, PluginSpec]) -> set[str]:
    """What a plugin requires, directly or not, as it serves."""
    below: set[str] = set()
    left = [plugin]
    while left:
        required = {ref.name for ref in serving[left.pop()].requires} - below
        below |= required
        left += required
    return below


def as_roll(made: Snapshot, current: Snapshot) -> Snapshot:
    """The same candidate, in new processes."""
    return msgspec.structs.replace(made, rolled=made.epoch, before=plugins_before(current))


def _plugins(snapshot: Snapshot) -> dict[str, PluginSpec]:
    return {unit.key.ref.name: unit for unit in snapshot.units if isinstance(unit, PluginSpec)}


def _digest(spec: PluginSpec | None) -> str:
    return "" if spec is None else spec.key.digest
