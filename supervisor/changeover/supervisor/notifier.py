"""Tells the service manager that started us, where one did, what it has to know."""

import asyncio
import os
import time
from collections.abc import Iterable

from changeover.supervisor.core.records import Record
from changeover.supervisor.process.listeners import BoundListener
from changeover.supervisor.process.notify import Managed, NotifySocket
from changeover.supervisor.process.passed import Passed, stored_name
from changeover.supervisor.telemetry.notices import Notices


class Notifier:
    """The supervisor's side of `sd_notify`; without a service manager it does nothing.

    Args:
        loop: The supervisor's loop: the watchdog is answered from there, so that a loop that is stuck is noticed.
        managed: What the service manager wants.
        socket: The way to it, None for none.
        slots: How many slots are wanted at the start.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, managed: Managed, socket: NotifySocket | None, slots: int
    ) -> None:
        self._loop = loop
        self._socket = socket
        self._notices = Notices(slots, os.getpid())
        self._rhythm = managed.watchdog / 2
        self._beat: asyncio.TimerHandle | None = None
        if socket is not None and self._rhythm:
            self._beat_again()

    @property
    def is_heard(self) -> bool:
        """Whether a service manager started us."""
        return self._socket is not None

    def hear(self, record: Record) -> None:
        """Pass on what a record means to the service manager."""
        if self._socket is not None and (notice := self._notices.hear(record, time.monotonic_ns() // 1000)):
            self._socket.send(notice)

    def say(self, status: str) -> None:
        """Show a status of one line."""
        if self._socket is not None:
            self._socket.send(f"STATUS={' '.join(status.split())}")

    def store(self, bound: Iterable[BoundListener], passed: Passed) -> None:
        """Have our listening sockets kept while we are not there, and those that are not wanted any more let go of.

        Args:
            bound: What we listen on.
            passed: What we were given; what came from the store is ours under another number by now.
        """
        names = {stored_name(str(listener.address)) for listener in bound if listener.is_ours}
        for name in passed.stored():
            for fd in passed.named(name):
                os.close(fd)
            if name not in names and self._socket is not None:
                self._socket.send(f"FDSTOREREMOVE=1\nFDNAME={name}")
        if self._socket is None:
            return
        for listener in bound:
            name = stored_name(str(listener.address))
            if listener.is_ours and name not in passed.stored():
                self._socket.send(f"FDSTORE=1\nFDNAME={name}", (listener.sock.fileno(),))

    def close(self) -> None:
        """Say nothing more."""
        if self._beat is not None:
            self._beat.cancel()
        if self._socket is not None:
            self._socket.close()

    def _beat_again(self) -> None:
        assert self._socket is not None
        if not self._socket.is_behind:
            self._socket.send("WATCHDOG=1")
        self._beat = self._loop.call_later(self._rhythm, self._beat_again)
