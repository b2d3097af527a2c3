"""The line to the supervisor: orders come in, reports go out, each packet with its descriptors."""

import errno
import select
import socket
import time
from collections import deque
from collections.abc import Callable

from changeover.workers.link.credentials import ROOT, peer_is_us
from changeover.workers.link.packets import Packet, receive_packet, send_packet
from changeover.workers.protocol import forking
from changeover.workers.protocol.codec import MalformedFrame
from changeover.workers.protocol.forking import ZygoteOrder, ZygoteReport

MOST_WAITING = 4
"""Supervisors that may wait to be accepted."""

_BUSY = (errno.EAGAIN, errno.ETOOMANYREFS, errno.ENOBUFS, errno.ENOMEM)


class Line:
    """Connects one supervisor at a time, and waits for the next once it is gone.

    Args:
        listening: Where supervisors connect; they see who listens, so this process has to have said so itself.
        supervisor: The connected one, None as long as there is none.
        lost: Called when the supervisor is gone.

    Attributes:
        alone_since: When the last supervisor went, or there was none yet (monotonic).
        malformed: Packets that meant nothing.
    """

    def __init__(self, listening: socket.socket, supervisor: socket.socket | None, lost: Callable[[], None]) -> None:
        listening.listen(MOST_WAITING)
        self._listening = listening
        self._supervisor = supervisor
        self._lost = lost
        self._outgoing: deque[tuple[ZygoteReport, tuple[int, ...]]] = deque()
        self.alone_since = time.monotonic()
        self.malformed = 0

    @property
    def connected(self) -> bool:
        """Whether there is a supervisor."""
        return self._supervisor is not None

    @property
    def waits(self) -> bool:
        """Whether reports wait for room."""
        return bool(self._outgoing)

    @property
    def supervisor(self) -> int | None:
        """The descriptor of the connection; None as long as there is none."""
        return None if self._supervisor is None else self._supervisor.fileno()

    def watched(self) -> int:
        """The descriptor that says when there is something to accept or to receive."""
        return (self._supervisor or self._listening).fileno()

    def descriptors(self) -> tuple[int, ...]:
        """All that are its own."""
        return (self._listening.fileno(), *(() if self._supervisor is None else (self._supervisor.fileno(),)))

    def accept(self) -> bool:
        """Take the next supervisor; False when it is gone again, or is none."""
        try:
            accepted, _ = self._listening.accept()
        except OSError:
            return False
        if not peer_is_us(accepted, ROOT):
            accepted.close()
            return False
        self._supervisor = accepted
        self._supervisor.setblocking(False)
        return True

    def receive(self) -> tuple[ZygoteOrder, Packet] | None:
        """The next order, and its packet, whose descriptors are the caller's; None when nothing came, or nothing that
        means anything."""
        assert self._supervisor is not None
        try:
            packet = receive_packet(self._supervisor, forking.MAX_PACKET, forking.REHEARSE_DESCRIPTORS)
        except BlockingIOError:
            return None
        except OSError:
            packet = Packet(b"")
        if not packet.data:
            self._disconnect()
            return None
        try:
            return forking.decode_order(packet.data), packet
        except MalformedFrame:
            packet.close_fds()
            self.malformed += 1
            return None

    def say(self, report: ZygoteReport, fds: tuple[int, ...] = ()) -> None:
        """Report, now or when there is room; nobody hears it where there is no supervisor."""
        if self._supervisor is not None:
            self._outgoing.append((report, fds))
            self.flush()

    def flush(self) -> None:
        """Send what waits, as far as there is room."""
        while self._outgoing and self._supervisor is not None:
            report, fds = self._outgoing[0]
            try:
                send_packet(self._supervisor, forking.encode(report), fds)
            except OSError as error:
                if error.errno not in _BUSY:
                    self._disconnect()
                return
            self._outgoing.popleft()

    def drain(self, seconds: float) -> None:
        """Wait until everything is sent, but no longer than so many seconds."""
        end = time.monotonic() + seconds
        while self._outgoing and self._supervisor is not None and time.monotonic() < end:
            select.select([], [self._supervisor], [], end - time.monotonic())
            self.flush()

    def _disconnect(self) -> None:
        assert self._supervisor is not None
        self._supervisor.close()
        self._supervisor = None
        self._outgoing.clear()
        self.alone_since = time.monotonic()
        self._lost()
