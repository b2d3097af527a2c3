"""What the kernel says of what was written to a client: what it still has, and what the client has confirmed."""

import asyncio
import fcntl
import socket
import struct
import termios

from changeover.workers.channel.tcp_info import tcp_info


def unacknowledged(transport: asyncio.Transport) -> int:
    """How many bytes of a connection wait in the kernel until its client acknowledges them; 0 where that is not known.

    A loop hears that a client takes something in steps of up to a third of what the kernel holds, which are megabytes.
    """
    own: socket.socket | None = transport.get_extra_info("socket")
    if own is None:
        return 0
    try:
        (size,) = struct.unpack("i", fcntl.ioctl(own.fileno(), termios.TIOCOUTQ, bytes(4)))
    except (OSError, ValueError):  # it is closed
        return 0
    return int(size)


def acknowledged(transport: asyncio.Transport) -> int:
    """How many bytes the client of a connection has confirmed since it began; 0 where that is not known."""
    own: socket.socket | None = transport.get_extra_info("socket")
    told = None if own is None else tcp_info(own)
    return 0 if told is None else told.acknowledged
