"""Ends everything below this process where no namespace does it: what lost its parents comes to this process."""

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc")


def end_all(deadline: float) -> bool:
    """Kill and reap every child, and what comes to be one meanwhile.

    What is stopped makes no more of it; so everything is stopped first, parents before their children.

    Args:
        deadline: Seconds.

    Returns:
        Whether nothing is left.
    """
    until = time.monotonic() + deadline
    while (left := until - time.monotonic()) > 0:
        known: set[int] = set()
        while fresh := set(below(os.getpid())) - known:
            known |= fresh
        for pid in known:
            _signal(pid, signal.SIGKILL)
        if not reap(left):
            return True
    return False


def below(pid: int) -> Iterator[int]:
    """Stop everything below a process, from the top, and say what that is."""
    for child in children_of(pid):
        _signal(child, signal.SIGSTOP)
        yield child
        yield from below(child)


def children_of(pid: int) -> list[int]:
    """The processes that a process started, or took over, and that it has not reaped."""
    children: list[int] = []
    for task in _listed(_PROC / str(pid) / "task"):
        with contextlib.suppress(OSError):
            children += map(int, (task / "children").read_text().split())
    return children


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []  # the process ended


def reap(deadline: float) -> list[int]:
    """Reap the children that were killed, which takes the kernel a moment.

    Args:
        deadline: Seconds for all of them.

    Returns:
        What came to be a child meanwhile.
    """
    until = time.monotonic() + deadline
    for pid in children_of(os.getpid()):
        with contextlib.suppress(ChildProcessError):
            ended(pid, until - time.monotonic())
    return children_of(os.getpid())


def ended(pid: int, deadline: float) -> bool:
    """Reap a child once it is dead; whether it is within so many seconds."""
    pidfd = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        if not poll.poll(max(0.0, deadline) * 1000):
            return False
    finally:
        os.close(pidfd)
    os.waitpid(pid, 0)
    return True


def _signal(pid: int, signum: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signum)
