"""WebSocket clients that send a text and wait for the same text, again and again; without a library, so that what is
measured is the server."""

import base64
import os
import selectors
import socket
import time

from benchmarks.load.process import LoadBroken

TEXT = b"x" * 64
FRAME = bytes((0x81, 0x80 | len(TEXT))) + bytes(4) + TEXT
"""A whole text message; a mask of zeros changes nothing."""
ECHO = bytes((0x81, len(TEXT))) + TEXT
DEADLINE = 10.0


def converse(address: tuple[str, int], connections: int, seconds: float) -> int:
    """Keep so many WebSockets busy for so long; how many echoes came.

    Raises:
        LoadBroken: The server accepts no WebSocket, or answers with something else.
    """
    with selectors.EpollSelector() as selector:
        clients = [_opened(address) for _ in range(connections)]
        try:
            for client in clients:
                selector.register(client, selectors.EVENT_READ)
                client.send(FRAME)
            return _count(selector, time.monotonic() + seconds)
        finally:
            for client in clients:
                client.close()


def _count(selector: selectors.EpollSelector, end: float) -> int:
    count = 0
    pieces: dict[int, bytes] = {}
    while time.monotonic() < end:
        for key, _ in selector.select(1.0):
            client: socket.socket = key.fileobj  # type: ignore[assignment]
            echo = pieces.pop(key.fd, b"") + client.recv(65536)
            if echo == ECHO:
                client.send(FRAME)
                count += 1
            elif ECHO.startswith(echo) and echo:
                pieces[key.fd] = echo
            else:
                raise LoadBroken(f"instead of an echo came {echo[:80]!r}")
    return count


def _opened(address: tuple[str, int]) -> socket.socket:
    client = socket.create_connection(address, DEADLINE)
    key = base64.b64encode(os.urandom(16)).decode("ascii")
    client.sendall(
        f"GET / HTTP/1.1\r\nHost: {address[0]}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode("ascii")
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = client.recv(4096)
        head += piece
        if not piece or not b"HTTP/1.1 101".startswith(head[:12]):
            client.close()
            raise LoadBroken(f"it accepts no WebSocket: {head[:80]!r}")
    return client
