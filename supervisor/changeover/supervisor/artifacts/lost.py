"""Plugins that serve and whose file or folder is still there, without what makes it a plugin."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from changeover.supervisor.artifacts.folder import Listing
from changeover.supervisor.artifacts.problems import Problem
from changeover.workers.plugins.artifact import folder_of
from changeover.workers.plugins.manifest import MANIFEST
from changeover.workers.protocol.refusal import Fault
from changeover.workers.protocol.snapshot import PluginSpec


def with_lost(listing: Listing, serving: Mapping[str, PluginSpec], store: Path) -> Listing:
    """Make a problem of every ignored file or folder that a plugin serves from: only its removal removes the plugin.

    A file is known again by its name in the store, a folder by the id that it is named after. Looks at the disk.

    Args:
        listing: What is in the folder of plugins.
        serving: Plugin id -> what serves.
        store: Where the content of what serves lies.
    """
    homes = {
        path: plugin
        for plugin, spec in serving.items()
        if plugin not in listing.plugins
        for path in listing.ignored
        if _is_home(Path(path), plugin, folder_of(store, spec.artifact))
    }
    if not homes:
        return listing
    return msgspec.structs.replace(
        listing,
        problems=listing.problems | {path: (_lost(Path(path), plugin),) for path, plugin in homes.items()},
        ignored={path: why for path, why in listing.ignored.items() if path not in homes},
    )


def _is_home(path: Path, plugin: str, stored: Path) -> bool:
    if path.is_dir():
        return path.name == plugin and (stored / MANIFEST).is_file()
    return path.is_file() and (stored / path.name).is_file() and not (stored / MANIFEST).is_file()


def _lost(path: Path, plugin: str) -> Problem:
    kind, what = ("folder", MANIFEST) if path.is_dir() else ("file", "`# /// script` block with [tool.changeover]")
    reason = f"{plugin} serves from it, and its {what} is gone; put it back, or delete the {kind} to remove {plugin}"
    return Problem(reason, str(path), fault=Fault.CONTRACT, plugin=plugin)
