"""Where a service's directories are unless the configuration says otherwise."""

from collections.abc import Mapping
from pathlib import Path

from changeover.supervisor.config.settings import Settings

FOLDER = "changeover"


def runtime_directory(settings: Settings, environment: Mapping[str, str], uid: int) -> Path:
    """The folder for sockets and the commit cell of one service."""
    if settings.runtime_dir:
        return Path(settings.runtime_dir)
    return runtime_homes(environment, uid)[0] / settings.name


def runtime_homes(environment: Mapping[str, str], uid: int) -> tuple[Path, ...]:
    """Folders in which runtime directories of a user may be, the one for new ones first.

    A service started by cron or a system unit has no XDG_RUNTIME_DIR where the user's shell has one, so clients look
    into all of them.
    """
    if uid == 0:
        return (Path("/run") / FOLDER,)
    fallback = Path(f"/tmp/{FOLDER}-{uid}/run")
    session = environment.get("XDG_RUNTIME_DIR", "")
    return (Path(session) / FOLDER, fallback) if session else (fallback, Path(f"/run/user/{uid}") / FOLDER)


def state_directory(settings: Settings, environment: Mapping[str, str], uid: int) -> Path:
    """The folder for journal and artifacts of one service."""
    if settings.state_dir:
        return Path(settings.state_dir)
    return _state_home(environment, uid) / settings.name


def _state_home(environment: Mapping[str, str], uid: int) -> Path:
    if uid == 0:
        return Path("/var/lib") / FOLDER
    if home := environment.get("XDG_STATE_HOME", ""):
        return Path(home) / FOLDER
    return Path(environment.get("HOME") or f"/tmp/{FOLDER}-{uid}") / ".local" / "state" / FOLDER
