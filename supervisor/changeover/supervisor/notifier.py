"""Tells the service manager that started us, where one did, what it has to know."""

import asyncio
import os
import time
from collections.abc import Callable, Iterable

from changeover.supervisor.core.records.record import Record
from changeover.supervisor.process.listeners import BoundListener
from changeover.supervisor.process.notify import Managed, NotifySocket
from changeover.supervisor.process.passed import Passed, stored_name
from changeover.supervisor.process.unit import FIT, ending_of, own_unit
from changeover.supervisor.telemetry.notices import Notices
from changeover.supervisor.telemetry.shell import KillModeUnfit


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
        self._invoked = managed.invoked
        self._beat: asyncio.TimerHandle | None = None
        self._look: asyncio.Task[None] | None = None
        if socket is not None and self._rhythm:
            self._beat_again()

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

        A stored socket that was not taken back is dead: the one that was bound in its stead takes its place.

        Args:
            bound: What we listen on.
            passed: What we were given; what came from the store is ours under another number by now.
        """
        ours = [listener for listener in bound if listener.is_ours]
        stored = [fd for name in passed.stored() for fd in passed.named(name)]
        known = {_identity(fd) for fd in stored}
        for fd in stored:
            os.close(fd)
        if self._socket is None:
            return
        kept = {_name(listener) for listener in ours if _identity(listener.sock.fileno()) in known}
        for name in passed.stored():
            if name not in kept:
                self._socket.send(f"FDSTOREREMOVE=1\nFDNAME={name}")
        self.keep(listener for listener in ours if _name(listener) not in kept)

    def keep(self, added: Iterable[BoundListener]) -> None:
        """Have further listening sockets of ours kept while we are not there."""
        for listener in added:
            if self._socket is not None and listener.is_ours:
                self._socket.send(f"FDSTORE=1\nFDNAME={_name(listener)}", (listener.sock.fileno(),))

    def forget(self, removed: Iterable[BoundListener]) -> None:
        """Have listening sockets of ours kept no longer."""
        for name in dict.fromkeys(_name(listener) for listener in removed if listener.is_ours):
            if self._socket is not None:
                self._socket.send(f"FDSTOREREMOVE=1\nFDNAME={name}")

    def look_at_unit(self, tell: Callable[[Record], None]) -> None:
        """Find out, beside everything else, whether our unit leaves workers alone; `tell` hears if not.

        A service that tells nothing (`Type=simple`) leaves its mark on everything below it, a desktop's terminals too.
        So without a socket the unit counts as ours only where its end is ours.
        """
        if self._socket is not None:
            self._look = self._loop.create_task(_look_at_unit(tell))
        elif self._invoked:
            self._look = self._loop.create_task(_look_at_unit(tell, main=os.getpid()))

    def beat(self) -> None:
        """Say that we live, ahead of time: nobody does while one program becomes another."""
        if self._socket is not None and self._rhythm:
            self._socket.send("WATCHDOG=1")

    def close(self) -> None:
        """Say nothing more."""
        if self._look is not None:
            self._look.cancel()
        if self._beat is not None:
            self._beat.cancel()
        if self._socket is not None:
            self._socket.close()

    def _beat_again(self) -> None:
        assert self._socket is not None
        if not self._socket.is_behind:
            self._socket.send("WATCHDOG=1")
        self._beat = self._loop.call_later(self._rhythm, self._beat_again)


def _name(listener: BoundListener) -> str:
    return stored_name(str(listener.address))


def _identity(fd: int) -> tuple[int, int]:
    """The same for every descriptor of one socket."""
    found = os.fstat(fd)
    return found.st_dev, found.st_ino


async def _look_at_unit(tell: Callable[[Record], None], main: int | None = None) -> None:
    found = own_unit()
    if found is None:
        return
    ending = await asyncio.to_thread(ending_of, found)
    if ending.kill_mode and ending.kill_mode not in FIT and main in (None, ending.main):
        tell(KillModeUnfit(found.name, ending.kill_mode))
