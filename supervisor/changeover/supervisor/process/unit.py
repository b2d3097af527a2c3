"""The unit of systemd that we run in, and what it does to our workers when it ends us.

Nobody is told this at its start, so it is asked for: once, with a deadline, off the loop. What cannot be known is not
known: no service manager, a container that hides it, a bus that does not answer.
"""

import subprocess
from pathlib import Path

import msgspec

BOOTED = Path("/run/systemd/system")
"""There where systemd is the service manager."""
CGROUP = Path("/proc/self/cgroup")
ANSWER = 2.0
"""Seconds that systemctl has."""
SYSTEMCTL = ("systemctl",)

_UNITS = (".service", ".scope")
_USER_MANAGER = "user@"

FIT = ("process", "none")
"""Kill modes under which workers outlive their supervisor and are told to stop by it alone."""


class Unit(msgspec.Struct, frozen=True):
    """A service of systemd.

    Attributes:
        name: `shop.service`.
        of_user: Whether a user's own service manager runs it.
    """

    name: str
    of_user: bool = False


class Ending(msgspec.Struct, frozen=True):
    """What the service manager says of a unit's end.

    Attributes:
        kill_mode: What it does to the unit's processes; empty where it says nothing.
        main: The process whose death is the unit's end; 0 where none is known.
    """

    kill_mode: str = ""
    main: int = 0


def unit_of(cgroup: str) -> Unit | None:
    """Find the service in the lines of /proc/<pid>/cgroup; None where there is none. Pure.

    The innermost unit is ours: in a scope (a session, a terminal's tab, a container) somebody started us who is no
    service, and a user's own service manager is none of its services.
    """
    for line in cgroup.splitlines():
        manager, *units = [part for part in line.rpartition(":")[2].split("/") if part.endswith(_UNITS)] or [""]
        of_user = manager.startswith(_USER_MANAGER)
        ours = units[-1] if units else "" if of_user else manager
        if ours.endswith(".service"):
            return Unit(ours, of_user)
    return None


def own_unit() -> Unit | None:
    """The service that this process runs in; None when systemd does not run it."""
    try:
        return unit_of(CGROUP.read_text()) if BOOTED.is_dir() else None
    except OSError:
        return None


def ending_of(unit: Unit) -> Ending:
    """Ask how a unit ends. Blocks, for `ANSWER` at most."""
    scope = ("--user",) if unit.of_user else ()
    command = [*SYSTEMCTL, *scope, "show", "--property=KillMode", "--property=MainPID", unit.name]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=ANSWER, check=False
        )
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return Ending()
    return _read(done.stdout) if done.returncode == 0 else Ending()


def _read(shown: str) -> Ending:
    said = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    main = said.get("MainPID", "")
    return Ending(said.get("KillMode", ""), int(main) if main.isascii() and main.isdigit() else 0)
