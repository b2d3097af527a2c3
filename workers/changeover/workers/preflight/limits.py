"""What a rehearsal may use up, as far as the kernel counts it for one process or one user."""

import math
import os
import resource
from pathlib import Path

from changeover.workers.protocol.rehearsal import Confinement
from changeover.workers.runtime import kernel

PROC = Path("/proc")
OWN = 2
"""Processes beside the rehearsal where they are counted anew: its keeper, and the first of the namespace."""
ARENAS = 2
"""How many parts its heap has at the most."""


def limit(settings: Confinement, counted: bool) -> None:
    """Limit this process, and each that it starts.

    Args:
        settings: What it may use up.
        counted: Whether processes are counted anew for it.

    Raises:
        OSError: The kernel refuses.
    """
    others = OWN if counted else processes_of(os.getuid()) - 1
    _set(resource.RLIMIT_CORE, 0)
    _set(resource.RLIMIT_FSIZE, settings.memory)
    _set(resource.RLIMIT_CPU, math.ceil(settings.deadline) * (os.cpu_count() or 1))
    _set(resource.RLIMIT_NPROC, others + settings.processes)
    kernel.share_arenas(ARENAS)  # what is only reserved counts as well
    _set(resource.RLIMIT_AS, _mapped() + settings.memory)


def processes_of(user: int) -> int:
    """How many processes and threads a user has."""
    return sum(_threads(folder) for folder in PROC.iterdir() if folder.name.isdecimal() and _is_of(folder, user))


def _is_of(folder: Path, user: int) -> bool:
    try:
        return folder.stat().st_uid == user
    except OSError:
        return False  # it ended meanwhile


def _threads(folder: Path) -> int:
    try:
        lines = (folder / "status").read_text(errors="replace").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Threads:")), 0)


def _mapped() -> int:
    return int((PROC / "self" / "statm").read_bytes().split()[0]) * resource.getpagesize()


def _set(which: int, value: int) -> None:
    _, hard = resource.getrlimit(which)
    bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (bound, bound))
