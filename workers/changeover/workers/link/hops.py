"""How far a packet may have come: a listening socket that demands the impossible gets no new connections.

Packets whose time to live is below the demand are dropped, and no packet of an ordinary host
has one of 255. The demand is not made of packets that complete a handshake under way, but the
connection inherits it, so whoever accepts must lift it; what the client sent meanwhile it sends
again. No privilege is needed.
"""

import socket

IP_MINTTL = 21
IPV6_MINHOPCOUNT = 73

ANY = 0
"""No demand."""
IMPOSSIBLE = 255
"""More than ordinary hosts start with (64, 128); what arrives with it has crossed no router and was set so."""


def demand_hops(sock: socket.socket, least: int) -> None:
    """Drop packets with a lower time to live than `least`; does nothing to a unix socket.

    Args:
        sock: Listening or connected.
        least: From 0 to 255.
    """
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_MINHOPCOUNT, least)
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_IP, IP_MINTTL, least)
