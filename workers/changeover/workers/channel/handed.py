"""The socket of a connection on its way from one process to another."""

import _socket
import socket


class HandedSocket(socket.socket):
    """Says its family and type as the plain numbers that they are.

    The loop asks four times before it has a transport, and a member of an enumeration is looked up each time.
    """

    family, type = _socket.socket.family, _socket.socket.type  # type: ignore[assignment]
