"""Clients so near that a small window carries all that they can take: proxies on the same machine, mostly.

The kernel lets the send buffer of a long response grow to megabytes, whoever reads it. Memory that so many bytes pass
through has left the processor's caches when it is read, and when it is written again: both cost twice as much.
"""

import socket
import struct

NEAR = 100
"""Microseconds to a client and back, at best, up to which it is near."""
LATELY = 4 * NEAR
"""The same on an average of late, which counts what waits on the way and a receiver's own pauses."""
ACKNOWLEDGED = 64 * 1024
"""Bytes that a client has confirmed before it is judged. Who answered its handshake may have stood in its place."""
ROOM = 128 * 1024
"""Bytes on their way to a near client. The kernel makes twice as many of it, for what it needs itself, too; so many in
`NEAR` are 20 Gbit/s."""
_TOLD = struct.Struct("68xI48xQ20xI")
"""The beginning of `tcp_info`: the time to the client and back on an average of late, bytes that it has confirmed, and
the shortest such time."""


def narrow(own: socket.socket) -> bool:
    """Bound what is on its way to the client of a socket, if it is near; all others stay as they are.

    Returns:
        Whether that is settled: it is done, or is for no one that is so far.
    """
    try:
        told = own.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TOLD.size)
        if len(told) < _TOLD.size:
            return True
        lately, acknowledged, best = _TOLD.unpack(told)
        if not 0 < best <= NEAR:  # 0 is what a kernel says that does not measure it
            return True
        if lately > LATELY or acknowledged < ACKNOWLEDGED:
            return False
        if own.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) > 2 * ROOM:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ROOM)
            return True
    except (OSError, ValueError):  # it is closed, or no TCP
        return True
    return False
