"""A small request path and raw clients, for tests of the wire."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from changeover.workers.channel.connections import Connections
from changeover.workers.channel.limits import Limits
from changeover.workers.http.initializer import HttpInitializer
from changeover.workers.http.making import Making
from changeover.workers.http2.initializer import Http2Initializer
from changeover.workers.serving.contract import BodyTooLarge
from changeover.workers.serving.exchange import Disconnected, Exchange
from changeover.workers.serving.session import Dispatchers, Upgrade
from tests.waits import DEADLINE, until

ORDINARY = Limits()

Answer = Callable[[Exchange], Awaitable[None]]


@dataclass
class FakeDispatcher:
    """Answers every exchange in a task of its own, unless it is told to hold.

    Attributes:
        answer: What answers.
        holding: Whether exchanges are declined.
        seen: Every exchange that was taken.
        faults: What answers raised.
    """

    answer: Answer
    holding: bool = False
    seen: list[Exchange] = field(default_factory=list)
    faults: list[Exception] = field(default_factory=list)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def dispatch(self, exchange: Exchange) -> bool:
        if self.holding:
            return False
        self.seen.append(exchange)
        task = asyncio.ensure_future(self._run(exchange))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return True

    def dispatch_upgrade(self, upgrade: Upgrade) -> bool:
        return self.dispatch(upgrade)

    async def _run(self, exchange: Exchange) -> None:
        try:
            await self.answer(exchange)
        except Disconnected:
            pass
        except BodyTooLarge:
            exchange.start(413, [])
            exchange.end()
        except Exception as fault:  # noqa: BLE001
            self.faults.append(fault)


async def echo(exchange: Exchange) -> None:
    """Answer with method, path and body: a different answer for every different request."""
    body = await exchange.request.body()
    content = f"{exchange.request.method} {exchange.request.path} ".encode() + body
    exchange.start(200, [(b"content-length", b"%d" % len(content))])
    exchange.write(content)
    exchange.end()


def answer_with(status: int, headers: list[tuple[bytes, bytes]], *pieces: bytes) -> Answer:
    """Answer without looking."""

    async def answer(exchange: Exchange) -> None:
        exchange.start(status, headers)
        for piece in pieces:
            exchange.write(piece)
        exchange.end()

    return answer


def connections_of(
    dispatcher: Dispatchers, limits: Limits = ORDINARY, *, server: str = "", making: Making | None = None
) -> Connections:
    """Connections over which HTTP is spoken, HTTP/2 included."""
    http2 = Http2Initializer(dispatcher, limits, server=server, making=making)
    return Connections(HttpInitializer(dispatcher, limits, server=server, making=making, http2=http2), limits)


class Client:
    """A client that says exactly what it is told to, and reads what comes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def shut(self) -> None:
        """Shut the write side."""
        self.writer.write_eof()

    async def head(self) -> bytes:
        """The head of the next response."""
        return await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), DEADLINE)

    async def exactly(self, size: int) -> bytes:
        return await asyncio.wait_for(self.reader.readexactly(size), DEADLINE)

    async def response(self) -> tuple[int, bytes]:
        """Status and body of the next response, which has a Content-Length."""
        head = await self.head()
        return int(head[9:12]), await self.exactly(int(field_of(head, b"content-length") or 0))

    async def rest(self) -> bytes:
        """Everything up to the end of the connection."""
        return await asyncio.wait_for(self.reader.read(), DEADLINE)

    async def ask(self, path: str = "/", fields: str = "") -> tuple[int, bytes]:
        self.send(get(path, fields))
        return await self.response()

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


def get(path: str = "/", fields: str = "", method: str = "GET") -> bytes:
    """A request without a body."""
    return f"{method} {path} HTTP/1.1\r\nHost: test\r\n{fields}\r\n".encode()


def post(path: str, body: bytes, fields: str = "") -> bytes:
    """A request with a body of known length."""
    return f"POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {len(body)}\r\n{fields}\r\n".encode() + body


def chunked(path: str, *chunks: bytes) -> bytes:
    """A request with a body in chunks."""
    head = f"POST {path} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    return head + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


def field_of(head: bytes, name: bytes) -> bytes | None:
    """The value of a field of a response's head."""
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.lower() == name:
            return value.strip()
    return None


class WireServer:
    """Connections behind a real listening socket."""

    def __init__(self, dispatcher: FakeDispatcher, limits: Limits, server: str, making: Making | None) -> None:
        self.dispatcher = dispatcher
        self.connections = connections_of(dispatcher, limits, server=server, making=making)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.clients: list[Client] = []
        self._accepting = asyncio.ensure_future(self._accept())

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            accepted, _ = await loop.sock_accept(self.listener)
            self.connections.accept(accepted, "")

    async def client(self, receive_buffer: int | None = None) -> Client:
        """Connect, and wait until the server has the connection."""
        before = sum(1 for _ in self.connections)
        sock = socket.socket()
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, self.listener.getsockname())
        limit = 64 * 1024 if receive_buffer is None else 1024
        client = Client(*await asyncio.open_connection(sock=sock, limit=limit))
        self.clients.append(client)
        await until(lambda: sum(1 for _ in self.connections) > before)
        return client

    async def close(self) -> None:
        self._accepting.cancel()
        self.listener.close()
        for client in self.clients:
            await client.close()
        for connection in self.connections:
            connection.abort()
        await until(lambda: not len(self.connections))
        for task in tuple(self.dispatcher.tasks):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def serving(
    answer: Answer = echo,
    limits: Limits | None = None,
    server: str = "",
    *,
    holding: bool = False,
    making: Making | None = None,
) -> AsyncIterator[WireServer]:
    """Serve `answer` on a loopback port."""
    wire = WireServer(FakeDispatcher(answer, holding), limits or Limits(), server, making)
    try:
        yield wire
    finally:
        await wire.close()
