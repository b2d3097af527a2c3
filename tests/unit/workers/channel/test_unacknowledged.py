"""What the kernel still has for a client goes down as it is taken, whatever a loop hears."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from changeover.workers.channel.unacknowledged import unacknowledged
from tests.waits import until

PIECE = b"x" * 64 * 1024


@asynccontextmanager
async def connected(here: socket.socket, there: socket.socket) -> AsyncIterator[asyncio.Transport]:
    """A transport on this side of a connection."""
    there.setblocking(False)
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=here)
    try:
        yield transport
    finally:
        transport.abort()
        there.close()
        await until(lambda: here.fileno() < 0, "the end of the connection")


def pair(family: socket.AddressFamily) -> tuple[socket.socket, socket.socket]:
    """Two ends of a connection, of which the second takes little at a time."""
    if family is socket.AF_UNIX:
        return socket.socketpair()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        there = socket.socket()
        there.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        there.connect(listener.getsockname())
        return listener.accept()[0], there


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
async def test_it_is_what_a_client_has_yet_to_take(family: socket.AddressFamily) -> None:
    here, there = pair(family)
    async with connected(here, there) as transport:
        assert unacknowledged(transport) == 0
        while transport.get_write_buffer_size() == 0:
            transport.write(PIECE)
        before = unacknowledged(transport)
        assert before > 0
        while (left := unacknowledged(transport) + transport.get_write_buffer_size()) >= before:
            await asyncio.get_running_loop().sock_recv(there, 4096)
        assert left < before


async def test_of_one_that_is_closed_nothing_is_known() -> None:
    async with connected(*socket.socketpair()) as transport:
        transport.abort()
        await until(transport.is_closing)
    assert unacknowledged(transport) == 0
