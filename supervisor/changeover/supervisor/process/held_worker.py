"""A worker whose pidfd the supervisor holds: dead is only what the kernel says is dead."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

from changeover.supervisor.process.pidfd import has_ended
from changeover.supervisor.process.stacks import StacksFile, ask_stacks
from changeover.workers.protocol.identity import WorkerId

STATUS_DEADLINE = 2.0
"""How long a dead worker's status is waited for, in seconds."""


class HeldWorker:
    """One worker process.

    Args:
        loop: Watches the pidfd.
        worker: Who it is.
        pid: For people.
        pidfd: Owned from here on.
        stacks: Owned from here on.
        on_exit: Called once: the process is dead, and its status is known or nobody will tell.

    Attributes:
        worker: Who it is.
        pid: For people.
        status: Exit status or minus a signal's number, None as long as nobody told.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        worker: WorkerId,
        pid: int,
        pidfd: int,
        stacks: StacksFile,
        on_exit: Callable[["HeldWorker"], None],
    ) -> None:
        self._loop = loop
        self.worker = worker
        self.pid = pid
        self.status: int | None = None
        self._pidfd = pidfd
        self._stacks = stacks
        self._told = 0
        self._on_exit = on_exit
        self._patience = STATUS_DEADLINE
        self._waits: asyncio.TimerHandle | None = None
        loop.add_reader(pidfd, self._died)

    def signal(self, signum: int) -> bool:
        """Send a signal to this very process; False when it is dead."""
        try:
            signal.pidfd_send_signal(self._pidfd, signum)
        except ProcessLookupError:
            return False
        return True

    async def stacks(self, deadline: float) -> str:
        """The stacks of all its threads, now.

        Raises:
            NoStacks: It is dead, stopped, or not born yet.
        """
        try:
            return await ask_stacks(self._pidfd, self._stacks, deadline)
        finally:
            self._told = self._stacks.size()

    def last_words(self) -> str:
        """What nobody asked it to write into its stacks file: the stack of a fatal fault; empty when there is none."""
        return self._stacks.read(self._told)

    def tell_status(self, status: int) -> None:
        """Take its status from the zygote; it counts once the process is confirmed dead."""
        self.status = status
        if self._waits is not None:
            self._finish()

    def expect_no_status(self) -> None:
        """Its zygote is dead: nobody will tell."""
        self._patience = 0.0
        if self._waits is not None:
            self._finish()

    def close(self) -> None:
        """Let go of it; the process itself is not touched."""
        if self._waits is not None:
            self._waits.cancel()
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._stacks.close()

    def _died(self) -> None:
        self._loop.remove_reader(self._pidfd)
        if self.status is None:
            self.status = reaped(self._pidfd)
        self._waits = self._loop.call_later(self._patience if self.status is None else 0.0, self._finish)

    def _finish(self) -> None:
        if self._waits is not None:
            self._waits.cancel()
            self._waits = None
        self._on_exit(self)


def hold_by_pid(pid: int, cell: Path) -> int | None:
    """Open the pidfd of a worker that nobody hands over.

    Args:
        pid: What it says its process is.
        cell: The commit cell's file: a process that does not read it is none of our workers.

    Returns:
        The pidfd; None when there is no such worker, or not any more.
    """
    if pid == os.getpid():
        return None  # we map it too, and do not end ourselves because a worker says so
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return None
    # The number may be another process's by now; after the descriptor was opened it cannot become one.
    if _maps(pid, cell) and not has_ended(pidfd):
        return pidfd
    os.close(pidfd)
    return None


def _maps(pid: int, file: Path) -> bool:
    try:
        inode = str(file.stat().st_ino)
        lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    except OSError:
        return False
    return any(line.split()[4:5] == [inode] for line in lines)


def reaped(pidfd: int) -> int | None:
    """The status of a dead process that is our own child although we did not start it; None of every other one.

    We are its subreaper, or pid 1 of a container, or were started by `exec` in the process that did.
    """
    try:
        result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        return None
    if result is None:
        return None
    return result.si_status if result.si_code == os.CLD_EXITED else -result.si_status
