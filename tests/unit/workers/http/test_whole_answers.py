"""Answers in one step leave as those in three do, their length told; remembered heads fit every connection."""

import itertools
import re
from collections.abc import Awaitable, Callable

import pytest

from changeover.workers.http.connection import HttpConnection
from changeover.workers.http.site import Site
from changeover.workers.serving.exchange import Exchange, RawHeaders
from tests.waits import until
from tests.wire import Client, get, post, serving

PLAIN = (b"content-type", b"text/plain")
FIELDS: tuple[RawHeaders, ...] = (
    [],
    [PLAIN],
    [PLAIN, (b"content-length", b"5")],
    [(b"content-length", b"7")],
    [(b"content-length", b"5"), (b"connection", b"close")],
    [(b"content-length", b"5"), (b"date", b"today"), (b"server", b"own")],
)
Way = Callable[[Exchange, int, RawHeaders, bytes], None]
CLOSING = "Connection: close\r\n"
REQUESTS = (get("/", CLOSING), get("/", CLOSING, "HEAD"), post("/", b"asked", CLOSING), b"GET / HTTP/1.0\r\n\r\n")


def _at_once(exchange: Exchange, status: int, fields: RawHeaders, body: bytes) -> None:
    exchange.answer(status, fields, body)


def _with_the_last_piece(exchange: Exchange, status: int, fields: RawHeaders, body: bytes) -> None:
    exchange.start(status, fields)
    exchange.end_after(body)


def _in_steps(exchange: Exchange, status: int, fields: RawHeaders, body: bytes) -> None:
    exchange.start(status, fields)
    exchange.write(body)
    exchange.end()


WAYS = (_at_once, _with_the_last_piece, _in_steps)


async def _told(request: bytes, way: Way, status: int, fields: RawHeaders, body: bytes) -> bytes:
    async def answer(exchange: Exchange) -> None:
        way(exchange, status, fields, body)

    async with serving(answer, server="test") as server:
        client = await server.client()
        client.send(request)
        told = await client.rest()
    return re.sub(rb"\r\ndate: [^\r]+ GMT", b"\r\ndate: now", told)


@pytest.mark.parametrize("request_", REQUESTS)
async def test_an_answer_at_once_is_byte_for_byte_one_in_steps(request_: bytes) -> None:
    for status, fields, body in itertools.product((200, 204, 304, 404), FIELDS, (b"", b"hello")):
        told = [await _told(request_, way, status, fields, body) for way in WAYS]
        assert told[1] == told[2], (status, fields, body)
        if told[1].startswith(b"HTTP/1.1 500"):
            right = [each for each in fields if each[0] != b"content-length"]
            told[1] = await _told(request_, _in_steps, status, [*right, (b"content-length", b"%d" % len(body))], body)
        assert told[0] == told[1], (status, fields, body)


async def _stop(client: Client, connection: HttpConnection) -> None:
    connection.site.stopping = True


async def _make_last(client: Client, connection: HttpConnection) -> None:
    connection.outlet.final = True


async def _shut(client: Client, connection: HttpConnection) -> None:
    client.shut()
    await until(lambda: connection.outlet.client_shut)


async def _ask_further(client: Client, connection: HttpConnection) -> None:
    client.send(get("/", CLOSING))
    await until(connection.unread)


@pytest.mark.parametrize(("meanwhile", "answers"), [(_stop, 1), (_make_last, 1), (_shut, 1), (_ask_further, 2)])
@pytest.mark.parametrize("way", WAYS)
async def test_the_connection_goes_on_or_ends_behind_an_answer_whichever_way_it_was_given(
    way: Way, meanwhile: Callable[[Client, HttpConnection], Awaitable[None]], answers: int
) -> None:
    async def answer(exchange: Exchange) -> None:
        if len(server.dispatcher.seen) == 1:
            (connection,) = server.connections
            assert isinstance(connection, HttpConnection)
            await meanwhile(client, connection)
        way(exchange, 200, [(b"content-length", b"5")], b"hello")

    async with serving(answer) as server:
        client = await server.client()
        client.send(get("/"))
        told = await client.rest()
    assert told.count(b"\r\n\r\nhello") == answers
    assert (b"connection: close" in told) == (meanwhile is not _shut)


async def test_a_remembered_head_says_nothing_of_the_connection_that_it_was_made_for() -> None:
    async def hello(exchange: Exchange) -> None:
        exchange.answer(200, [PLAIN, (b"content-length", b"5")], b"hello")

    async with serving(hello) as server:
        client = await server.client()
        heads = []
        for request in (get("/"), get("/"), get("/", CLOSING)):
            client.send(request)
            heads.append(await client.head())
            assert await client.exactly(5) == b"hello"
        other = await server.client()
        other.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        heads.append(await other.head())
    assert [b"connection: " in head for head in heads] == [False, False, True, True]
    assert b"connection: keep-alive" in heads[3]


async def test_a_head_is_remembered_together_with_the_length_of_its_body() -> None:
    async def path(exchange: Exchange) -> None:
        exchange.answer(200, [PLAIN], exchange.request.path.encode())

    async with serving(path) as server:
        client = await server.client()
        for asked in ("/a", "/abc", "/a"):
            client.send(get(asked))
            assert b"content-length: %d\r\n" % len(asked) in await client.head()
            assert await client.exactly(len(asked)) == asked.encode()


async def test_a_remembered_head_has_no_older_date_than_others(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hello(exchange: Exchange) -> None:
        exchange.answer(200, [(b"content-length", b"5")], b"hello")

    def tail_for(site: Site, *, dated: bool, served: bool) -> bytes:
        return b"date: %d\r\n\r\n" % next(seconds)

    seconds = itertools.count()
    monkeypatch.setattr(Site, "tail_for", tail_for)
    async with serving(hello) as server:
        client = await server.client()
        dates = []
        for _ in range(2):
            client.send(get("/"))
            dates.append(await client.head())
            await client.exactly(5)
            (connection,) = server.connections
            assert isinstance(connection, HttpConnection)
            connection.site.refresh()
    assert dates[0] != dates[1]


async def test_an_answer_in_one_step_cannot_be_given_twice() -> None:
    async def twice(exchange: Exchange) -> None:
        exchange.answer(200, [(b"content-length", b"5")], b"hello")
        exchange.answer(200, [(b"content-length", b"5")], b"hello")

    async with serving(twice) as server:
        client = await server.client()
        assert await client.ask() == (200, b"hello")
        client.send(get("/", CLOSING))
        assert (await client.rest()).endswith(b"\r\n\r\nhello")
        assert [type(fault).__name__ for fault in server.dispatcher.faults] == ["BadResponse", "BadResponse"]


@pytest.mark.parametrize("last", [Exchange.write, Exchange.end_after], ids=["write", "end_after"])
@pytest.mark.parametrize(
    "pieces", [(b"hello ", b"world"), (b"a", b"bc"), (b"ab", b"cd", b"efgh"), (b"x" * 70_000, b"y")]
)
async def test_pieces_of_one_turn_stay_in_order_where_the_length_is_known(
    last: Callable[[Exchange, bytes], None], pieces: tuple[bytes, ...]
) -> None:
    async def answer(exchange: Exchange) -> None:
        exchange.start(200, [(b"content-length", b"%d" % sum(map(len, pieces)))])
        for piece in pieces[:-1]:
            exchange.write(piece)
        if last is Exchange.write:
            exchange.write(pieces[-1])
            exchange.end()
        else:
            exchange.end_after(pieces[-1])

    async with serving(answer) as server:
        client = await server.client()
        for _ in range(2):
            client.send(get("/"))
            assert await client.response() == (200, b"".join(pieces))
