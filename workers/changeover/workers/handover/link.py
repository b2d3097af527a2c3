"""One handover link on a worker's loop: packets, to the last one."""

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from changeover.workers.handover.messages import MAX_PACKET
from changeover.workers.link.credentials import peer_is_us
from changeover.workers.link.packets import Packet, receive_packet, send_packet


def dial(path: Path) -> socket.socket:
    """Connect to a worker's socket.

    Raises:
        OSError: Nobody listens there, or not one of ours.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        sock.setblocking(False)
        sock.connect(os.fspath(path))
        if not peer_is_us(sock):
            raise PermissionError(errno.EPERM, "another user listens there")
    except OSError:
        sock.close()
        raise
    return sock


class Link:
    """A connected SEQPACKET socket.

    Args:
        loop: Runs the callback.
        sock: Owned from here on.
        descriptors: Most descriptors beside a packet.
        on_readable: Called as long as there is something to `take`.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sock: socket.socket, descriptors: int, on_readable: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._descriptors = descriptors
        sock.setblocking(False)
        loop.add_reader(sock, on_readable)

    def take(self, most: int) -> Iterator[Packet]:
        """At most so many packets that have arrived; an empty one is the end, and there is nothing before it.

        A peer that closed without reading everything resets the link. That is told once, before what it had sent.
        """
        for _ in range(most):
            if self._sock.fileno() < 0:
                return
            try:
                packet = receive_packet(self._sock, MAX_PACKET, self._descriptors)
            except ConnectionResetError:
                continue
            except OSError:  # there is nothing, or no memory for it: asked again in the next turn
                return
            yield packet
            if not packet.data:
                return

    def send(self, data: bytes, fds: Sequence[int] = ()) -> None:
        """Send one packet, whole or not at all.

        Raises:
            OSError: It is not sent.
        """
        send_packet(self._sock, data, fds)

    def close(self) -> None:
        """Close it; what was not read is lost, for the peer to see."""
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock)
            self._sock.close()
