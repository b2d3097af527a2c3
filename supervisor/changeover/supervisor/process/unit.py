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


def unit_of(cgroup: str) -> Unit | None:
    """Find the service in the lines of /proc/<pid>/cgroup; None where there is none. Pure."""
    for line in cgroup.splitlines():
        services = [part for part in line.rpartition(":")[2].split("/") if part.endswith(".service")]
        if services:
            manager, *rest = services
            return Unit(services[-1], bool(rest) and manager.startswith("user@"))
    return None


def own_unit() -> Unit | None:
    """The service that this process runs in; None when systemd does not run it."""
    try:
        return unit_of(CGROUP.read_text()) if BOOTED.is_dir() else None
    except OSError:
        return None


def kill_mode(unit: Unit) -> str:
    """Ask how the unit's processes are ended; empty when nobody answers. Blocks, for `ANSWER` at most."""
    scope = ("--user",) if unit.of_user else ()
    command = [*SYSTEMCTL, *scope, "show", "--property=KillMode", "--value", unit.name]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=ANSWER, check=False
        )
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
