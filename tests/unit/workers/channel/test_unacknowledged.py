"""What the kernel still has for a client goes down as it is taken, whatever a loop hears."""

import asyncio
import socket

import pytest

from changeover.workers.channel.unacknowledged import unacknowledged
from tests.waits import until

MUCH = 64 * 1024


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
async def test_it_is_what_a_client_has_yet_to_take(family: socket.AddressFamily) -> None:
    here, there = pair(family)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=here)
    assert unacknowledged(transport) == 0
    for each in (here, there):
        each.setblocking(False)
    transport.write(b"x" * MUCH)
    while transport.get_write_buffer_size() == 0:
        transport.write(b"x" * MUCH)
    before = unacknowledged(transport)
    assert before > 0
    taken = 0
    while taken < before // 2:
        taken += len(await loop.sock_recv(there, before // 2 - taken))
    await until(lambda: unacknowledged(transport) < before, "less of it")
    transport.abort()
    there.close()


async def test_of_one_that_is_closed_nothing_is_known() -> None:
    here, there = socket.socketpair()
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=here)
    transport.abort()
    await until(lambda: here.fileno() < 0)
    assert unacknowledged(transport) == 0
    there.close()


def pair(family: socket.AddressFamily) -> tuple[socket.socket, socket.socket]:
    """Two ends of a connection, of which the second takes little at a time."""
    if family is socket.AF_UNIX:
        return socket.socketpair()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        there = socket.socket()
        there.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        there.connect(listener.getsockname())
        return listener.accept()[0], there
