"""What the kernel tells of a TCP connection (`tcp_info` of linux/tcp.h)."""

import socket
import struct
from typing import NamedTuple

_TOLD = struct.Struct("68xI48xQ20xI")


class TcpInfo(NamedTuple):
    """Of a connection, as far as somebody asks.

    Attributes:
        lately: Microseconds to the client and back, on an average of late.
        acknowledged: Bytes that the client has confirmed since it began.
        best: The shortest time to the client and back, microseconds; 0 where the kernel does not measure it.
    """

    lately: int
    acknowledged: int
    best: int


def tcp_info(own: socket.socket) -> TcpInfo | None:
    """What is told of a socket; None where it is closed, or no TCP, or the kernel is too old to say."""
    try:
        told = own.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TOLD.size)
    except (OSError, ValueError):
        return None
    return TcpInfo._make(_TOLD.unpack(told)) if len(told) == _TOLD.size else None
