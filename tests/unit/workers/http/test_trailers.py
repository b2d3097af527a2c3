"""Fields behind a body, both ways."""

import pytest

from changeover.workers.http.faults import BadResponse
from changeover.workers.serving.exchange import Exchange, RawHeaders
from tests.memory_connection import MemoryConnection
from tests.wire import FakeDispatcher, get, post, serving

CHUNKED = b"POST /a HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
ASKING = "TE: gzip, Trailers\r\n"


async def test_a_request_s_trailers_are_there_after_its_body() -> None:
    seen: list[RawHeaders] = []

    async def answer(exchange: Exchange) -> None:
        seen.append(list(exchange.request.trailers.raw))
        await exchange.request.body()
        seen.append(list(exchange.request.trailers.raw))
        exchange.start(204, [])
        exchange.end()

    memory = MemoryConnection(FakeDispatcher(answer))
    memory.feed(CHUNKED + b"5\r\nhello\r\n")
    await memory.settle()
    memory.feed(b"0\r\nX-Sum:  a b \t\r\nx-sum: c\r\n\r\n")
    await memory.settle()
    assert seen == [[], [(b"x-sum", b"a b"), (b"x-sum", b"c")]]


@pytest.mark.parametrize("raw", [get("/a"), post("/a", b"hello")])
async def test_what_has_no_chunks_has_no_trailers(raw: bytes) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.request.body()
        assert exchange.request.trailers.raw == []
        exchange.start(204, [])
        exchange.end()

    memory = MemoryConnection(FakeDispatcher(answer))
    memory.feed(raw)
    await memory.settle()
    assert memory.transport.written.startswith(b"HTTP/1.1 204")
    assert not memory.dispatcher.faults


async def trailing(exchange: Exchange) -> None:
    exchange.start(200, [])
    exchange.write(b"hello")
    exchange.end_with([(b"x-sum", b"1")])


async def test_a_client_that_asks_for_trailers_gets_them() -> None:
    async with serving(trailing) as server:
        client = await server.client()
        client.send(get("/a", ASKING) + get("/b", ASKING + "Connection: close\r\n"))
        assert b"transfer-encoding: chunked\r\n" in await client.head()
        assert await client.exactly(25) == b"5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n"
        await client.head()
        assert await client.rest() == b"5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n"


async def test_a_client_that_does_not_ask_gets_the_body_alone() -> None:
    async with serving(trailing) as server:
        assert await (await server.client()).ask("/a") == (200, b"hello")


async def test_a_body_of_known_length_has_nothing_behind_it() -> None:
    async def sized(exchange: Exchange) -> None:
        exchange.start(200, [(b"content-length", b"5")])
        exchange.write(b"hello")
        exchange.end_with([(b"x-sum", b"1")])

    async with serving(sized) as server:
        client = await server.client()
        assert await client.ask("/a", ASKING) == (200, b"hello")
        assert await client.ask("/a", ASKING) == (200, b"hello")


@pytest.mark.parametrize("field", [(b"content-length", b"5"), (b"Host", b"x"), (b"x", b"a\r\nb"), (b"x y", b"")])
async def test_what_cannot_stand_there_breaks_the_answer_off(field: tuple[bytes, bytes]) -> None:
    async def wrong(exchange: Exchange) -> None:
        exchange.start(200, [])
        exchange.write(b"hello")
        exchange.end_with([field])

    async with serving(wrong) as server:
        client = await server.client()
        client.send(get("/a", ASKING))
        assert not (await client.rest()).endswith(b"0\r\n\r\n")
        (fault,) = server.dispatcher.faults
        assert isinstance(fault, BadResponse)
