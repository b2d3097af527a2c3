"""Where a service keeps its sockets and its state, and how both sides find the same folder."""

import hashlib
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

import msgspec

from changeover.supervisor.config.settings import Settings
from changeover.supervisor.errors import SupervisorError

MAX_SOCKET_PATH = 107
"""Bytes that the kernel takes for a socket's path."""
LONGEST_SOCKET = "worker-4294967295.sock"
"""The longest name of a socket in the runtime directory."""


class FolderUnsafe(SupervisorError):
    """A folder that must be private is somebody else's, or open to others.

    Attributes:
        path: The folder.
        reason: What is wrong with it.
    """

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path} {reason}; remove it, or choose another with --runtime-dir or --state-dir")


class Paths(msgspec.Struct, frozen=True):
    """A service's folders.

    Attributes:
        runtime: Where its sockets and its commit cell lie.
        sockets: The same folder, by a name short enough for a socket's path.
        state: Where its journal and its artifacts lie.
    """

    runtime: Path
    sockets: Path
    state: Path

    @property
    def control(self) -> Path:
        """The socket of the REST API."""
        return self.sockets / "control.sock"

    @property
    def cell(self) -> Path:
        """The commit cell."""
        return self.runtime / "epoch.cell"

    @property
    def journal(self) -> Path:
        """The journal."""
        return self.state / "journal.sqlite3"

    @property
    def store(self) -> Path:
        """The artifact store."""
        return self.state / "artifacts"


def paths(settings: Settings, environment: Mapping[str, str], uid: int) -> Paths:
    """Say where a service's folders are, whether or not they exist.

    Args:
        settings: `name`, `runtime_dir` and `state_dir` decide.
        environment: `XDG_RUNTIME_DIR`, `XDG_STATE_HOME` and `HOME` are looked at.
        uid: Whose service it is.
    """
    runtime = Path(settings.runtime_dir) if settings.runtime_dir else runtime_root(environment, uid) / settings.name
    state = Path(settings.state_dir) if settings.state_dir else _state_root(environment, uid) / settings.name
    return Paths(runtime, short(runtime, uid), state)


def default_name(folder: Path) -> str:
    """The name of a service whose configuration in `folder` gives it none."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", folder.name).strip("-._")[:64] or "changeover"


def runtime_root(environment: Mapping[str, str], uid: int) -> Path:
    """The folder in which the runtime directories of a user's services lie by default."""
    if named := environment.get("XDG_RUNTIME_DIR"):
        return Path(named) / "changeover"
    own = Path(f"/run/user/{uid}")
    return own / "changeover" if own.is_dir() else private(uid)


def _state_root(environment: Mapping[str, str], uid: int) -> Path:
    if named := environment.get("XDG_STATE_HOME"):
        return Path(named) / "changeover"
    if home := environment.get("HOME"):
        return Path(home) / ".local" / "state" / "changeover"
    return Path(f"/var/tmp/changeover-{uid}")


def private(uid: int) -> Path:
    """A short folder that belongs to one user."""
    return Path(f"/tmp/changeover-{uid}")


def short(runtime: Path, uid: int) -> Path:
    """A name for `runtime` that leaves room for every socket in it: itself, or a link in the private folder."""
    if len(os.fsencode(runtime / LONGEST_SOCKET)) <= MAX_SOCKET_PATH:
        return runtime
    return private(uid) / ".short" / hashlib.sha256(os.fsencode(runtime)).hexdigest()[:16]


def make(paths: Paths, uid: int) -> None:
    """Make the folders that are missing, and the link where the runtime directory's name is too long.

    Raises:
        FolderUnsafe: One is not `uid`'s own, or others may write to it.
        OSError: One cannot be made.
    """
    for folder in (paths.runtime, paths.state):
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        _make_own(folder, uid, 0o750)
    if paths.sockets != paths.runtime:
        _make_own(paths.sockets.parent.parent, uid, 0o700)
        _make_own(paths.sockets.parent, uid, 0o700)
        if not paths.sockets.is_symlink():
            paths.sockets.symlink_to(paths.runtime)
        elif paths.sockets.readlink() != paths.runtime:
            raise FolderUnsafe(paths.sockets, f"leads to {paths.sockets.readlink()} and not to {paths.runtime}")


def _make_own(folder: Path, uid: int, mode: int) -> None:
    folder.mkdir(mode=mode, exist_ok=True)
    found = folder.stat()
    if found.st_uid != uid:
        raise FolderUnsafe(folder, f"belongs to uid {found.st_uid} and not to uid {uid}")
    if stat.S_IMODE(found.st_mode) & 0o002:
        raise FolderUnsafe(folder, "may be written to by everybody")
