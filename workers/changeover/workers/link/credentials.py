"""Who is at the other end of a unix socket, as the kernel says."""

import os
import socket
import struct

ROOT = 0
_CREDENTIALS = struct.Struct("3i")


def peer_is_us(sock: socket.socket, *others: int) -> bool:
    """Whether the other end runs as the user that we run as, or as one of `others`."""
    told = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, _ = _CREDENTIALS.unpack(told)
    return uid in (os.geteuid(), *others)
