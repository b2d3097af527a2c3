"""The process that watches over one rehearsal, as the supervisor holds it: until it is dead, with what it reported.

Everything of a rehearsal is below its keeper, and a keeper that has reported, or whose socket we closed, ends itself
and all of that. So a rehearsal is over when its keeper is dead, and not before.
"""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable

from changeover.workers.protocol.rehearsal import MAX_REPORT

LEAVING = 2.0
"""Seconds that a keeper has to be dead after its report, or after we gave it up, until its zygote is to kill it."""
DYING = 10.0
"""Seconds that it has then, with all that is to be ended below it, until it is killed from here: it may be stopped."""
_CHUNK = 64 * 1024


class Keeper:
    """One keeper.

    Args:
        loop: Watches it.
        pidfd: Owned from here on.
        sock: Descriptor of the socket that it reports on; owned from here on.
        kill: Has its zygote kill it and all below it.
        on_end: Takes its report, once it is dead; of one that is too long the beginning, which is still too long.
            Not called after `let_go`.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        pidfd: int,
        sock: int,
        kill: Callable[[], None],
        on_end: Callable[[bytes], None],
    ) -> None:
        self._loop = loop
        self._pidfd = pidfd
        self._sock = socket.socket(fileno=sock)
        self._sock.setblocking(False)
        self._kill = kill
        self._on_end = on_end
        self._report = bytearray()
        self._late: asyncio.TimerHandle | None = None
        loop.add_reader(self._sock, self._read)
        loop.add_reader(pidfd, self._died)

    def give_up(self) -> None:
        """Have it killed, and all below it."""
        self._hang_up()
        self._kill()

    def let_go(self) -> None:
        """Close all that is held of it, which ends it; nothing is told."""
        self._hang_up()
        if self._late is not None:
            self._late.cancel()
            self._late = None
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    def _read(self) -> None:
        while self._sock.fileno() >= 0:
            try:
                chunk = self._sock.recv(_CHUNK)
            except BlockingIOError:
                return
            except OSError:
                chunk = b""
            self._report += chunk[: MAX_REPORT + 1 - len(self._report)]
            if not chunk or len(self._report) > MAX_REPORT:
                self._hang_up()

    def _hang_up(self) -> None:
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock)
            self._sock.close()
            self._late = self._loop.call_later(LEAVING, self._overdue)

    def _overdue(self) -> None:
        self._kill()
        self._late = self._loop.call_later(DYING, self._kill_at_once)

    def _kill_at_once(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def _died(self) -> None:
        self._read()
        self.let_go()
        self._on_end(bytes(self._report))
