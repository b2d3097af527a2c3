"""Stores again what serves and is not whole in the store, where the very same lies on disk."""

import logging
from collections.abc import Mapping
from pathlib import Path

from changeover.supervisor.artifacts.collection import artifacts_of
from changeover.supervisor.artifacts.folder import Listing
from changeover.workers.plugins.artifact import CorruptArtifact, Files, get, put, remove
from changeover.workers.protocol.snapshot import Snapshot

log = logging.getLogger("changeover")


def store_again(
    current: Snapshot | None, listing: Listing, further: Mapping[str, Files], store: Path
) -> tuple[str, ...]:
    """Store again what serves and is gone or damaged in the store: no worker that is started next could load it.

    Args:
        current: What serves; None for nothing.
        listing: The plugins that lie on disk.
        further: Digest -> files, of what else lies there.
        store: The artifact store.

    Returns:
        What was stored again, for people.

    Raises:
        OSError: The disk does not take it.
    """
    lying = {found.digest: found.files for found in listing.plugins.values()} | dict(further)
    units = () if current is None else current.units
    needed = {digest: unit.key.ref for unit in units for digest in artifacts_of(unit) if digest in lying}
    return tuple(
        f"stored again: {ref}, {why}"
        for digest, ref in needed.items()
        if (why := _mended(store, digest, lying[digest]))
    )


def _mended(store: Path, digest: str, files: Files) -> str:
    """What was wrong with an artifact, which is whole now; empty where nothing was."""
    try:
        get(store, digest)
    except CorruptArtifact as error:
        remove(store, digest)
        put(store, files)
        why = f"whose artifact {digest[:12]} in the store {error.reason}"
        log.warning("stored again from the disk: what serves, %s", why)
        return why
    return ""
