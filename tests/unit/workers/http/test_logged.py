"""What is told of requests over a connection: each one once, however it ends."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from changeover.workers.channel.outlet import RESET
from changeover.workers.serving.exchange import Exchange
from tests.kept import Kept
from tests.waits import until
from tests.wire import WireServer, echo, get, post, serving


@asynccontextmanager
async def logged(answer: Callable[[Exchange], Awaitable[None]] = echo) -> AsyncIterator[tuple[WireServer, Kept]]:
    """Serve, and tell of it."""
    kept = Kept()
    async with serving(answer, making=kept.making) as server:
        yield server, kept


async def test_each_request_of_a_connection_is_told_once_with_what_was_asked_and_answered() -> None:
    async with logged() as (server, kept):
        client = await server.client()
        await client.ask("/a?b=c", "User-Agent: test\r\nReferer: http://x/\r\nX-Request-Id: r-1\r\n")
        client.send(post("/d", b"hello"))
        await client.response()
        first, second = kept
        assert (first.method, first.target, first.version, first.status, first.size) == ("GET", "/a?b=c", "1.1", 200, 7)
        assert (first.client, first.worker, first.agent, first.referer) == ("127.0.0.1", 3, "test", "http://x/")
        assert (first.request_id, first.complete) == ("r-1", True)
        assert 0 < first.ms < 10_000
        assert (second.method, second.target, second.size) == ("POST", "/d", 13)


async def test_an_answer_that_ends_with_its_last_piece_is_told_with_its_size() -> None:
    async def hello(exchange: Exchange) -> None:
        exchange.start(200, [(b"content-length", b"5")])
        exchange.end_after(b"hello")

    async with logged(hello) as (server, kept):
        client = await server.client()
        await client.ask("/a")
        (told,) = kept
        assert (told.target, told.status, told.size, told.complete) == ("/a", 200, 5, True)


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET /a HTTP/1.1\r\n\r\n", 400),
        (b"GET /a HTTP/9.9\r\n\r\n", 505),
        (b"BREW /a HTTP/1.1\r\nHost: x\r\n\r\n", 501),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
    ],
)
async def test_what_is_no_request_is_told_by_its_answer_alone(raw: bytes, status: int) -> None:
    async with logged() as (server, kept):
        client = await server.client()
        client.send(raw)
        _, _, body = (await client.rest()).partition(b"\r\n\r\n")
        (told,) = kept
        assert (told.method, told.status, told.client, told.worker) == ("", status, "127.0.0.1", 3)
        assert told.size == len(body) > 0


async def test_a_body_that_breaks_its_coding_is_told_with_the_status_that_its_client_got() -> None:
    async with logged() as (server, kept):
        client = await server.client()
        client.send(b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nnothing\r\n")
        head, _, body = (await client.rest()).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400")
        (told,) = kept
        assert (told.target, told.status, told.size) == ("/a", 400, len(body))


async def test_a_response_that_the_application_spoils_is_told_as_a_500() -> None:
    async def short(exchange: Exchange) -> None:
        exchange.start(200, [(b"content-length", b"5")])
        exchange.end()

    async with logged(short) as (server, kept):
        client = await server.client()
        client.send(get("/a"))
        assert (await client.rest()).startswith(b"HTTP/1.1 500")
        assert [told.status for told in kept] == [500]


async def test_a_response_of_which_nothing_has_left_is_broken_off_with_a_500_and_told_as_one() -> None:
    async def spoiled(exchange: Exchange) -> None:
        exchange.start(200, [(b"x-own", b"1")])
        exchange.write(b"secret")
        exchange.abort()

    async with logged(spoiled) as (server, kept):
        client = await server.client()
        client.send(get("/a"))
        answer = await client.rest()
        assert answer.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
        assert answer.endswith(b"\r\n\r\nInternal Server Error\n")
        assert b"x-own" not in answer
        assert [(told.status, told.size, told.complete) for told in kept] == [
            (500, len(b"Internal Server Error\n"), True)
        ]


async def test_a_response_that_breaks_off_is_told_as_cut() -> None:
    async def cut(exchange: Exchange) -> None:
        exchange.start(200, [])
        exchange.write(b"hello")
        await asyncio.sleep(0)
        exchange.abort()

    async with logged(cut) as (server, kept):
        client = await server.client()
        client.send(get("/a"))
        await client.rest()
        assert [(told.status, told.size, told.complete) for told in kept] == [(200, 5, False)]


async def test_a_client_that_left_before_there_was_a_response_is_told_of_once() -> None:
    async def late(exchange: Exchange) -> None:
        await exchange.wait_disconnected()
        exchange.start(200, [])
        exchange.write(b"too late")
        exchange.end()

    async with logged(late) as (server, kept):
        client = await server.client()
        client.send(get("/a"))
        await until(lambda: server.dispatcher.seen)
        client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        client.writer.transport.abort()
        await until(lambda: kept)
        await until(lambda: not server.dispatcher.tasks)
        assert [(told.status, told.complete) for told in kept] == [(499, False)]


async def test_a_head_request_has_no_bytes() -> None:
    async with logged() as (server, kept):
        client = await server.client()
        client.send(get("/a", method="HEAD"))
        await client.head()
        assert [(told.method, told.size) for told in kept] == [("HEAD", 0)]


@pytest.mark.parametrize("status", [204, 304])
async def test_a_response_that_can_have_no_body_has_no_bytes_whatever_its_application_gives(status: int) -> None:
    async def wordy(exchange: Exchange) -> None:
        exchange.answer(status, [], b"body")

    async with logged(wordy) as (server, kept):
        client = await server.client()
        await client.ask("/a")
        (told,) = kept
        assert (told.status, told.size, told.complete) == (status, 0, True)
