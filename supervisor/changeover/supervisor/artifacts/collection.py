"""Remove from the artifact store what no kept generation has, and what a supervisor left there that was killed."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from changeover.workers.plugins import bytecode
from changeover.workers.plugins.artifact import remove, remove_unfinished
from changeover.workers.protocol.snapshot import ApplicationSpec, ChannelSpec, PluginSpec, Snapshot, UnitSpec


def collect(store: Path, kept: Iterable[Snapshot], besides: Iterable[UnitSpec] = ()) -> int:
    """Remove every artifact that is not reachable, and its compiled code. Blocks on the disk.

    So goes what is half stored, or half removed: nobody but who collects, one at a time, puts anything here.

    Args:
        store: The artifact store; may be missing.
        kept: Every generation that is served, draining, or may be asked for again.
        besides: Units that are in no generation yet.

    Returns:
        How many artifacts were removed.

    Raises:
        OSError: Something cannot be removed.
    """
    units = [*besides, *(unit for each in kept for unit in each.units)]
    reachable = {digest for unit in units for digest in artifacts_of(unit)}
    if not store.is_dir():
        return 0
    remove_unfinished(store)
    garbage = [path.name for path in store.iterdir() if path.name not in reachable and not path.name.startswith(".")]
    for digest in garbage:
        remove(store, digest)
    compiled = store / bytecode.FOLDER
    for folder in compiled.iterdir() if compiled.is_dir() else ():
        if folder.name not in reachable:
            shutil.rmtree(folder)
            continue
        for left in folder.glob(f"{bytecode.ASIDE}*"):
            left.unlink()
    return len(garbage)


def artifacts_of(unit: UnitSpec) -> tuple[str, ...]:
    """The digests by which a unit names what it needs of the store."""
    match unit:
        case PluginSpec(artifact=artifact, code=code):
            return tuple(filter(None, (artifact, code)))
        case ApplicationSpec(artifact=artifact, distributions=distributions):
            return tuple(filter(None, (artifact, distributions)))
        case ChannelSpec(tls=tls) if tls is not None:
            return (tls.artifact,)
        case _:
            return ()
