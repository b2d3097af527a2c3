"""Packets over a SEQPACKET socket on the supervisor's loop: callbacks in, a queue out."""

import asyncio
import socket
from collections import deque
from collections.abc import Callable

from changeover.workers.link.packets import Packet, receive_packet, send_packet

MOST_WAITING = 1024
"""Packets that may wait for a peer that does not read; one more ends the channel."""


class PacketChannel:
    """One connected socket.

    Args:
        loop: Runs the callbacks.
        sock: Non-blocking; owned from here on.
        longest: Most bytes of a packet.
        descriptors: Most descriptors beside a packet.
        on_packet: Takes each packet and its descriptors.
        on_end: Called once, when the peer is gone or does not read.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        longest: int,
        descriptors: int,
        on_packet: Callable[[Packet], None],
        on_end: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._longest = longest
        self._descriptors = descriptors
        self._on_packet = on_packet
        self._on_end = on_end
        self._waiting: deque[Packet] = deque()
        loop.add_reader(sock, self.drain)

    @property
    def descriptor(self) -> int:
        """Of the socket; -1 once the channel has ended."""
        return self._sock.fileno()

    def send(self, data: bytes, fds: tuple[int, ...] = ()) -> None:
        """Send a packet, after those that wait; lost when the channel has ended.

        Args:
            data: Its bytes.
            fds: Descriptors that go with it; owned from here on.
        """
        packet = Packet(data, fds)
        if self._sock.fileno() < 0:
            return packet.close_fds()
        self._waiting.append(packet)
        if len(self._waiting) > MOST_WAITING:
            self._end()
        else:
            self._flush()

    def drain(self) -> None:
        """Take everything that has arrived."""
        while self._sock.fileno() >= 0:
            try:
                packet = receive_packet(self._sock, self._longest, self._descriptors)
            except BlockingIOError:
                return
            except OSError:
                return self._end()
            if not packet.data:
                return self._end()
            self._on_packet(packet)

    def close(self) -> None:
        """Close it; `on_end` is not called."""
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock)
            self._loop.remove_writer(self._sock)
            self._sock.close()
        while self._waiting:
            self._waiting.popleft().close_fds()

    def _flush(self) -> None:
        while self._waiting:
            try:
                send_packet(self._sock, self._waiting[0].data, self._waiting[0].fds)
            except BlockingIOError:
                self._loop.add_writer(self._sock, self._flush)
                return
            except OSError:
                return self._end()
            self._waiting.popleft().close_fds()
        self._loop.remove_writer(self._sock)

    def _end(self) -> None:
        self.close()
        self._on_end()
