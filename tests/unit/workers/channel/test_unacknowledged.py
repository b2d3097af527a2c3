"""What the kernel tells of what a client takes, whatever a loop hears."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from changeover.workers.channel.unacknowledged import acknowledged, unacknowledged
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


async def until_taken(there: socket.socket, condition: Callable[[], bool]) -> None:
    """Take a little at a time until `condition` holds."""
    while not condition():
        await asyncio.get_running_loop().sock_recv(there, 4096)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
async def test_it_is_what_a_client_has_yet_to_take(family: socket.AddressFamily) -> None:
    here, there = pair(family)
    async with connected(here, there) as transport:
        assert unacknowledged(transport) == 0
        while transport.get_write_buffer_size() == 0:
            transport.write(PIECE)
        before = unacknowledged(transport)
        assert before > 0
        await until_taken(there, lambda: unacknowledged(transport) + transport.get_write_buffer_size() < before)


async def test_what_a_client_has_confirmed_grows_by_what_it_takes_and_not_by_what_is_written() -> None:
    here, there = pair(socket.AF_INET)
    async with connected(here, there) as transport:
        while transport.get_write_buffer_size() == 0:
            transport.write(PIECE)
        await until(lambda: unacknowledged(transport) > 0)
        before = acknowledged(transport)
        transport.write(PIECE)
        await asyncio.sleep(0)
        assert acknowledged(transport) == before
        await until_taken(there, lambda: acknowledged(transport) > before)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
async def test_of_one_that_is_closed_nothing_is_known(family: socket.AddressFamily) -> None:
    async with connected(*pair(family)) as transport:
        transport.abort()
        await until(transport.is_closing)
    assert (unacknowledged(transport), acknowledged(transport)) == (0, 0)


async def test_what_is_no_tcp_confirms_nothing() -> None:
    async with connected(*socket.socketpair()) as transport:
        assert acknowledged(transport) == 0
