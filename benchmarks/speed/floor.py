"""How little an answer in Python takes on this loop: httptools on uvloop, and the least that can be done besides.

Usage: python -m {package}.floor (bare|cycle) PORT

None is a server that one could use: nothing is checked, bounded, timed out or ended.
"""

import asyncio
import socket
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import httptools
import uvloop

from .main import HEADERS, HELLO, Message, app

DATE = b"date: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\n" + b"".join(b"%b: %b\r\n" % pair for pair in HEADERS) + DATE + HELLO
ASGI = {"version": "3.0", "spec_version": "2.5"}


class Bare(asyncio.Protocol):
    """Parses, and gives a fixed answer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by httptools."""

    def on_message_complete(self) -> None:
        """Called by httptools."""
        self._transport.write(ANSWER)


class Cycle:
    """One request to the application, and its answer; the application is given all that the specification names."""

    __slots__ = ("_head", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""

    async def receive(self) -> Message:
        """What the application awaits: a request without a body."""
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message: Message) -> None:
        """What the application answers with: a head, then the whole body."""
        if message["type"] == "http.response.start":
            lines = [b"HTTP/1.1 %d OK\r\n" % message["status"]]
            for name, value in message["headers"]:
                lines.append(name + b": " + value + b"\r\n")
            lines.append(DATE)
            self._head = b"".join(lines)
        else:
            self._transport.write(self._head + message["body"])


class Head:
    """What was parsed of a request."""

    __slots__ = ("fields", "method", "path", "query", "raw_path")

    def __init__(self, method: str, url: bytes, fields: list[tuple[bytes, bytes]]) -> None:
        parsed = httptools.parse_url(url)
        self.method = method
        self.raw_path = parsed.path
        self.query = parsed.query or b""
        self.path = unquote(parsed.path.decode("ascii"))
        self.fields = fields


heads: dict[bytes, Head] = {}
"""What was asked before; without a bound."""


class Remembering(Bare, ABC):
    """Parses what was not asked before, byte for byte, as changeover does; expects a whole head in one piece."""

    def data_received(self, data: bytes) -> None:
        head = heads.get(data)
        if head is None:
            self._fields: list[tuple[bytes, bytes]] = []
            self._parser.feed_data(data)
            method = self._parser.get_method().decode("ascii")
            head = heads[data] = Head(method, self._url, self._fields)
        self.answer(head)

    def on_url(self, url: bytes) -> None:
        """Called by httptools."""
        self._url = url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by httptools."""
        self._fields.append((name.lower(), value))

    def on_message_complete(self) -> None:
        """Called by httptools."""

    @abstractmethod
    def answer(self, head: Head) -> None:
        """Answer one request."""


class Calling(Remembering):
    """Calls the application in a task for each request."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._loop = asyncio.get_running_loop()
        self._client = transport.get_extra_info("peername")
        self._server = transport.get_extra_info("sockname")

    def answer(self, head: Head) -> None:
        scope = {
            "type": "http",
            "asgi": ASGI,
            "http_version": "1.1",
            "method": head.method,
            "scheme": "http",
            "path": head.path,
            "raw_path": head.raw_path,
            "query_string": head.query,
            "root_path": "",
            "headers": head.fields.copy(),
            "client": self._client,
            "server": self._server,
            "state": {},
            "extensions": {},
        }
        cycle = Cycle(self._transport)
        asyncio.Task(app(scope, cycle.receive, cycle.send), loop=self._loop)


KINDS = {"bare": Bare, "cycle": Calling}


async def serve(kind: Callable[[], asyncio.BaseProtocol], port: int) -> None:
    """Answer until somebody ends the process."""
    listener = socket.create_server(("127.0.0.1", port), backlog=2048)
    await asyncio.get_running_loop().create_server(kind, sock=listener)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(KINDS[sys.argv[1]], int(sys.argv[2])))
