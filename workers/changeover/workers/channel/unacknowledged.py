"""What the kernel still has of what was written to a client."""

import asyncio
import fcntl
import socket
import struct
import termios


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
