"""Asks a zygote or worker where it is: it writes the stacks of its threads, also when it is stuck, and of its tasks.

The zygote gives each worker an anonymous file before it forks it, and its descriptor to the
supervisor beside the pidfd. The worker's C-level handler of `STACKS_SIGNAL` writes into it
without the interpreter's help; so does its handler of fatal faults (SIGSEGV, SIGABRT...).
A handler in Python writes the tasks of its loop below that, as far as the main thread gets to it.
"""

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path

from changeover.supervisor.process.errors import ProcessError
from changeover.supervisor.process.pidfd import has_ended
from changeover.workers.protocol.forking import STACKS_SIGNAL

LONGEST = 256 * 1024
"""Most bytes of stacks that are read."""

STANDSTILLS = {
    "T": "it is stopped (SIGSTOP or SIGTSTP)",
    "t": "a debugger holds it",
    "D": "it waits in the kernel for a device (state D)",
}
"""States of a process in which it runs no handler, as the kernel names them, and what that means."""

_SETTLED = 0.25
"""Seconds without another word after which that was the last: the tasks come when the main thread gets to them."""
_POLL = 0.01


class NoStacks(ProcessError):
    """A process did not write its stacks.

    Attributes:
        reason: Why not.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"there are no stacks: {reason}")


class StacksFile:
    """The supervisor's end of a process's stacks file.

    Args:
        fd: Descriptor of the file; owned from here on.

    Attributes:
        closed: Whether it is closed; it reads as empty then.
    """

    def __init__(self, fd: int) -> None:
        self.closed = False
        self._fd = fd

    def read(self, since: int = 0) -> str:
        """What was written after byte `since`, at most `LONGEST` bytes of it."""
        return "" if self.closed else os.pread(self._fd, LONGEST, since).decode(errors="replace")

    def size(self) -> int:
        """Bytes written so far."""
        return 0 if self.closed else os.fstat(self._fd).st_size

    def close(self) -> None:
        """Close it; what was written is gone with the process's own end."""
        if not self.closed:
            self.closed = True
            os.close(self._fd)


async def ask_stacks(pidfd: int, file: StacksFile, deadline: float) -> str:
    """Make a process write its stacks, and return them.

    Args:
        pidfd: The process.
        file: Its stacks file.
        deadline: How long to wait, in seconds.

    Returns:
        The stacks.

    Raises:
        NoStacks: The process is gone, or wrote nothing in time (stopped, or not born yet).
    """
    before = file.size()
    try:
        signal.pidfd_send_signal(pidfd, STACKS_SIGNAL)
    except ProcessLookupError:
        raise NoStacks("it is gone") from None
    await _until_settled(file, before, deadline)
    if not (stacks := file.read(before)):
        raise NoStacks(_why_none(pidfd, file, deadline))
    return stacks


def _why_none(pidfd: int, file: StacksFile, deadline: float) -> str:
    if file.closed or has_ended(pidfd):
        return "it is gone"
    return STANDSTILLS.get(_state(pidfd), f"it wrote none within {deadline:g} s")


def _state(pidfd: int) -> str:
    """What the kernel says of a living process: one letter, behind its name in brackets; empty when it is gone."""
    with suppress(OSError, StopIteration):
        about = Path(f"/proc/self/fdinfo/{pidfd}").read_text().splitlines()
        pid = next(line.split()[1] for line in about if line.startswith("Pid:"))
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return ""


async def _until_settled(file: StacksFile, before: int, deadline: float) -> None:
    """Wait until the file has grown and then stayed the same for a moment: a dump has no end mark."""
    loop = asyncio.get_running_loop()
    end = loop.time() + deadline
    size, since = before, loop.time()
    while loop.time() < end and not file.closed:
        await asyncio.sleep(_POLL)
        now = file.size()
        if now != size:
            size, since = now, loop.time()
        elif size > before and loop.time() - since >= _SETTLED:
            return
