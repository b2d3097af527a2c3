"""Whoever writes without end lets others have their turn, whatever its client does."""

import asyncio
import contextlib
import socket

import pytest

from changeover.workers.channel.outlet import MANY, RESET, STRETCH
from changeover.workers.http.body import ChunkScanner
from changeover.workers.http.upload import STEP
from changeover.workers.protocol.snapshot import Route
from changeover.workers.serving.exchange import Disconnected, Exchange
from changeover.workers.serving.pipeline import Pipeline
from tests.exchange import Served
from tests.memory_connection import MemoryConnection
from tests.waits import until
from tests.wire import FakeDispatcher, answer_with, echo, get, serving

PIECE = b"x" * 65536
PIECES = 64
CHUNK = b"1\r\nx\r\n"


class Steps:
    """What an application does between two turns of others.

    Attributes:
        done: How much it has done by now.
    """

    def __init__(self) -> None:
        self.done = 0

    async def most(self, memory: MemoryConnection) -> int:
        """The most of it between two turns, until all applications have ended."""
        most = before = 0
        while memory.dispatcher.tasks:
            await asyncio.sleep(0)
            most, before = max(most, self.done - before), self.done
        return most


@pytest.mark.parametrize(("method", "status"), [("GET", 200), ("HEAD", 200), ("GET", 204), ("GET", 304)])
async def test_a_client_that_takes_everything_leaves_turns_to_others_also_where_no_body_is_sent(
    method: str, status: int
) -> None:
    written = Steps()

    async def large(exchange: Exchange) -> None:
        exchange.start(status, [])
        for _ in range(PIECES):
            exchange.write(PIECE)
            written.done += len(PIECE)
            await exchange.drain()
        exchange.end()

    memory = MemoryConnection(FakeDispatcher(large))
    memory.feed(get("/", method=method))
    assert await written.most(memory) <= STRETCH
    assert written.done == PIECES * len(PIECE)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_short_pieces_leave_turns_to_others_too(method: str) -> None:
    written = Steps()

    async def trickle(exchange: Exchange) -> None:
        exchange.start(200, [])
        for _ in range(5 * MANY):
            exchange.write(b"x")
            written.done += 1
            await exchange.drain()
        exchange.end()

    memory = MemoryConnection(FakeDispatcher(trickle))
    memory.feed(get("/", method=method))
    assert await written.most(memory) <= MANY
    if method == "GET":
        assert memory.transport.written.count(b"x") == 5 * MANY


async def test_who_answers_though_the_server_has_done_so_in_its_place_leaves_turns_to_others() -> None:
    written = Steps()

    async def late(exchange: Exchange) -> None:
        with contextlib.suppress(Disconnected):
            await exchange.receive()
        exchange.start(200, [])
        for _ in range(PIECES):
            exchange.write(PIECE)
            written.done += len(PIECE)
            await exchange.drain()
        exchange.end()

    memory = MemoryConnection(FakeDispatcher(late))
    memory.feed(UPLOAD + b"no chunk\r\n")
    assert await written.most(memory) <= STRETCH
    assert written.done == PIECES * len(PIECE)
    assert memory.transport.written.startswith(b"HTTP/1.1 400 ")


UPLOAD = b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("taken", [True, False])
async def test_a_body_in_many_small_chunks_leaves_turns_to_others(
    together: bool, taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, count, scan = 0, 30_000, ChunkScanner.scan

    def counted(scanner: ChunkScanner, data: bytes) -> int:
        nonlocal seen
        before = scanner.chunks
        end = scan(scanner, data)
        seen += scanner.chunks - before
        return end

    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            before = seen
            await asyncio.sleep(0)
            most = max(most, seen - before)

    monkeypatch.setattr(ChunkScanner, "scan", counted)
    async with serving(echo if taken else answer_with(200, [])) as server:
        client = await server.client()
        watching = asyncio.ensure_future(watch())
        client.send(UPLOAD + (CHUNK * count if together else b""))
        await until(lambda: server.dispatcher.seen)
        client.send((b"" if together else CHUNK * count) + b"0\r\n\r\n" + get("/next"))
        assert await client.response() == (200, b"POST / " + b"x" * count if taken else b"")
        assert (await client.response())[0] == 200
        watching.cancel()
        assert 0 < most <= 2 * (STEP // len(CHUNK) + 1)


async def test_a_body_that_is_all_there_is_read_to_its_end_though_its_client_has_shut_its_side() -> None:
    memory = MemoryConnection(FakeDispatcher(echo))
    memory.feed(UPLOAD + CHUNK * STEP + b"0\r\n\r\n")
    memory.connection.eof_received()
    await until(lambda: memory.transport.closed)
    assert memory.transport.written.startswith(b"HTTP/1.1 200 ")
    assert memory.transport.written.endswith(b"POST / " + b"x" * STEP)


async def test_what_stands_behind_a_body_in_small_chunks_has_its_answer_too_also_where_nothing_more_comes() -> None:
    count = 8 * STEP // len(CHUNK)
    async with serving(echo) as server:
        client = await server.client()
        client.send(UPLOAD + CHUNK * count + b"0\r\n\r\n" + get("/next"))
        client.shut()
        assert await client.response() == (200, b"POST / " + b"x" * count)
        assert await client.response() == (200, b"GET /next ")
        assert await client.rest() == b""
        assert server.dispatcher.faults == []


@pytest.mark.parametrize("end", ["shut", "reset", "broken"])
async def test_a_body_in_small_chunks_that_came_with_its_head_and_is_not_completed_ends_as_any_other(end: str) -> None:
    count = 8 * STEP // len(CHUNK)
    async with serving(echo) as server:
        client = await server.client()
        client.send(UPLOAD + CHUNK * count + (b"no chunk\r\n" if end == "broken" else b""))
        if end == "shut":
            client.shut()
        if end == "reset":
            await until(lambda: server.dispatcher.seen)
            client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            client.writer.transport.abort()
        else:
            assert (await client.rest()).startswith(b"HTTP/1.1 400 ")
        await until(lambda: not server.dispatcher.tasks, "its application to hear of it")
        await until(lambda: not len(server.connections), "its connection to be gone")


async def test_who_writes_to_a_client_that_is_gone_lets_others_hear_of_it() -> None:
    """Between the loop and who can stop the writer there are some turns: a framework's tasks."""
    heard = asyncio.Event()

    async def listen(exchange: Exchange) -> None:
        await exchange.wait_disconnected()
        for _ in range(5):
            await asyncio.sleep(0)
        heard.set()

    async def endless(exchange: Exchange) -> None:
        listening = asyncio.ensure_future(listen(exchange))
        exchange.start(200, [])
        for _ in range(1_000_000):
            if heard.is_set():
                break
            exchange.write(PIECE)
            await exchange.drain()
        else:
            raise AssertionError("nobody heard that the client is gone")
        exchange.abort()
        await listening

    async with serving(endless) as server:
        client = await server.client()
        client.send(get("/"))
        await client.head()
        client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        client.writer.transport.abort()
        await until(lambda: not server.dispatcher.tasks, "the writer to stop")
        assert not server.dispatcher.faults


async def test_who_asks_again_and_again_for_what_no_route_takes_leaves_turns_to_others() -> None:
    memory = MemoryConnection()
    memory.connection.site.dispatcher = Served(Pipeline("shop"), route=Route("shop", "/shop")).dispatcher
    memory.feed(get("/elsewhere") * PIECES)
    answered = most = 0
    while answered < PIECES:
        now = memory.transport.written.count(b"HTTP/1.1 404 ")
        most, answered = max(most, now - answered), now
        await asyncio.sleep(0)
    assert most == 1
