"""TLS connections that go on in another process, through a tunnel; over real sockets, on both loops."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from changeover.workers.channel.connection import Connection
from changeover.workers.channel.server_channel import ServerChannel
from changeover.workers.channel.tunnel import Tunnel
from changeover.workers.protocol.assembly import TlsSpec
from changeover.workers.serving.contract import CallContext
from changeover.workers.serving.exchange import Exchange
from changeover.workers.serving.lease import LeaseKind
from changeover.workers.serving.pipeline import Pipeline
from changeover.workers.serving.session import Dispatchers
from changeover.workers.serving.websocket import WebSocket, WebSocketService
from tests.channels import client_context, served, spec, told
from tests.exchange import Served
from tests.waits import until
from tests.websockets_wire import CLOSE, asking, frame
from tests.wire import FakeDispatcher, connections_of, get, post


async def test_a_tls_connection_goes_on_in_another_process_through_a_tunnel_for_one_more_answer(
    tmp_path: Path, certified: Callable[..., TlsSpec]
) -> None:
    channel = ServerChannel(spec(certified("shop.example")), tmp_path)
    there = connections_of(FakeDispatcher(told))
    async with served(channel) as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        await writer.start_tls(client_context(), server_hostname="shop.example")
        writer.write(get("/"))
        assert b"200 OK" in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        rested: list[Connection] = []
        site.connections.leave(rested.append)
        await until(lambda: rested)
        parted = site.connections.part(rested[0])
        assert parted is not None
        there.adopt(*parted)
        writer.write(get("/"))
        rest = await asyncio.wait_for(reader.read(), 5)
        assert rest.count(b"200 OK") == 1
        assert b"connection: close" in rest
        assert b"https ('127.0.0.1'," in rest
        await until(lambda: not len(site.connections) and not len(there))
        assert await there.stop(1.0) == 0
        writer.close()


async def test_a_large_answer_passes_the_tunnel_whole_also_to_a_slow_client(
    tmp_path: Path, certified: Callable[..., TlsSpec]
) -> None:
    size = 8 * 1024 * 1024
    channel = ServerChannel(spec(certified("shop.example")), tmp_path)

    async def large(exchange: Exchange) -> None:
        exchange.start(200, [(b"content-length", b"%d" % size)])
        for _ in range(size // 65536):
            exchange.write(b"x" * 65536)
            await exchange.drain()
        exchange.end()

    there = connections_of(FakeDispatcher(large))
    async with served(channel) as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port, limit=4096)
        await writer.start_tls(client_context(), server_hostname="shop.example")
        await until(lambda: any(True for _ in site.connections))
        rested: list[Connection] = []
        site.connections.leave(rested.append)
        await until(lambda: rested)
        parted = site.connections.part(rested[0])
        assert parted is not None
        there.adopt(*parted)
        writer.write(get("/"))
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        assert len(await asyncio.wait_for(reader.readexactly(size), 20)) == size
        await until(lambda: not len(site.connections) and not len(there))
        writer.close()


@asynccontextmanager
async def tunnelled(
    channel: ServerChannel, dispatcher: Dispatchers
) -> AsyncIterator[tuple[Tunnel, asyncio.StreamReader, asyncio.StreamWriter]]:
    """A client over TLS whose connection has gone on elsewhere."""
    there = connections_of(dispatcher)
    async with served(channel) as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        await writer.start_tls(client_context(), server_hostname="shop.example")
        rested: list[Connection] = []
        site.connections.leave(rested.append)
        await until(lambda: rested)
        parted = site.connections.part(rested[0])
        assert parted is not None
        there.adopt(*parted)
        (tunnel,) = site.connections
        assert isinstance(tunnel, Tunnel)
        yield tunnel, reader, writer
        writer.close()
        await until(lambda: not len(site.connections) and not len(there))


async def test_a_tunnel_is_of_the_class_of_what_runs_in_it(tmp_path: Path, certified: Callable[..., TlsSpec]) -> None:
    channel = ServerChannel(spec(certified("shop.example")), tmp_path)
    begun, ended = asyncio.Event(), asyncio.Event()

    async def stream(exchange: Exchange) -> None:
        await exchange.request.body()
        await begun.wait()
        exchange.start(200, [])
        exchange.write(b"first")
        await ended.wait()
        exchange.end()

    async with tunnelled(channel, FakeDispatcher(stream)) as (tunnel, reader, writer):
        writer.write(post("/", b"body", "Expect: 100-continue\r\n").removesuffix(b"body"))
        assert b" 100 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        kinds = [tunnel.kind]
        writer.write(b"body")
        begun.set()
        await asyncio.wait_for(reader.readuntil(b"first"), 5)
        kinds.append(tunnel.kind)
        ended.set()
        await asyncio.wait_for(reader.read(), 5)
    assert kinds == [LeaseKind.HTTP, LeaseKind.STREAM]


async def test_a_tunnel_in_which_a_websocket_opens_is_one(tmp_path: Path, certified: Callable[..., TlsSpec]) -> None:
    channel = ServerChannel(spec(certified("shop.example")), tmp_path)

    async def speak(socket: WebSocket, call: CallContext) -> None:
        await socket.accept()

    speaking = Served(Pipeline("live", (), WebSocketService("test:speak", speak)))
    async with tunnelled(channel, speaking.dispatcher) as (tunnel, reader, writer):
        writer.write(asking())
        assert b" 101 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        assert tunnel.kind is LeaseKind.WEBSOCKET
        writer.write(frame(CLOSE))


@pytest.mark.parametrize("whole", [True, False])
async def test_an_answer_that_is_broken_off_behind_a_tunnel_shows_whatever_its_framing(
    tmp_path: Path, certified: Callable[..., TlsSpec], *, whole: bool
) -> None:
    channel = ServerChannel(spec(certified("shop.example")), tmp_path)
    piece = b"x" * 300_000

    async def answer(exchange: Exchange) -> None:
        exchange.start(200, [])
        exchange.write(piece)
        await exchange.drain()
        if whole:
            exchange.end()
        else:
            exchange.abort()

    async with tunnelled(channel, FakeDispatcher(answer)) as (_, reader, writer):
        writer.write(b"GET / HTTP/1.0\r\nHost: test\r\n\r\n")
        if whole:
            assert (await asyncio.wait_for(reader.read(), 5)).endswith(b"\r\n\r\n" + piece)
        else:
            with pytest.raises(ConnectionResetError):
                await asyncio.wait_for(reader.read(), 5)
