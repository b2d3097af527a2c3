"""What the holder of a directory's lock writes into it, for whoever comes second or has to end it."""

import os
import shlex
from pathlib import Path

import msgspec

from changeover.supervisor.config.paths import runtime_root

LOCK_FILE = "lock"


class LockOwner(msgspec.Struct, frozen=True):
    """What the holder of a lock wrote into it.

    Attributes:
        name: The service.
        pid: Its supervisor.
        started: Start time of that process, in clock ticks since boot.
        runtime: Its runtime directory, where it can be talked to.
    """

    name: str
    pid: int
    started: int
    runtime: str

    def ended_by(self) -> str:
        """The command that ends it."""
        runtime = Path(self.runtime)
        if runtime == runtime_root(os.environ, os.getuid()) / self.name:
            return f"changeover stop --name {self.name}"
        return f"changeover stop --runtime-dir {shlex.quote(str(runtime))}"


def read_owner(directory: Path) -> LockOwner | None:
    """Who wrote the note of the directory's lock; whether it still lives is another question (`holder_of`)."""
    try:
        return msgspec.json.decode((directory / LOCK_FILE).read_bytes(), type=LockOwner)
    except (OSError, msgspec.DecodeError):
        return None
