"""What cannot be sent to one client at the end of a turn of the loop keeps nothing from the others of that turn."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from changeover.plugin import Channel, MessageCall
from changeover.workers.channel.connection import Connection
from changeover.workers.channel.outlet import Outlet
from changeover.workers.serving.exchange import Exchange
from tests.http2_client import Http2Client
from tests.messages import speaking
from tests.waits import until
from tests.wire import get, serving


class Fault:
    """Lets nothing be sent to one client, and keeps what the loop is told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.told: list[str] = []
        self._outlet: Outlet | None = None
        asyncio.get_running_loop().set_exception_handler(self._hear)
        send = Outlet.send

        def failing(outlet: Outlet, pieces: Sequence[bytes], size: int) -> None:
            if outlet is self._outlet:
                raise RuntimeError("out of order")
            send(outlet, pieces, size)

        monkeypatch.setattr(Outlet, "send", failing)

    def hit(self, connections: Iterable[Connection], writer: asyncio.StreamWriter) -> None:
        """Nothing is sent any more to the client that writes there."""
        address = writer.get_extra_info("sockname")
        (self._outlet,) = (connection.outlet for connection in connections if connection.client == address)

    def _hear(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.told.append(f"{context['message']}: {context.get('exception')}")


TOLD = "what was written for a client could not be sent: its connection is cut off: out of order"


async def counted(things: Sequence[object], number: int) -> None:
    """Wait until there are so many: the order in which clients asked is the one in which they are answered."""
    await until(lambda: len(things) == number)


@pytest.fixture
async def fault(monkeypatch: pytest.MonkeyPatch) -> Fault:
    return Fault(monkeypatch)


async def test_answers_of_others_leave(fault: Fault) -> None:
    gate = asyncio.Event()

    async def pieces(exchange: Exchange) -> None:
        await gate.wait()
        exchange.start(200, [])
        exchange.write(b"hello")
        await asyncio.sleep(0)
        exchange.end()

    async with serving(pieces) as server:
        first, *others = [await server.client() for _ in range(3)]
        for number, client in enumerate((first, *others), 1):
            client.send(get())
            await counted(server.dispatcher.seen, number)
        fault.hit(server.connections, first.writer)
        gate.set()
        for client in others:
            await client.head()
            assert await client.exactly(15) == b"5\r\nhello\r\n0\r\n\r\n"
        assert await first.rest() == b""
        assert fault.told == [TOLD]


async def test_other_http2_connections_speak(fault: Fault) -> None:
    gate = asyncio.Event()

    async def gated(exchange: Exchange) -> None:
        if exchange.request.path == "/gated":
            await gate.wait()
        exchange.answer(200, [], b"hello")

    async with serving(gated) as server:
        address = server.listener.getsockname()
        first, *others = clients = [await Http2Client.connect(*address) for _ in range(3)]
        numbers = []
        for number, client in enumerate(clients, 1):
            await client.get("/")  # so that nothing else is to be said that would let it speak
            numbers.append(client.ask("/gated"))
            await counted(server.dispatcher.seen, 2 * number)
        fault.hit(server.connections, first.writer)
        gate.set()
        for client, number in zip(others, numbers[1:], strict=True):
            assert (await client.answer(number)).body == b"hello"
        await until(lambda: first.closed)
        assert fault.told == [TOLD]
        for client in clients:
            await client.close()


async def test_messages_to_others_leave(fault: Fault) -> None:
    channels: list[Channel] = []

    def join(message: str, call: MessageCall) -> None:
        channels.append(call.channel)

    async with speaking(join) as server:
        first, *others = [await server.client() for _ in range(3)]
        for number, client in enumerate((first, *others), 1):
            client.send(b"join\n")
            await counted(channels, number)
        fault.hit(server.connections, first.writer)
        for channel in channels:
            channel.write("news")
        for client in others:
            assert await client.exactly(5) == b"news\n"
        assert await first.rest() == b""
        assert fault.told == [TOLD]
