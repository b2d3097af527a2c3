"""Plugins that installed distributions announce, beside those in the folder: their content is what is installed."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from changeover.supervisor.artifacts.folder import Found, Listing, read_folder, read_plugin
from changeover.supervisor.artifacts.problems import Problem, of_manifest
from changeover.workers.pinned.announced import Announced
from changeover.workers.plugins.artifact import UnreadableArtifact
from changeover.workers.plugins.manifest import MANIFEST
from changeover.workers.plugins.manifest_reading import ManifestInvalid
from changeover.workers.protocol.refusal import Fault
from changeover.workers.protocol.snapshot import PluginSpec, Snapshot


def listed(folder: str, announced: Iterable[Announced] | None) -> Listing:
    """List what lies in the folder of plugins, and what is announced. Blocks on the disk, as `read_folder` does.

    Args:
        folder: The folder; empty for none.
        announced: By the distributions that are installed for whoever is to execute them; None when nobody asked.
    """
    listing = read_folder(Path(folder)) if folder else Listing()
    if announced is None:
        return msgspec.structs.replace(listing, unasked=True)
    plugins, problems = dict(listing.plugins), dict(listing.problems)
    for each in announced:
        try:
            found = _read(each, plugins.get(each.plugin))
        except _Wrong as wrong:
            problems[each.path or each.distribution] = wrong.problems
        else:
            plugins[each.plugin] = found
    return msgspec.structs.replace(listing, plugins=dict(sorted(plugins.items())), problems=problems)


class _Wrong(Exception):
    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)


def _read(announced: Announced, there: Found | None) -> Found:
    """What is announced.

    Raises:
        _Wrong: It is no such plugin, or there is one of that id already.
    """
    said = f"installed {announced.distribution} announces plugin {announced.plugin} in {announced.target}"
    try:
        found = read_plugin(Path(announced.path)) if announced.path else None
    except ManifestInvalid as error:
        mistakes = of_manifest(error)
        raise _Wrong(msgspec.structs.replace(each, plugin=announced.plugin) for each in mistakes) from error
    except UnreadableArtifact as error:
        raise _wrong(announced, error.reason, str(error.path), fault=Fault.RESOURCE) from error
    if found is None:
        reason = f"{said}, which is no plugin: the entry point names the package that has the {MANIFEST}"
        raise _wrong(announced, reason, announced.path)
    if found.manifest.id != announced.plugin:
        reason = f"{said}, which is plugin {found.manifest.id}: the entry point has the name of the plugin"
        raise _wrong(announced, reason, found.file, "$.id")
    if found.manifest.packages:
        reason = "an installed plugin has no packages of its own: let its distribution require what they are"
        raise _wrong(announced, reason, found.file, "$.packages")
    if there is not None:
        other = f"installed {there.distribution}" if there.distribution else there.path
        reason = f"{said} ({found.path}), and {announced.plugin} is the id of {other} already: leave one of them out"
        raise _wrong(announced, reason, found.file, "$.id")
    return msgspec.structs.replace(found, distribution=announced.distribution)


def _wrong(announced: Announced, reason: str, file: str = "", path: str = "", fault: Fault = Fault.CONTRACT) -> _Wrong:
    return _Wrong([Problem(reason, file, path, fault, announced.plugin)])


def absent(made: Snapshot, announced: Iterable[Announced]) -> Iterator[Problem]:
    """Say which plugins of a candidate come from distributions that are not installed for its new processes.

    Args:
        made: The candidate.
        announced: What is announced there.
    """
    there = {each.plugin: each.distribution for each in announced}
    for unit in made.units:
        if isinstance(unit, PluginSpec) and unit.distribution not in ("", there.get(unit.key.ref.name)):
            plugin = unit.key.ref.name
            now = f"{there[plugin]} is installed" if plugin in there else "nothing that is installed announces it"
            reason = f"{plugin} {unit.version} was installed by {unit.distribution}, and {now} now"
            yield Problem(f"{reason}; `pip install {unit.distribution}` brings it back", plugin=plugin)
