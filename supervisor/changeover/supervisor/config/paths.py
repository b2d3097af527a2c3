"""Where a service keeps its sockets and its state, and how both sides find the same folder."""

import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from changeover.supervisor.config.settings import Settings


class Paths(msgspec.Struct, frozen=True):
    """A service's folders.

    Attributes:
        runtime: Where its sockets and its commit cell lie.
        state: Where its journal and its artifacts lie.
    """

    runtime: Path
    state: Path

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
    return Paths(runtime, state)


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
