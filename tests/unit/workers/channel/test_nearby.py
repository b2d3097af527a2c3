"""What is on its way to a client nearby is bounded, once its response turns out to be long."""

import asyncio
import socket
import struct

import pytest

from changeover.workers.channel.nearby import NEAR, ROOM, narrow
from changeover.workers.channel.outlet import JOIN, STRETCH, Outlet
from changeover.workers.serving.exchange import Exchange
from tests.waits import until
from tests.wire import get, serving

PIECE = b"x" * 65536
UNKNOWN = 2**32 - 1
"""What the kernel says as long as it has measured nothing."""


class Told:
    """A socket of which the kernel tells how near its client is.

    Args:
        told: What `TCP_INFO` is.

    Attributes:
        asked: How often it was asked.
        room: What the send buffer was bounded to; 0 = it was not.
    """

    def __init__(self, told: bytes) -> None:
        self.told = told
        self.asked = self.room = 0

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        assert (level, option) == (socket.IPPROTO_TCP, socket.TCP_INFO)
        self.asked += 1
        return self.told[:size]

    def setsockopt(self, level: int, option: int, value: int) -> None:
        assert (level, option) == (socket.SOL_SOCKET, socket.SO_SNDBUF)
        self.room = value


class Takes(asyncio.Transport):
    """Takes everything."""

    def __init__(self, own: Told | None, *, closing: bool = False) -> None:
        super().__init__({"socket": own})
        self.closing = closing

    def is_closing(self) -> bool:
        return self.closing

    def write(self, data: object) -> None:
        """It is gone."""

    def writelines(self, list_of_data: object) -> None:
        """They are gone."""


def info(best: int) -> bytes:
    """What the kernel tells of a connection whose client was reached in so many microseconds, at best."""
    return struct.pack("148xI80x", best)


@pytest.mark.parametrize(("told", "room"), [
    (info(0), ROOM), (info(NEAR), ROOM), (info(NEAR + 1), 0), (info(UNKNOWN), 0), (info(0)[:104], 0),
])  # fmt: skip
def test_only_a_client_that_is_known_to_be_near_gets_a_small_buffer(told: bytes, room: int) -> None:
    own = Told(told)
    narrow(own)  # type: ignore[arg-type]
    assert own.room == room


def test_where_the_kernel_says_so_a_client_on_the_same_machine_is_near() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        rooms = {_narrowed(listener) for _ in range(20)}
    assert 2 * ROOM in rooms  # the kernel doubles it


def test_what_is_no_tcp_stays_as_it_is() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        before = ours.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        narrow(ours)
        assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == before


def test_what_is_short_asks_nothing_and_what_is_long_asks_once() -> None:
    own = Told(info(0))
    outlet = Outlet(Takes(own))
    outlet.send_whole(b"head", b"x" * JOIN)
    for _ in range(STRETCH // len(PIECE) - 1):
        outlet.send([PIECE], len(PIECE))
    assert (own.asked, own.room) == (0, 0)
    for _ in range(10):
        outlet.send([PIECE], len(PIECE))
    assert (own.asked, own.room) == (1, ROOM)


def test_a_whole_answer_that_is_long_is_bounded_before_it_is_written() -> None:
    own = Told(info(0))
    outlet = Outlet(Takes(own))
    outlet.send_whole(b"head", b"x" * (STRETCH + 1))
    assert own.room == ROOM


def test_nothing_is_asked_of_what_is_closed_already() -> None:
    """Its descriptor may be another's by then."""
    own = Told(info(0))
    Outlet(Takes(own, closing=True)).send([PIECE] * 10, 10 * len(PIECE))
    assert own.asked == 0


def test_a_transport_without_a_socket_is_written_to_all_the_same() -> None:
    Outlet(Takes(None)).send([PIECE] * 10, 10 * len(PIECE))


async def test_a_client_that_reads_nothing_is_held_less_for_by_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """How near a client of this machine is, is up to who else works on it."""
    monkeypatch.setattr("changeover.workers.channel.nearby.NEAR", UNKNOWN)
    written = 0

    async def endless(exchange: Exchange) -> None:
        nonlocal written
        exchange.start(200, [])
        while exchange.connected:
            exchange.write(PIECE)
            written += len(PIECE)
            await exchange.drain()

    async with serving(endless) as server:
        client = await server.client()
        client.send(get("/"))
        await until(lambda: any(each.outlet.clogged for each in server.connections), "the client to fall behind")
        (own,) = (each.outlet._transport.get_extra_info("socket") for each in server.connections)
        assert own.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 2 * ROOM
        assert written > STRETCH


def _narrowed(listener: socket.socket) -> int:
    with socket.create_connection(listener.getsockname()), listener.accept()[0] as own:
        narrow(own)
        return own.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
