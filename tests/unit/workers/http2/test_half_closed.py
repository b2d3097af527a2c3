"""A client that has shut its write side: it gets what its windows have room for, and nothing waits for more of it."""

import asyncio

import pytest

from changeover.workers.channel.limits import Limits
from changeover.workers.serving.exchange import Disconnected, Exchange
from tests.http2_wire import connection_of, spoken
from tests.waits import until
from tests.wire import WireServer, echo

CANCEL = 8
WINDOW = 65535
"""Bytes of a body that a client takes that never opens its windows."""
FOR_EVER = Limits(write_timeout=600.0, body_timeout=600.0, half_closed=600.0)


async def endless(exchange: Exchange) -> None:
    exchange.start(200, [])
    while exchange.connected:
        exchange.write(bytes(8192))
        await exchange.drain()
    exchange.abort()


async def ended(server: WireServer) -> None:
    """Wait until nothing is left of the connection, nor of what it asked for."""
    await until(lambda: not server.dispatcher.tasks, "the applications to notice")
    await until(lambda: not len(server.connections), "the end of the connection")
    assert not server.dispatcher.faults


async def test_who_waits_for_a_window_of_a_client_that_is_gone_does_so_no_longer() -> None:
    """The client has read everything, so that its end is no reset."""
    async with spoken(endless, FOR_EVER) as (server, client):
        client.taking = False
        number = client.ask()
        await until(lambda: len(client.answers[number].body) == WINDOW, "a closed window")
        await client.close()
        await ended(server)


async def test_an_answer_that_fills_its_window_after_the_client_has_shut_is_broken_off_there() -> None:
    begun, shut = asyncio.Event(), asyncio.Event()

    async def late(exchange: Exchange) -> None:
        begun.set()
        await shut.wait()
        await endless(exchange)

    async with spoken(late, FOR_EVER) as (server, client):
        client.taking = False
        number = client.ask()
        await begun.wait()
        client.writer.write_eof()
        await until(lambda: connection_of(server).outlet.client_shut)
        shut.set()
        answer = await client.answer(number)
        assert (len(answer.body), answer.reset) == (WINDOW, CANCEL)
        await ended(server)


async def test_an_answer_that_fits_its_window_is_complete_and_one_beside_it_that_does_not_is_broken_off() -> None:
    shut = asyncio.Event()

    async def either(exchange: Exchange) -> None:
        if exchange.request.path == "/endless":
            await endless(exchange)
            return
        await shut.wait()
        await echo(exchange)

    async with spoken(either, FOR_EVER, window=1000) as (server, client):
        client.taking = False
        long, short = client.ask("/endless"), client.ask("/short")
        await until(lambda: len(client.answers[long].body) == 1000 and len(server.dispatcher.seen) == 2)
        client.writer.write_eof()
        assert (await client.answer(long)).reset == CANCEL
        shut.set()
        answer = await client.answer(short)
        assert (answer.body, answer.ended) == (b"GET /short ", True)
        await ended(server)


async def test_a_body_that_is_cut_short_is_answered_at_once() -> None:
    missing: list[bool] = []

    async def reads(exchange: Exchange) -> None:
        with pytest.raises(Disconnected):
            await exchange.request.body()
        missing.append(exchange.connected)
        exchange.abort()

    async with spoken(reads, FOR_EVER) as (server, client):
        number = client.ask("/", "POST", more=True)
        await client.give(number, b"part", last=False)
        await until(lambda: server.dispatcher.seen)
        client.writer.write_eof()
        answer = await client.answer(number)
        assert (answer.status, answer.body, answer.ended) == (400, b"the request body is cut short\n", True)
        await ended(server)
        assert missing == [False]


async def test_a_body_that_is_cut_short_takes_nothing_from_an_answer_that_was_given() -> None:
    given = asyncio.Event()

    async def early(exchange: Exchange) -> None:
        exchange.answer(200, [], b"early")
        given.set()

    async with spoken(early, FOR_EVER) as (server, client):
        number = client.ask("/", "POST", more=True)
        await given.wait()
        client.writer.write_eof()
        answer = await client.answer(number)
        assert (answer.status, answer.body, answer.ended) == (200, b"early", True)
        await ended(server)
