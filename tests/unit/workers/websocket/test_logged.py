"""What is told of WebSockets: each one once, when it is over, or when it is refused."""

import socket

import pytest
from websockets.exceptions import ConnectionClosed

from changeover.workers.channel.limits import Limits
from changeover.workers.channel.outlet import RESET
from changeover.workers.http.making import Making
from changeover.workers.serving.contract import CallContext, Headers
from changeover.workers.serving.session import RESTART
from changeover.workers.serving.websocket import WebSocket, WebSocketService
from changeover.workers.websocket.connection import WebSocketConnection
from tests.kept import Kept
from tests.waits import until
from tests.websockets_wire import CLOSE, TEXT, asking, frame, speaking
from tests.wire import get


async def _echo(socket: WebSocket, call: CallContext) -> None:
    await socket.accept(headers=Headers([(b"x-request-id", b"r-2")]))
    async for message in socket:
        await socket.send(message)


ECHO = WebSocketService("test:echo", _echo)


async def test_a_websocket_is_told_when_it_is_over_with_the_bytes_of_its_messages() -> None:
    kept = Kept()
    async with speaking(ECHO, making=kept.making) as server:
        client = await server.raw("/chat?a=b", "User-Agent: test\r\n")
        for text in (b"hello", "é".encode()):
            client.send(frame(TEXT, text))
            assert await client.frame() == (TEXT, text)
        assert not kept
        client.send(frame(CLOSE, b"\x03\xe8"))
        assert await client.closing() == (1000, "")
        await until(lambda: kept)
        (told,) = kept
        assert (told.method, told.target, told.version, told.status) == ("GET", "/chat?a=b", "1.1", 101)
        assert (told.size, told.complete, told.client, told.worker) == (7, True, "127.0.0.1", 3)
        assert (told.epoch, told.route, told.request_id, told.agent) == (7, "live", "r-2", "test")
        assert 0 < told.ms < 10_000


async def test_one_that_the_server_closes_is_complete() -> None:
    kept = Kept()
    async with speaking(ECHO, making=kept.making) as server, server.connect() as client:
        (connection,) = server.connections
        connection.farewell()
        with pytest.raises(ConnectionClosed, match=RESTART):
            await client.recv()
        await until(lambda: kept)
        assert [(told.status, told.complete) for told in kept] == [(101, True)]


async def test_one_that_is_lost_is_told_as_cut() -> None:
    kept = Kept()
    async with speaking(ECHO, making=kept.making) as server:
        client = await server.raw()
        client.writer.transport.abort()
        await until(lambda: kept)
        assert [(told.status, told.complete) for told in kept] == [(101, False)]


async def test_one_that_the_service_refuses_is_told_at_once() -> None:
    async def refuse(socket: WebSocket, call: CallContext) -> None:
        await socket.close()

    kept = Kept()
    async with speaking(WebSocketService("test:refuse", refuse), making=kept.making) as server:
        client = await server.client()
        client.send(asking("/chat"))
        assert (await client.response())[0] == 403
        assert [(told.target, told.status, told.complete, told.epoch) for told in kept] == [("/chat", 403, True, 7)]
        client.send(get("/page"))
        await client.response()
        assert [told.target for told in kept] == ["/chat", "/page"]


async def test_one_whose_client_left_before_there_was_an_answer_is_told_of_once() -> None:
    async def wait(socket: WebSocket, call: CallContext) -> None:
        await call.client_left()

    kept = Kept()
    async with speaking(WebSocketService("test:wait", wait), making=kept.making) as server:
        client = await server.client()
        client.send(asking("/chat"))
        await until(lambda: server.served.units.leases)
        client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        client.writer.transport.abort()
        await until(lambda: kept)
        await until(lambda: not server.served.units.leases)
        assert [(told.status, told.complete) for told in kept] == [(499, False)]


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (asking().replace(b"Version: 13", b"Version: 8"), 426),
        (asking().replace(b"Sec-WebSocket-Key: ", b"Sec-WebSocket-Key: ="), 400),
        (asking("/", "X-Large: " + "a" * 20_000 + "\r\n"), 431),
    ],
    ids=["version", "key", "size"],
)
async def test_what_is_no_request_for_a_websocket_is_told_by_its_answer_alone(raw: bytes, status: int) -> None:
    kept = Kept()
    async with speaking(ECHO, limits=Limits(head=16 * 1024), making=kept.making) as server:
        client = await server.client()
        client.send(raw)
        assert int((await client.head())[9:12]) == status
        (told,) = kept
        assert (told.method, told.status, told.client, told.worker) == ("", status, "127.0.0.1", 3)


async def test_where_nobody_is_told_a_websocket_is_the_plain_one() -> None:
    for making in (None, Making(None, None, 0)):
        async with speaking(ECHO, making=making) as server, server.connect():
            (connection,) = server.connections
            assert type(connection) is WebSocketConnection
