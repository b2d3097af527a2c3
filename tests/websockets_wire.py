"""WebSockets over loopback through a pipeline, with clients that others wrote and one that says what it is told to."""

import asyncio
import base64
import os
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import websockets
import wsproto
from wsproto.events import Event, Request

from changeover.workers.channel.connections import Connections
from changeover.workers.channel.limits import Limits
from changeover.workers.http.making import Making
from changeover.workers.protocol.snapshot import Route, UnitKey, UnitKind, UnitRef
from changeover.workers.serving.answering import Answering
from changeover.workers.serving.contract import CallContext
from changeover.workers.serving.handlers import Handler
from changeover.workers.serving.lease import UnitSet
from changeover.workers.serving.pipeline import Pipeline
from changeover.workers.serving.router import ApplicationRouter, Target
from changeover.workers.serving.websocket import WebSocket, WebSocketService
from tests.exchange import FixedGeneration, Served
from tests.waits import DEADLINE, until
from tests.wire import Client, connections_of

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
COMPRESSING = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"


async def echo(socket: WebSocket, call: CallContext) -> None:
    """Send back what comes."""
    await socket.accept()
    async for message in socket:
        await socket.send(message)


ECHO = WebSocketService("test:echo", echo)


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, masked: bool = True, rsv1: bool = False) -> bytes:
    """A frame of a client, written by hand."""
    first = opcode | (0x80 if fin else 0) | (0x40 if rsv1 else 0)
    mask = 0x80 if masked else 0
    if len(payload) < 126:
        head = bytes((first, mask | len(payload)))
    elif len(payload) < 65536:
        head = bytes((first, mask | 126)) + struct.pack("!H", len(payload))
    else:
        head = bytes((first, mask | 127)) + struct.pack("!Q", len(payload))
    return head + (bytes(4) if masked else b"") + payload


def asking(path: str = "/", fields: str = "") -> bytes:
    """A request for a WebSocket."""
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        f"GET {path} HTTP/1.1\r\nHost: test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{fields}\r\n"
    ).encode()


class RawSocket(Client):
    """A WebSocket of which every frame is seen."""

    async def frame(self) -> tuple[int, bytes]:
        """Opcode and payload of the next frame."""
        first, length = await self.exactly(2)
        assert first & 0x80, "a fragment"
        assert not length & 0x80, "a masked frame of a server"
        if length == 126:
            (length,) = struct.unpack("!H", await self.exactly(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", await self.exactly(8))
        return first & 0x0F, await self.exactly(length)

    async def closing(self) -> tuple[int, str]:
        """Code and reason of the closing frame, which is the next one."""
        opcode, payload = await self.frame()
        assert opcode == CLOSE, (opcode, payload)
        return int.from_bytes(payload[:2]), payload[2:].decode()


class WsprotoClient:
    """The client side of another implementation."""

    def __init__(self, client: Client, extensions: Sequence[Any]) -> None:
        self._client = client
        self._events: list[Event] = []
        self._state = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
        self.send(Request(host="test", target="/", extensions=list(extensions)))

    def send(self, event: Event) -> None:
        self._client.send(self._state.send(event))

    async def event(self) -> Event:
        """What comes next."""
        while not self._events:
            data = await asyncio.wait_for(self._client.reader.read(65536), DEADLINE)
            self._state.receive_data(data or None)
            self._events = list(self._state.events())
        return self._events.pop(0)


class SpeakingServer:
    """A pipeline behind a real listening socket.

    Attributes:
        served: Its dispatcher and unit set.
        connections: All that are open.
    """

    def __init__(
        self, target: Answering, handlers: Sequence[Handler], limits: Limits, making: Making | None = None
    ) -> None:
        self.served = Served(Pipeline("live", handlers, target))
        self.connections: Connections = connections_of(self.served.dispatcher, limits, making=making)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self._clients: list[Client] = []
        self._accepting = asyncio.ensure_future(self._accept())

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self._listener.getsockname()[1]}/"

    async def _accept(self) -> None:
        while True:
            accepted, _ = await asyncio.get_running_loop().sock_accept(self._listener)
            self.connections.accept(accepted, "")

    def connect(self, **options: Any) -> websockets.connect:
        """The client of the `websockets` library."""
        return websockets.connect(self.url, **options)

    async def raw(self, path: str = "/", fields: str = "", *, receive_buffer: int | None = None) -> RawSocket:
        """Ask for a WebSocket by hand, and see it accepted."""
        client = await self.client(receive_buffer)
        client.send(asking(path, fields))
        assert (await client.head()).startswith(b"HTTP/1.1 101 ")
        return client

    async def client(self, receive_buffer: int | None = None) -> RawSocket:
        """Connect and say nothing."""
        sock = socket.socket()
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, self._listener.getsockname())
        limit = 64 * 1024 if receive_buffer is None else 1024
        client = RawSocket(*await asyncio.open_connection(sock=sock, limit=limit))
        self._clients.append(client)
        return client

    async def wsproto(self, *extensions: Any) -> WsprotoClient:
        """The client of the `wsproto` library."""
        return WsprotoClient(await self.client(), extensions)

    def swap(self, target: Answering, *, epoch: int = 8, units: UnitSet | None = None) -> UnitSet:
        """Let another generation serve; what its requests lease, the same `units` where nothing of them changed."""
        units = units or UnitSet([UnitKey(UnitRef(UnitKind.PIPELINE, "live"), "e" * 64, epoch)])
        router = ApplicationRouter([Target(Route("live"), Pipeline("live", (), target), units)])
        self.served.admission.generation = FixedGeneration(epoch, router)
        self.connections.resume_all()
        return units

    async def close(self) -> None:
        self._accepting.cancel()
        self._listener.close()
        for client in self._clients:
            await client.close()
        for connection in self.connections:
            connection.abort()
        await until(lambda: not len(self.connections))
        await until(lambda: not self.served.units.leases, f"no lease is left: {self.served.units.leases}")


@asynccontextmanager
async def speaking(
    target: Answering, *handlers: Handler, limits: Limits | None = None, making: Making | None = None
) -> AsyncIterator[SpeakingServer]:
    """Serve `target` on a loopback port."""
    server = SpeakingServer(target, handlers, limits or Limits(), making)
    try:
        yield server
    finally:
        await server.close()
