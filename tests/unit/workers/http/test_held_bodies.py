"""A body that came with its head is held by its request; every other one is read as it comes."""

import asyncio

import pytest

from changeover.workers.channel.limits import Limits
from changeover.workers.channel.phases import Phase
from changeover.workers.http.connection import HttpConnection
from changeover.workers.http.exchange import WireExchange
from changeover.workers.http.unread import Unread
from changeover.workers.serving.exchange import Exchange
from tests.memory_connection import MemoryConnection
from tests.waits import until
from tests.wire import FakeDispatcher, WireServer, answer_with, chunked, echo, get, post, serving

BODY = b'{"asked": true}'
EXPECTING = "Expect: 100-continue\r\n"


class Noting(FakeDispatcher):
    """Notes of each exchange what it holds when it is dispatched.

    Attributes:
        held: As above, in order.
    """

    def __init__(self, *, holding: bool = False) -> None:
        super().__init__(echo, holding)
        self.held: list[bytes | None] = []

    def dispatch(self, exchange: Exchange) -> bool:
        self.held.append(exchange.request.held_body)
        return super().dispatch(exchange)


def noting() -> tuple[Noting, MemoryConnection]:
    dispatcher = Noting()
    return dispatcher, MemoryConnection(dispatcher)


def only(server: WireServer) -> HttpConnection:
    (connection,) = server.connections
    assert isinstance(connection, HttpConnection)
    return connection


async def test_a_body_that_came_with_its_head_is_held_and_nothing_is_under_way() -> None:
    dispatcher, client = noting()
    client.feed(post("/", BODY))
    assert dispatcher.held == [BODY]
    (exchange,) = dispatcher.seen
    assert isinstance(exchange, WireExchange)
    assert exchange.incoming is None
    assert client.connection.sight().phase is Phase.BUSY
    await client.settle()
    assert client.transport.written.endswith(b"\r\n\r\nPOST / " + BODY)
    assert client.connection.at_boundary


async def test_the_body_behind_a_head_that_is_remembered_or_too_long_for_that_is_held_too() -> None:
    dispatcher, client = noting()
    for request in (post("/", BODY), post("/", BODY), post("/", BODY, "X: " + "x" * 5000 + "\r\n")):
        client.feed(request)
        await client.settle()
    assert dispatcher.held == [BODY] * 3


async def test_a_message_that_came_whole_and_alone_is_copied_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    def add(unread: Unread, data: bytes) -> None:
        raise AssertionError("it was put to the unread bytes")

    monkeypatch.setattr(Unread, "add", add)
    dispatcher, client = noting()
    client.feed(post("/", BODY))
    await client.settle()
    assert dispatcher.held == [BODY]


async def test_a_body_that_fills_the_read_is_held() -> None:
    dispatcher, client = noting()
    raw = post("/", b"")
    body = b"x" * (Limits().unread - len(raw) - 4)
    client.feed(post("/", body))
    assert dispatcher.held == [body]
    await client.settle()


@pytest.mark.parametrize(
    "request_",
    [chunked("/", BODY), post("/", BODY, EXPECTING), post("/", b"x" * 70_000)],
    ids=["in chunks", "with an expectation", "longer than what is read at once"],
)
async def test_what_has_to_be_decoded_asked_for_or_waited_for_is_read_as_it_comes(request_: bytes) -> None:
    dispatcher, client = noting()
    client.feed(request_)
    assert dispatcher.held == [None]
    await client.settle()
    assert client.transport.written.endswith((BODY, b"x" * 70_000))
    assert b"100 Continue" not in client.transport.written, "all of it was there before anybody asked"


async def test_wherever_a_message_is_cut_its_body_is_the_same_and_held_where_it_was_not_cut() -> None:
    raw = post("/", BODY)
    head = len(raw) - len(BODY)
    for cut in range(1, len(raw)):
        dispatcher, client = noting()
        client.feed(raw[:cut])
        client.feed(raw[cut:])
        assert dispatcher.held == [BODY if cut < head else None], cut
        await client.settle()
        assert client.transport.written.endswith(b"\r\n\r\nPOST / " + BODY), cut


async def test_of_messages_in_a_row_each_has_its_own_body() -> None:
    bodies = [b"first", b"", b"third " * 10]
    row = b"".join(post(f"/{number}", body) for number, body in enumerate(bodies)) + get("/last")
    for cut in range(1, len(row)):
        dispatcher, client = noting()
        client.feed(row[:cut])
        client.feed(row[cut:])
        await client.settle()
        asked = [each.request.path for each in dispatcher.seen]
        assert asked == ["/0", "/1", "/2", "/last"]
        places = [client.transport.written.find(b" /%d %b" % (at, body)) for at, body in enumerate(bodies)]
        assert -1 not in places, cut
        assert places == sorted(places)
        assert client.connection.at_boundary
        assert client.connection.unread() == b""


async def test_what_may_not_be_dispatched_stays_raw_bytes_with_its_body_and_is_held_later() -> None:
    for raw in (post("/", BODY), post("/", BODY) + get("/next")):
        dispatcher = Noting(holding=True)
        client = MemoryConnection(dispatcher)
        client.feed(raw)
        assert client.connection.unread() == raw
        assert client.connection.at_boundary
        assert client.connection.sight().phase is Phase.HELD
        dispatcher.holding = False
        client.connection.resume()
        await client.settle()
        assert dispatcher.held[:2] == [BODY, BODY]
        assert b"\r\n\r\nPOST / " + BODY in client.transport.written
        assert client.connection.unread() == b""


async def test_a_body_is_held_up_to_its_limit_and_refused_beyond() -> None:
    for size, told in ((10, b"HTTP/1.1 200"), (11, b"HTTP/1.1 413")):
        dispatcher = Noting()
        client = MemoryConnection(dispatcher, Limits(body=10))
        client.feed(post("/", b"x" * size))
        await client.settle()
        assert client.transport.written.startswith(told)
        assert dispatcher.held == [b"x" * 10] * (size == 10)


async def test_an_answer_that_is_there_at_once_leaves_the_next_message_alone() -> None:
    class AtOnce(Noting):
        def dispatch(self, exchange: Exchange) -> bool:
            self.held.append(exchange.request.held_body)
            exchange.answer(404, [], b"none")
            return True

    dispatcher = AtOnce()
    client = MemoryConnection(dispatcher)
    client.feed(post("/", BODY))
    client.feed(post("/", BODY) + post("/", BODY, "Connection: close\r\n"))
    assert client.transport.written.count(b"\r\n\r\nnone") == 3
    assert dispatcher.held == [BODY] * 3
    assert client.transport.closed


async def test_over_a_socket_held_bodies_come_back_one_after_the_other() -> None:
    async with serving() as server:
        client = await server.client()
        for number in range(3):
            client.send(post(f"/{number}", BODY))
            assert await client.response() == (200, b"POST /%d " % number + BODY)
        client.send(post("/a", BODY) + chunked("/b", BODY) + post("/c", BODY) + get("/d"))
        for path, body in ((b"/a", BODY), (b"/b", BODY), (b"/c", BODY)):
            assert await client.response() == (200, b"POST %b " % path + body)
        assert await client.response() == (200, b"GET /d ")


async def test_a_client_that_leaves_behind_a_held_body_is_noticed_and_its_body_can_still_be_read() -> None:
    gone: list[bytes] = []

    async def wait(exchange: Exchange) -> None:
        await exchange.wait_disconnected()
        assert not exchange.connected
        gone.append(await exchange.request.body())
        exchange.start(200, [])
        exchange.end()

    async with serving(wait, Limits(half_closed=0.05)) as server:
        client = await server.client()
        client.send(post("/", BODY))
        await until(lambda: server.dispatcher.seen)
        await client.close()
        await until(lambda: gone == [BODY])
        assert not server.dispatcher.faults


async def test_a_client_that_shuts_its_write_side_behind_a_held_body_gets_its_answer() -> None:
    async with serving() as server:
        client = await server.client()
        client.send(post("/", BODY))
        client.shut()
        assert await client.response() == (200, b"POST / " + BODY)
        assert await client.rest() == b""


async def test_a_held_body_that_nobody_reads_is_not_in_the_way_of_what_comes() -> None:
    async with serving(answer_with(200, [(b"content-length", b"2")], b"ok")) as server:
        client = await server.client()
        for _ in range(2):
            client.send(post("/", BODY))
            assert await client.response() == (200, b"ok")
        assert only(server).at_boundary


async def test_an_exchange_gives_a_held_body_once() -> None:
    pieces: list[bytes | None] = []

    async def read(exchange: Exchange) -> None:
        pieces.extend([await exchange.receive(), await exchange.receive()])
        exchange.answer(200, [], b"read")

    async with serving(read) as server:
        client = await server.client()
        client.send(post("/", BODY))
        assert await client.response() == (200, b"read")
    assert pieces == [BODY, None]


async def test_what_a_request_holds_leaves_with_it_when_the_connection_goes_on_as_another() -> None:
    done = asyncio.Event()

    async def late(exchange: Exchange) -> None:
        await done.wait()
        await echo(exchange)

    dispatcher = FakeDispatcher(late)
    client = MemoryConnection(dispatcher)
    client.feed(post("/a", BODY) + post("/b", BODY))
    client.connection.leave()
    assert client.connection.sight().phase is Phase.BUSY, "its answer is under way"
    assert client.connection.unread() == post("/b", BODY)
    done.set()
    await client.settle()
    assert client.transport.written.endswith(b"POST /a " + BODY)
    assert client.connection.at_boundary
    assert client.connection.unread() == post("/b", BODY)
