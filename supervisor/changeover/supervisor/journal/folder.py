"""Which folder a state directory serves, where nothing but the folder's name says that it is this one's."""

import contextlib
import os
from pathlib import Path

from changeover.supervisor.config.check import Checked
from changeover.supervisor.config.settings import Settings
from changeover.supervisor.telemetry.shell import StateShared

NOTE = "folder"


def shared(state: Path, settings: Settings, checked: Checked) -> StateShared | None:
    """Write down which folder is served from here on. Blocks on the disk.

    A folder that was moved is nobody else's, and neither is one that links lead to.

    Args:
        state: The state directory.
        settings: What is served.
        checked: Where that is configured.

    Returns:
        That another folder of that name was served from this state directory before; None where that is not so.
    """
    if settings.state_dir or checked.named:
        return None
    folder = Path(checked.file).absolute().parent if checked.file else Path.cwd()
    note, told = state / NOTE, None
    # Where it cannot be written, neither can the journal, which says so; living workers are adopted all the same.
    with contextlib.suppress(OSError):
        known = note.read_bytes() if note.is_file() else b""
        before = Path(os.fsdecode(known)) if known else folder
        if before.is_dir() and not before.samefile(folder):
            told = StateShared(settings.name, _shown(before), _shown(folder))
        if known != os.fsencode(folder):
            note.write_bytes(os.fsencode(folder))
    return told


def _shown(path: Path) -> str:
    """A path as text can carry it."""
    return str(path).encode("utf-8", "backslashreplace").decode()
