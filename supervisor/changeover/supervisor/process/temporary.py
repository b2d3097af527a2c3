"""A place for temporary files where the system has none: a read-only root without a tmpfs at /tmp."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from changeover.supervisor.config.accounts import Account
from changeover.supervisor.process.runtime_directory import DirectoryUnfit

NAMED, USUAL = ("TMPDIR", "TEMP", "TMP"), ("/tmp", "/var/tmp", "/usr/tmp")
"""Variables and folders in which Python looks for a place, before it takes the current folder."""


def spare_temporary(runtime: Path, account: Account | None) -> dict[str, str]:
    """Say where temporary files can lie, for libraries that ask on import; empty where Python finds a place by itself.

    Args:
        runtime: The runtime directory: a folder in it is what is left.
        account: Whom workers run as, None for ourselves.

    Raises:
        DirectoryUnfit: Something else than a folder of its own has the folder's name.
    """
    if _is_there():
        return {}
    folder = runtime / "tmp"
    _make(folder, account)
    return {"TMPDIR": str(folder)}


def _is_there() -> bool:
    """Whether Python finds a place that is meant for it; the current folder is not: that is the application's."""
    try:
        found = tempfile.gettempdir()
    except FileNotFoundError:
        return False
    meant = (*filter(None, map(os.environ.get, NAMED)), *USUAL)
    return found in map(os.path.abspath, meant)


def _make(folder: Path, account: Account | None) -> None:
    """Make the folder and give it to workers; they may write beside it, so no link is followed on the way."""
    try:
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise DirectoryUnfit(
            folder,
            f"it is no folder that we can open, or a link to one ({error.strerror}), and temporary files can lie "
            f"nowhere else; look at what it is, remove it (rm {folder}) and start again, or mount a tmpfs at /tmp",
        ) from error
    try:
        if account is not None:
            os.chown(held, account.uid, account.gid)
    finally:
        os.close(held)
