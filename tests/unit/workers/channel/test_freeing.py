"""What is left of a connection after its end: nothing that only the garbage collector would find."""

import asyncio
import socket
import ssl
import struct
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection

from changeover.workers.channel import handshake
from changeover.workers.channel.connection import Connection
from changeover.workers.channel.server_channel import ServerChannel
from changeover.workers.protocol.assembly import Rule, TlsSpec
from changeover.workers.serving.contract import CallContext
from changeover.workers.serving.pipeline import Pipeline
from changeover.workers.serving.websocket import WebSocket, WebSocketService
from tests.channels import Site, client_context, served, spec
from tests.cycles import cycles
from tests.exchange import Served
from tests.waits import until
from tests.websockets_wire import BINARY, CLOSE, TEXT, asking, frame
from tests.wire import FakeDispatcher, connections_of, echo, get, post

AGAIN = 3
"""How often everything happens."""
PROXIED = b"PROXY TCP4 203.0.113.7 192.0.2.1 51234 443\r\n"
RESET = struct.pack("ii", 1, 0)
BIG = b"x" * 100_000

Speak = Callable[[socket.socket], None]


class Line:
    """A client's side, in a thread: nothing of it is in the way of the collector.

    Args:
        port: Where to.
        tls: How it is secured; None for cleartext.
        name: Whom it expects there.
    """

    def __init__(self, port: int, tls: ssl.SSLContext | None = None, name: str = "shop.example") -> None:
        self._port = port
        self._tls = tls
        self._name = name

    async def speak(self, speak: Speak) -> None:
        """Connect, say something, and end."""
        await asyncio.to_thread(self._speak, speak)

    def _speak(self, speak: Speak) -> None:
        with socket.create_connection(("127.0.0.1", self._port), 5) as client:
            if self._tls is None:
                speak(client)
                return
            with self._tls.wrap_socket(client, server_hostname=self._name) as secured:
                speak(secured)


def read(client: socket.socket, end: bytes) -> bytes:
    """Read `end` and perhaps more, or to the end of the connection when that is empty."""
    data = b""
    while end not in data or not end:
        piece = client.recv(65536)
        if not piece:
            return data
        data += piece
    return data


def asks(client: socket.socket) -> None:
    """Two requests, and it is the client that closes."""
    client.sendall(get("/one"))
    assert b"200 OK" in read(client, b"GET /one ")
    client.sendall(post("/two", BIG))
    read(client, BIG)


def asks_for_the_end(client: socket.socket) -> None:
    client.sendall(get("/", "Connection: close\r\n"))
    assert b"200 OK" in read(client, b"")


def errs(client: socket.socket) -> None:
    client.sendall(b"NONSENSE\r\n\r\n")
    assert b" 501 " in read(client, b"")


def resets(client: socket.socket) -> None:
    """It goes away without a word, in the middle of a body."""
    client.sendall(post("/", BIG)[:200])
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def waits(client: socket.socket) -> None:
    client.recv(10)


def asks_many(client: socket.socket) -> None:
    """HTTP/2: streams with and without bodies, one that is given up, and one that is not complete."""
    engine = H2Connection(H2Configuration(client_side=True, header_encoding=None))
    engine.initiate_connection()
    head = [(b":scheme", b"https"), (b":authority", b"test"), (b":path", b"/")]
    for number in (1, 3, 5, 7):
        bodily = number > 1
        engine.send_headers(number, [(b":method", b"POST" if bodily else b"GET"), *head], end_stream=not bodily)
    engine.send_data(3, b"body", end_stream=True)
    engine.send_data(5, b"bo")
    engine.reset_stream(5)
    engine.send_data(7, b"bo")
    client.sendall(engine.data_to_send())
    ended = 0
    while ended < 2:
        ended += sum(type(event).__name__ == "StreamEnded" for event in engine.receive_data(client.recv(65536)))
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def converses(client: socket.socket) -> None:
    """A WebSocket: a message and the closing handshake."""
    client.sendall(asking())
    read(client, b"\r\n\r\n")
    client.sendall(frame(TEXT, b"hello"))
    read(client, b"hello")
    client.sendall(frame(CLOSE, b"\x03\xe8"))
    read(client, b"")


def leaves(client: socket.socket) -> None:
    """A WebSocket whose client goes away."""
    client.sendall(asking() + frame(BINARY, b"a"))
    read(client, b"a")


def talks_nonsense(client: socket.socket) -> None:
    """A WebSocket whose client says what is no text."""
    client.sendall(asking())
    read(client, b"\r\n\r\n")
    client.sendall(frame(TEXT, b"\xff"))
    read(client, b"")


async def _echo(socket: WebSocket, call: CallContext) -> None:
    await socket.accept()
    async for message in socket:
        await socket.send(message)


WEBSOCKET = WebSocketService("test:echo", _echo)
HTTP = [asks, asks_for_the_end, errs, resets]
WEBSOCKETS = [converses, leaves, talks_nonsense]


async def nothing_is_left(
    channel: ServerChannel | None, speak: Callable[[Site], Awaitable[None]], *, websocket: bool = False
) -> None:
    """Speak some times, and see that every connection was free once it ended."""
    dispatcher = FakeDispatcher(echo)
    speaking = Served(Pipeline("live", (), WEBSOCKET)).dispatcher

    async def left() -> Counter[str]:
        found = Counter[str]()
        with cycles(found):
            for _ in range(AGAIN):
                await speak(site)
            await until(lambda: not len(site.connections) and not dispatcher.tasks)
            for _ in range(3):
                await asyncio.sleep(0)  # the loop lets go of what it called last
            dispatcher.seen.clear()
        return found

    async with served(channel, speaking if websocket else dispatcher) as site:
        await left()  # with what is made once and for all
        assert not await left()


@pytest.mark.parametrize("speak", [*HTTP, asks_many, *WEBSOCKETS])
async def test_nothing_is_left_of_a_connection_in_cleartext(speak: Speak) -> None:
    await nothing_is_left(None, lambda site: Line(site.port).speak(speak), websocket=speak in WEBSOCKETS)


@pytest.mark.parametrize("speak", [*HTTP, asks_many, *WEBSOCKETS])
async def test_nothing_is_left_of_a_connection_over_tls(
    tmp_path: Path, certified: Callable[..., TlsSpec], speak: Speak
) -> None:
    channel = ServerChannel(spec(certified("shop.example")), tmp_path)
    tls = client_context("h2" if speak is asks_many else "http/1.1")
    await nothing_is_left(channel, lambda site: Line(site.port, tls).speak(speak), websocket=speak in WEBSOCKETS)


@pytest.mark.parametrize("speak", HTTP)
async def test_nothing_is_left_of_a_connection_behind_a_proxy(speak: Speak) -> None:
    def proxied(client: socket.socket) -> None:
        client.sendall(PROXIED)
        speak(client)

    channel = ServerChannel(spec(proxies=("127.0.0.1",)), Path())
    await nothing_is_left(channel, lambda site: Line(site.port).speak(proxied))


@pytest.mark.parametrize("said", [get("/"), b"", b"\x16\x03\x01"], ids=["cleartext", "nothing", "a beginning"])
async def test_nothing_is_left_of_a_handshake_that_fails(
    tmp_path: Path, certified: Callable[..., TlsSpec], said: bytes
) -> None:
    channel = ServerChannel(spec(certified("shop.example")), tmp_path)
    await nothing_is_left(channel, lambda site: Line(site.port).speak(lambda client: client.sendall(said)))


async def test_nothing_is_left_of_a_handshake_that_takes_too_long(
    tmp_path: Path, certified: Callable[..., TlsSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handshake, "DEADLINE", 0.05)
    channel = ServerChannel(spec(certified("shop.example")), tmp_path)
    await nothing_is_left(channel, lambda site: Line(site.port).speak(waits))


@pytest.mark.parametrize("said", [get("/"), PROXIED[:9], b""], ids=["none", "a beginning", "nothing"])
async def test_nothing_is_left_of_who_is_no_proxy(said: bytes) -> None:
    channel = ServerChannel(spec(proxies=("127.0.0.1",)), Path())
    await nothing_is_left(channel, lambda site: Line(site.port).speak(lambda client: client.sendall(said)))


async def test_nothing_is_left_of_what_no_rule_matches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshake, "GOODBYE", 0.05)
    channel = ServerChannel(spec(rules=(Rule(tls=True),)), Path())
    await nothing_is_left(channel, lambda site: Line(site.port).speak(waits))


async def test_nothing_is_left_of_a_tunnel(tmp_path: Path, certified: Callable[..., TlsSpec]) -> None:
    channel = ServerChannel(spec(certified("shop.example")), tmp_path)
    elsewhere = FakeDispatcher(echo)
    there = connections_of(elsewhere)

    async def speak(here: Site) -> None:
        rested: list[Connection] = []
        here.connections.leave(rested.append)
        speaking = asyncio.ensure_future(Line(here.port, client_context()).speak(asks_for_the_end))
        await until(lambda: rested)
        parted = here.connections.part(rested.pop())
        assert parted is not None
        there.adopt(*parted)
        await speaking
        await until(lambda: not len(here.connections) and not len(there))
        elsewhere.seen.clear()

    await nothing_is_left(channel, speak)
