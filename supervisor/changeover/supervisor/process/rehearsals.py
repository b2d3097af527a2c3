"""What one zygote is asked to have rehearsed: from the order to the end of the process that watches over it."""

import asyncio
import fcntl
import os
from collections.abc import Callable
from dataclasses import dataclass

from changeover.supervisor.process.keeper import Keeper
from changeover.workers.link.packets import Packet
from changeover.workers.protocol import forking
from changeover.workers.protocol.forking import ZygoteOrder
from changeover.workers.protocol.rehearsal import RehearsalOrder, encode

OnEnd = Callable[[bytes, str], None]
"""Takes the report of a rehearsal, as it was written; empty where there is none, with why."""

_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK


@dataclass(slots=True)
class _Rehearsal:
    """One of them; nobody waits for its end any more once `on_end` is None."""

    on_end: OnEnd | None
    keeper: Keeper | None = None


class Rehearsals:
    """Those of one zygote, by number.

    Args:
        loop: Watches their keepers.
        send: Takes orders for the zygote, with descriptors that are owned from there on.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, send: Callable[[ZygoteOrder, tuple[int, ...]], None]) -> None:
        self._loop = loop
        self._send = send
        self._all: dict[int, _Rehearsal] = {}

    def begin(self, number: int, order: RehearsalOrder, on_end: OnEnd) -> None:
        """Have something rehearsed.

        Args:
            number: Tells it from others.
            order: What, and with which limits.
            on_end: Called once, when no process of it is left, unless it is given up.

        Raises:
            OSError: The order cannot be written down.
        """
        self._send(forking.Rehearse(number), (_written(encode(order)),))
        self._all[number] = _Rehearsal(on_end)

    def give_up(self, number: int) -> None:
        """Have it ended; its end is told to nobody."""
        if (rehearsal := self._all.get(number)) is not None:
            rehearsal.on_end = None
            if rehearsal.keeper is not None:
                rehearsal.keeper.give_up()
            else:
                self._kill(number)

    def begun(self, report: forking.Rehearsing, packet: Packet) -> None:
        """A keeper exists."""
        number, rehearsal = report.number, self._all.get(report.number)
        if rehearsal is None or rehearsal.keeper is not None or len(packet.fds) < forking.REHEARSING_DESCRIPTORS:
            packet.close_fds()
            self._kill(number)
            self._end(number, b"", "no descriptor was free for it")
            return
        pidfd, sock = packet.fds
        rehearsal.keeper = Keeper(
            self._loop,
            pidfd,
            sock,
            lambda: self._kill(number),
            lambda written: self._end(number, written, "the process over it ended without a report"),
        )
        if rehearsal.on_end is None:
            rehearsal.keeper.give_up()

    def failed(self, report: forking.RehearsalFailed) -> None:
        """The zygote could not begin one."""
        self._end(report.number, b"", report.reason)

    def lose(self, why: str) -> None:
        """The zygote is gone: none of what has not begun will; keepers end by themselves, and are waited for."""
        for number, rehearsal in tuple(self._all.items()):
            if rehearsal.keeper is None:
                self._end(number, b"", why)

    def close(self) -> None:
        """Let go of all of them, which ends them; nothing is told."""
        for rehearsal in self._all.values():
            if rehearsal.keeper is not None:
                rehearsal.keeper.let_go()
        self._all.clear()

    def _kill(self, number: int) -> None:
        self._send(forking.EndRehearsal(number), ())

    def _end(self, number: int, written: bytes, why: str) -> None:
        rehearsal = self._all.pop(number, None)
        if rehearsal is not None and rehearsal.on_end is not None:
            rehearsal.on_end(written, "" if written else why)


def _written(order: bytes) -> int:
    """A file with the order that nobody can change any more."""
    fd = os.memfd_create("rehearsal", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with os.fdopen(fd, "wb", closefd=False) as file:
            file.write(order)
        os.lseek(fd, 0, os.SEEK_SET)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(fd)
        raise
    return fd
