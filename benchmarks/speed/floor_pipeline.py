"""How little a service behind three handlers takes on this loop: the same as the plugin `greeter` does, and no more.

Usage: python -m {package}.floor_pipeline PORT
"""

import asyncio
import sys

import uvloop

from .floor import DATE, Head, Remembering, serve
from .main import HELLO


class Asked:
    """A request."""

    __slots__ = ("caller", "head")

    def __init__(self, head: Head) -> None:
        self.head = head
        self.caller: object = None


class Answered:
    """A response."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self.body = body
        self.headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]


def identify(asked: Asked, client: object) -> Answered | None:
    """Leave a value for the others."""
    asked.caller = client
    return None


def admit(asked: Asked) -> Answered | None:
    """Refuse one path."""
    return Answered(403, b"not here") if asked.head.path == "/forbidden" else None


def stamp(answered: Answered) -> None:
    """Add a field."""
    answered.headers.append((b"x-stamp", b"1"))


async def hello(asked: Asked) -> Answered:
    """Greet."""
    return Answered(200, HELLO)


async def lead(asked: Asked, client: object, transport: asyncio.Transport) -> None:
    """Lead one request through the handlers to the service, and its answer back."""
    answered = identify(asked, client)
    if answered is None:
        answered = admit(asked)
    if answered is None:
        answered = await hello(asked)
    stamp(answered)
    lines = [b"HTTP/1.1 %d OK\r\n" % answered.status]
    for name, value in answered.headers:
        lines.append(name + b": " + value + b"\r\n")
    lines += (DATE, answered.body)
    transport.write(b"".join(lines))


class Leading(Remembering):
    """Leads each request in a task."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._loop = asyncio.get_running_loop()
        self._client = transport.get_extra_info("peername")

    def answer(self, head: Head) -> None:
        asyncio.Task(lead(Asked(head), self._client, self._transport), loop=self._loop)


if __name__ == "__main__":
    uvloop.run(serve(Leading, int(sys.argv[1])))
