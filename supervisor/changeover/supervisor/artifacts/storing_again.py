"""Stores again what serves and is not whole in the store, where the very same lies on disk.

What only cannot be read just now may be whole: it stays, and whoever needs it says so.
"""

import logging
from collections.abc import Mapping
from pathlib import Path

from changeover.supervisor.artifacts.collection import artifacts_of
from changeover.supervisor.artifacts.folder import Listing
from changeover.workers.plugins.artifact import ArtifactNotRead, CorruptArtifact, Files, get, put_again
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
        OSError: The disk does not take it; what was there is there still.
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
    except ArtifactNotRead as error:
        log.warning("not looked at whether what serves is whole: %s", error)
    except CorruptArtifact as error:
        put_again(store, files)
        why = f"whose artifact {digest[:12]} in the store {error.reason}"
        log.warning("stored again from the disk: what serves, %s", why)
        return why
    return ""
