"""Remove from the artifact store what no kept generation has."""

from collections.abc import Iterable
from pathlib import Path

from changeover.workers.plugins.artifact import remove
from changeover.workers.protocol.snapshot import PluginSpec, Snapshot


def collect(store: Path, kept: Iterable[Snapshot]) -> int:
    """Remove every artifact that is not reachable. Blocks on the disk.

    Args:
        store: The artifact store; may be missing.
        kept: Every generation that is served, draining, or may be asked for again.

    Returns:
        How many were removed.

    Raises:
        OSError: One cannot be removed.
    """
    reachable = {unit.artifact for each in kept for unit in each.units if isinstance(unit, PluginSpec)}
    if not store.is_dir():
        return 0
    garbage = [path.name for path in store.iterdir() if path.name not in reachable and not path.name.startswith(".")]
    for digest in garbage:
        remove(store, digest)
    return len(garbage)
