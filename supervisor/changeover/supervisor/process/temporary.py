"""A place for temporary files where the system has none: a read-only root without a tmpfs at /tmp."""

import os
import tempfile
from pathlib import Path

from changeover.supervisor.config.accounts import Account


def spare_temporary(runtime: Path, account: Account | None) -> dict[str, str]:
    """Say where temporary files can lie, for libraries that ask on import; empty where Python finds a place by itself.

    Args:
        runtime: The runtime directory: a folder in it is what is left.
        account: Whom workers run as, None for ourselves.
    """
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        folder = runtime / "tmp"
        folder.mkdir(mode=0o700, exist_ok=True)
        if account is not None:
            os.chown(folder, account.uid, account.gid)
        return {"TMPDIR": str(folder)}
    return {}
