"""What a client did while nobody reads from it, where a loop hears nothing of it."""

import asyncio
import select
import socket


def has_left(transport: asyncio.Transport) -> bool:
    """Whether the other side of a connection has shut its write side or is gone, whatever of it is unread."""
    own: socket.socket | None = transport.get_extra_info("socket")
    if own is None or (descriptor := own.fileno()) < 0:
        return False
    asked = select.poll()
    asked.register(descriptor, select.POLLRDHUP)
    return bool(asked.poll(0))
