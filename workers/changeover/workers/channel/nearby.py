"""Clients so near that a small window carries all that they can take: proxies on the same machine, mostly.

The kernel lets the send buffer of a long response grow to megabytes, whoever reads it. Memory that so many bytes pass
through has left the processor's caches when it is read, and when it is written again: both cost twice as much.
"""

import socket

from changeover.workers.channel.tcp_info import tcp_info

NEAR = 100
"""Microseconds to a client and back, at best, up to which it is near."""
LATELY = 4 * NEAR
"""The same on an average of late, which counts what waits on the way and a receiver's own pauses."""
ACKNOWLEDGED = 64 * 1024
"""Bytes that a client has confirmed before it is judged. Who answered its handshake may have stood in its place."""
ROOM = 128 * 1024
"""Bytes on their way to a near client. The kernel makes twice as many of it, for what it needs itself, too; so many in
`NEAR` are 20 Gbit/s."""


def narrow(own: socket.socket) -> bool:
    """Bound what is on its way to the client of a socket, if it is near; all others stay as they are.

    Returns:
        Whether that is settled: it is done, or is for no one that is so far.
    """
    told = tcp_info(own)
    if told is None or not 0 < told.best <= NEAR:
        return True
    if told.lately > LATELY or told.acknowledged < ACKNOWLEDGED:
        return False
    if own.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) > 2 * ROOM:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ROOM)
        return True
    return False
