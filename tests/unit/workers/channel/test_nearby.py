"""What is on its way to a client nearby is bounded, once its response turns out to be long."""

import asyncio
import socket
import struct

import pytest

from changeover.workers.channel.nearby import ACKNOWLEDGED, LATELY, NEAR, ROOM, narrow
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
        now: How large its send buffer is.

    Attributes:
        told: As above.
        asked: How often it was asked.
        room: What the send buffer was bounded to; 0 = it was not.
    """

    def __init__(self, told: bytes, now: int = 2 * ROOM + 1) -> None:
        self.told = told
        self.asked = self.room = 0
        self._now = now

    def getsockopt(self, level: int, option: int, size: int = 0) -> bytes | int:
        if (level, option) == (socket.SOL_SOCKET, socket.SO_SNDBUF):
            return self._now
        assert (level, option) == (socket.IPPROTO_TCP, socket.TCP_INFO)
        self.asked += 1
        return self.told[:size]

    def setsockopt(self, level: int, option: int, value: int) -> None:
        assert (level, option) == (socket.SOL_SOCKET, socket.SO_SNDBUF)
        self.room = value


class Takes(asyncio.Transport):
    """Takes everything.

    Args:
        own: Its socket.
        closing: Whether it is closed.

    Attributes:
        closing: As above.
        asked_before: How often its socket was asked before each time that several pieces were written.
    """

    def __init__(self, own: Told | None, *, closing: bool = False) -> None:
        super().__init__({"socket": own})
        self.closing = closing
        self.asked_before: list[int] = []
        self._own = own

    def is_closing(self) -> bool:
        return self.closing

    def write(self, data: object) -> None:
        """It is gone."""

    def writelines(self, list_of_data: object) -> None:
        if self._own is not None:
            self.asked_before.append(self._own.asked)


def info(best: int, lately: int = NEAR, acknowledged: int = ACKNOWLEDGED) -> bytes:
    """What the kernel tells of a connection.

    Args:
        best: Microseconds in which its client was reached, at best.
        lately: The same on an average of late.
        acknowledged: What that has confirmed.
    """
    return struct.pack("68xI48xQ20xI80x", lately, acknowledged, best)


@pytest.mark.parametrize(("told", "room"), [
    (info(1), ROOM), (info(NEAR), ROOM), (info(NEAR + 1), 0), (info(UNKNOWN), 0), (info(1)[:104], 0),
    (info(1, LATELY), ROOM), (info(1, LATELY + 1), 0), (info(1, 50_000), 0),
    (info(1, acknowledged=ACKNOWLEDGED - 1), 0), (info(0), 0), (bytes(232), 0),
])  # fmt: skip
def test_only_a_client_that_is_known_to_be_near_gets_a_small_buffer(told: bytes, room: int) -> None:
    own = Told(told)
    narrow(own)  # type: ignore[arg-type]
    assert own.room == room


@pytest.mark.parametrize("now", [32 * 1024, ROOM, 2 * ROOM])
def test_a_buffer_that_is_no_larger_stays_as_it_is(now: int) -> None:
    own = Told(info(1), now)
    assert not narrow(own)  # type: ignore[arg-type]
    assert own.room == 0


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


async def test_what_is_closed_is_settled() -> None:
    """A loop's own kind of socket says so in its own way."""
    ours, theirs = socket.socketpair()
    with theirs:
        ours.setblocking(False)
        transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
        own = transport.get_extra_info("socket")
        transport.abort()
        await until(lambda: own.fileno() < 0, "it to be closed")
        assert narrow(own)


def test_what_is_short_asks_nothing_and_what_is_long_asks_once() -> None:
    own = Told(info(1))
    outlet = Outlet(Takes(own))
    outlet.send_whole(b"head", b"x" * (JOIN - 1))
    for _ in range(STRETCH // len(PIECE) - 1):
        outlet.send([PIECE], len(PIECE))
    assert (own.asked, own.room) == (0, 0)
    for _ in range(10):
        outlet.send([PIECE], len(PIECE))
    assert (own.asked, own.room) == (1, ROOM)


def test_a_client_that_is_far_is_asked_about_once() -> None:
    own = Told(info(NEAR + 1))
    outlet = Outlet(Takes(own))
    for _ in range(20):
        outlet.send([PIECE], len(PIECE))
    assert (own.asked, own.room) == (1, 0)


@pytest.mark.parametrize("early", [info(1, acknowledged=0), info(1, 40_000)], ids=["nothing confirmed", "slow so far"])
def test_who_cannot_be_judged_yet_is_asked_about_again_when_as_much_again_is_sent(early: bytes) -> None:
    """Of a long response all may leave before anything is confirmed; and who says little confirms it late."""
    own = Told(early)
    outlet = Outlet(Takes(own))
    outlet.send_whole(b"head", b"x" * (STRETCH + 1))
    for _ in range(STRETCH // len(PIECE) - 1):
        outlet.send([PIECE], len(PIECE))
    assert (own.asked, own.room) == (1, 0)
    own.told = info(1)
    outlet.send([PIECE], len(PIECE))
    assert (own.asked, own.room) == (2, ROOM)


def test_a_whole_answer_that_is_long_is_written_before_its_client_is_judged() -> None:
    """Who shook hands in its place is near; until then nobody else was heard of."""
    own = Told(info(1))
    transport = Takes(own)
    Outlet(transport).send_whole(b"head", b"x" * (STRETCH + 1))
    assert (transport.asked_before, own.room) == ([0], ROOM)


def test_nothing_is_asked_of_what_is_closed_already() -> None:
    """Its descriptor may be another's by then."""
    own = Told(info(1))
    Outlet(Takes(own, closing=True)).send([PIECE] * 10, 10 * len(PIECE))
    assert own.asked == 0


def test_a_transport_without_a_socket_is_written_to_all_the_same() -> None:
    Outlet(Takes(None)).send([PIECE] * 10, 10 * len(PIECE))


async def test_a_client_that_reads_nothing_is_held_less_for_by_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """How near a client of this machine is, is up to who else works on it."""
    monkeypatch.setattr("changeover.workers.channel.nearby.NEAR", UNKNOWN)
    monkeypatch.setattr("changeover.workers.channel.nearby.LATELY", UNKNOWN)
    monkeypatch.setattr("changeover.workers.channel.nearby.ACKNOWLEDGED", 0)
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
    with socket.create_connection(listener.getsockname()) as client, listener.accept()[0] as own:
        for _ in range(4):
            own.sendall(PIECE)
            client.recv(len(PIECE), socket.MSG_WAITALL)
        narrow(own)
        return own.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
