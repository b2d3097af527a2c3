"""Plugins that serve and whose file or folder is still there, and is no plugin any more or none that can be used."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from changeover.supervisor.artifacts.folder import Listing
from changeover.supervisor.artifacts.problems import Problem
from changeover.workers.plugins.artifact import folder_of
from changeover.workers.plugins.manifest import MANIFEST
from changeover.workers.plugins.wheel import SUFFIX
from changeover.workers.protocol.refusal import Fault
from changeover.workers.protocol.snapshot import PluginSpec


def with_lost(listing: Listing, serving: Mapping[str, PluginSpec], store: Path) -> Listing:
    """Make a problem of every ignored file or folder that a plugin serves from: only its removal removes the plugin.

    What is wrong with such a file or folder is said of that plugin. A file is known again by its name in the store, a
    folder or a wheel by the id that it is named after. A wheel named otherwise may be the one of any plugin that is
    nowhere else. Looks at the disk.

    Args:
        listing: What is in the folder of plugins.
        serving: Plugin id -> what serves.
        store: Where the content of what serves lies.
    """
    serving = {plugin: spec for plugin, spec in serving.items() if not spec.distribution}
    homes = {
        path: plugin
        for plugin, spec in serving.items()
        if plugin not in listing.plugins
        for path in (*listing.ignored, *listing.problems)
        if _is_home(Path(path), plugin, folder_of(store, spec.artifact))
    }
    lost = {path: (_lost(Path(path), homes[path]),) for path in listing.ignored if path in homes}
    known = {path: _said_of(homes.get(path, ""), problems) for path, problems in listing.problems.items()}
    missing = sorted(
        plugin
        for plugin in serving.keys()
        - listing.plugins.keys()
        - {each.plugin for told in known.values() for each in told}
        if _has_manifest(folder_of(store, serving[plugin].artifact))
    )
    known = {path: (*told, *_may_be(path, told, missing)) for path, told in known.items()}
    ignored = {path: why for path, why in listing.ignored.items() if path not in lost}
    return msgspec.structs.replace(listing, problems=known | lost, ignored=ignored)


def _said_of(plugin: str, problems: tuple[Problem, ...]) -> tuple[Problem, ...]:
    return tuple(msgspec.structs.replace(problem, plugin=problem.plugin or plugin) for problem in problems)


def _may_be(path: str, told: tuple[Problem, ...], missing: list[str]) -> Iterator[Problem]:
    """What is wrong with a wheel that does not say which plugin it is."""
    if Path(path).suffix == SUFFIX and not any(problem.plugin for problem in told):
        for plugin in missing:
            reason = f"{plugin} serves, and this may be its wheel; mend it, or delete it if {plugin} is to be removed"
            yield Problem(reason, path, fault=Fault.CONTRACT, plugin=plugin)


def _is_home(path: Path, plugin: str, stored: Path) -> bool:
    if path.suffix == SUFFIX:
        named = path.name.partition("-")[0]
        return named == plugin.replace("-", "_") and _has_manifest(stored)
    if path.is_dir():
        return path.name == plugin and _has_manifest(stored)
    return path.is_file() and (stored / path.name).is_file() and not _has_manifest(stored)


def _has_manifest(stored: Path) -> bool:
    return (stored / MANIFEST).is_file()


def _lost(path: Path, plugin: str) -> Problem:
    kind, what = ("folder", MANIFEST) if path.is_dir() else ("file", "`# /// script` block with [tool.changeover]")
    reason = f"{plugin} serves from it, and its {what} is gone; put it back, or delete the {kind} to remove {plugin}"
    return Problem(reason, str(path), fault=Fault.CONTRACT, plugin=plugin)
