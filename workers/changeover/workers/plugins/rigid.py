"""Which content only new processes can replace."""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from changeover.workers.plugins.artifact import folder_of
from changeover.workers.plugins.manifest import Manifest
from changeover.workers.plugins.manifest_reading import ManifestInvalid, load
from changeover.workers.plugins.natives import is_native
from changeover.workers.protocol.snapshot import PluginSpec, Snapshot, UnitKey


def needs_roll(manifest: Manifest, names: Iterable[str], distribution: str = "") -> str:
    """Why content is replaced by new processes; empty where those that live can do it.

    Args:
        manifest: What it says of itself.
        names: Of its files.
        distribution: As in `PluginSpec`.
    """
    if distribution:
        return f"installed by {distribution}"
    if manifest.strategy == "roll":
        return 'strategy = "roll"'
    native = sorted(PurePosixPath(name).name.partition(".")[0] for name in names if is_native(name))
    return f"native module {', '.join(native)}" if native else ""


def stored_needs_roll(spec: PluginSpec, store: Path) -> str:
    """The same of content that is stored; what cannot be read any more keeps nothing from being replaced."""
    folder = folder_of(store, spec.artifact)
    try:
        names = [str(path.relative_to(folder)) for path in folder.rglob("*")]
        return needs_roll(load(folder), names, spec.distribution)
    except (ManifestInvalid, OSError):
        return ""


def never_swapped(snapshot: Snapshot, store: Path) -> frozenset[UnitKey]:
    """The plugins that only go with their process: those that need a roll, and what these require."""
    plugins = {unit.key.ref: unit for unit in snapshot.units if isinstance(unit, PluginSpec)}
    left = [unit for unit in plugins.values() if stored_needs_roll(unit, store)]
    found: set[UnitKey] = set()
    while left:
        unit = left.pop()
        found.add(unit.key)
        left += [plugins[ref] for ref in unit.requires if ref in plugins and plugins[ref].key not in found]
    return frozenset(found)
