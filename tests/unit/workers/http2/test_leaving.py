"""The end of a connection: a client is told in time, what is under way is finished, what comes after is refused."""

import asyncio
import gc

import pytest

from changeover.workers.channel.connection import Connection
from changeover.workers.http.connection import HttpConnection
from changeover.workers.http2 import connection as http2_connection
from changeover.workers.http2.connection import Http2Connection
from changeover.workers.http2.exchange import StreamExchange
from changeover.workers.serving.exchange import Exchange
from tests.http2_wire import connection_of, spoken
from tests.waits import until
from tests.wire import echo

REFUSED_STREAM = 7
ENDLESS = 2**31 - 1


def nobody(connection: Connection) -> None:
    raise AssertionError("it is not portable")


class Gated:
    """Answers once it may."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()

    async def __call__(self, exchange: Exchange) -> None:
        await self.gate.wait()
        await echo(exchange)


async def test_an_idle_connection_is_told_and_closed_when_its_worker_leaves() -> None:
    async with spoken() as (server, client):
        await client.get()
        server.connections.leave(nobody)
        await until(lambda: client.closed)
        assert client.goaways == [(1, 0, b"")]


async def test_what_is_under_way_when_its_worker_leaves_is_finished_and_what_comes_after_is_refused() -> None:
    slow = Gated()
    async with spoken(slow) as (server, client):
        under_way = client.ask("/under-way")
        await until(lambda: server.dispatcher.seen)
        server.connections.leave(nobody)
        after = client.ask("/after")
        await until(lambda: client.goaways == [(under_way, 0, b"")])
        assert (await client.answer(after)).refused
        slow.gate.set()
        assert (await client.answer(under_way)).body == b"GET /under-way "
        await until(lambda: client.closed)
        assert [exchange.request.path for exchange in server.dispatcher.seen] == ["/under-way"]


async def test_a_body_that_is_under_way_when_its_worker_leaves_comes_to_its_end() -> None:
    async with spoken() as (server, client):
        number = client.ask("/", "POST", more=True)
        await until(lambda: server.dispatcher.seen)
        server.connections.leave(nobody)
        await client.give(number, bytes(400_000))
        assert len((await client.answer(number)).body) == 400_000 + len("POST / ")


async def test_what_is_held_when_its_worker_leaves_is_refused_so_that_the_client_asks_elsewhere() -> None:
    async with spoken(holding=True) as (server, client):
        number = client.ask()
        await until(lambda: len(connection_of(server).streams) == 1)
        server.connections.leave(nobody)
        assert (await client.answer(number)).reset == REFUSED_STREAM
        await until(lambda: client.closed)


async def test_a_connection_that_opens_while_its_worker_leaves_is_told_at_once() -> None:
    async with spoken() as (server, client):
        server.connections.leave(nobody)
        await until(lambda: client.closed)
        assert client.goaways == [(0, 0, b"")]


async def test_a_worker_that_stops_warns_first_and_serves_what_comes_until_the_client_has_heard() -> None:
    slow = Gated()
    async with spoken(slow) as (server, client):
        first = client.ask("/first")
        await until(lambda: server.dispatcher.seen)
        stopping = asyncio.ensure_future(server.connections.stop(10.0))
        second = client.ask("/second")
        await until(lambda: len(client.goaways) == 2)
        assert client.goaways == [(ENDLESS, 0, b""), (second, 0, b"")]
        slow.gate.set()
        assert [(await client.answer(number)).status for number in (first, second)] == [200, 200]
        assert await stopping == 0


async def test_a_client_that_answers_no_ping_is_told_the_last_stream_after_a_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http2_connection, "NOTICE", 0.05)
    slow = Gated()
    async with spoken(slow) as (server, client):
        client.ask()
        await until(lambda: server.dispatcher.seen)
        client.flush = lambda: None  # type: ignore[method-assign]
        stopping = asyncio.ensure_future(server.connections.stop(10.0))
        await until(lambda: len(client.goaways) == 2)
        slow.gate.set()
        assert await stopping == 0


async def test_a_worker_that_stops_cuts_off_what_is_late() -> None:
    async with spoken(Gated()) as (server, client):
        client.ask()
        await until(lambda: server.dispatcher.seen)
        assert await server.connections.stop(0.05) == 1
        await until(lambda: client.closed)


async def test_a_connection_that_is_gone_leaves_nothing_behind() -> None:
    async with spoken() as (server, client):
        await client.post("/", b"body")
        client.give_up(client.ask("/", "POST", more=True))
        await client.close()
        await until(lambda: not len(server.connections) and not server.dispatcher.tasks)
        server.dispatcher.seen.clear()
    gc.collect()
    left = (HttpConnection, Http2Connection, StreamExchange)
    assert not [each for each in gc.get_objects() if type(each) in left]
