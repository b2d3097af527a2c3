"""Which folder a state directory serves, where nothing but the folder's name says that it is this one's."""

import os
from pathlib import Path

from changeover.supervisor.config.paths import default_name
from changeover.supervisor.config.settings import Settings
from changeover.supervisor.journal.errors import JournalUnreachable
from changeover.supervisor.telemetry.shell import StateShared

NOTE = "folder"


def shared(state: Path, settings: Settings, file: str) -> StateShared | None:
    """Write down which folder is served from here on. Blocks on the disk.

    Args:
        state: The state directory.
        settings: What is served.
        file: Where that is configured; empty when in no file.

    Returns:
        That another folder of that name was served from this state directory before; None where that is not so.

    Raises:
        JournalUnreachable: It cannot be read or written.
    """
    folder = Path(file).absolute().parent if file else Path.cwd()
    if settings.state_dir or settings.name != default_name(folder):
        return None
    note = state / NOTE
    try:
        before = os.fsdecode(note.read_bytes()) if note.is_file() else ""
        if before != str(folder):
            note.write_bytes(os.fsencode(folder))
    except OSError as error:
        raise JournalUnreachable(note, error.strerror or str(error)) from error
    changed = before not in ("", str(folder))
    return StateShared(settings.name, _shown(before), _shown(str(folder))) if changed else None


def _shown(path: str) -> str:
    """A path as text can carry it."""
    return path.encode("utf-8", "backslashreplace").decode()
