"""What a client did while nobody reads from it, where a loop hears nothing of it."""

import asyncio
import select
import socket


def has_left(transport: asyncio.Transport, shut: bool) -> bool:
    """Whether the other side of a connection is gone, or has `shut` its write side, whatever of it is unread."""
    own: socket.socket | None = transport.get_extra_info("socket")
    if own is None or (descriptor := own.fileno()) < 0:
        return False
    asked = select.poll()
    asked.register(descriptor, select.POLLRDHUP if shut else 0)  # that it is gone is always told
    return bool(asked.poll(0))
