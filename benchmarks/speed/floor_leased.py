"""How little an answer takes that could be replaced: the smallest ASGI cycle, and what a cutover asks of each request.

Usage: python -m {package}.floor_leased PORT

Each request reads a commit cell, counts, holds a lease which its task finds in its context, and is answered by a
head that is remembered, if its messages come in order and its body is as long as was said. All of it stands in two
functions, without layers between them: so nothing here can serve anything else, and what would ask for it is refused.
"""

import asyncio
import contextvars
import enum
import mmap
import sys
from time import monotonic_ns
from typing import Any

import httptools
import msgspec
import uvloop

from .floor import ASGI, DATE, Head, serve
from .main import Message, app

READ = 65536
"""Most bytes that are read at once."""


class Kind(enum.Enum):
    """Who holds a lease."""

    HTTP = 1
    TASK = 2


class Phase(enum.Enum):
    """How far an answer is."""

    OPEN = 1
    STARTED = 2
    DONE = 3


_HTTP, _TASK = Kind
_OPEN, _STARTED, _DONE = Phase


class Units:
    """What is leased."""

    __slots__ = ("leases", "responses", "retired")

    def __init__(self) -> None:
        self.leases: set[Lease] = set()
        self.responses = [0] * 6
        self.retired = False


class Lease(msgspec.Struct, eq=False):
    """One hold."""

    units: Units
    kind: Kind
    epoch: int
    path: str
    since: int
    holder: asyncio.Task[None] | None = None


class Target:
    """Where the only route leads."""

    __slots__ = ("hits", "state", "units")

    def __init__(self) -> None:
        self.hits = 0
        self.state: dict[str, object] = {}
        self.units = Units()


class Encoded(msgspec.Struct):
    """The head of a response."""

    lines: bytes
    length: int


class Unserved(Exception):
    """What was asked or answered is not for a floor."""


lease_of: contextvars.ContextVar[Lease] = contextvars.ContextVar("lease_of")
cell = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("Q")
epoch = 0
target = Target()
memory = mmap.mmap(-1, READ)
buffer = memoryview(memory)
context = contextvars.copy_context()
heads: dict[bytes, Head] = {}
encoded: dict[object, Encoded] = {}
corked: list["Call"] = []


def encode(status: int, headers: list[tuple[bytes, bytes]]) -> Encoded:
    """The head of a response."""
    lines = [b"HTTP/1.1 %d OK\r\n" % status, *(name + b": " + value + b"\r\n" for name, value in headers), DATE]
    return Encoded(b"".join(lines), int(dict(headers).get(b"content-length", 0)))


class Call(msgspec.Struct, eq=False):
    """One request to the application, and its answer."""

    connection: "Connection"
    head: Head
    lease: Lease
    response: Encoded | None = None
    phase: Phase = _OPEN
    corked: bool = False

    async def run(self) -> None:
        """Call the application, and let go."""
        lease, head, connection = self.lease, self.head, self.connection
        lease_of.set(lease)
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
            "client": connection.client,
            "server": connection.server,
            "state": target.state.copy(),
            "extensions": {},
        }
        try:
            await app(scope, self.receive, self.send)
            if self.phase is not _DONE:
                raise Unserved(self.phase)
        except BaseException:
            connection.transport.abort()
            raise
        finally:
            units = lease.units
            units.leases.discard(lease)
            lease.holder = None
            if units.retired and not units.leases:
                raise Unserved("a generation that is left")

    async def receive(self) -> Message:
        """What the application awaits: a request without a body."""
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message: Message) -> None:
        """What the application answers with: a head, then the whole body."""
        kind, phase = message["type"], self.phase
        if phase is _STARTED and kind == "http.response.body":
            body, response, connection = message.get("body", b""), self.response, self.connection
            if message.get("more_body", False) or response is None or response.length != len(body):
                raise Unserved(message)
            if connection.ends or connection.unread:
                raise Unserved("more than one request at a time")
            connection.sent += len(body)
            connection.transport.write(response.lines + body)
            connection.call, self.phase, self.corked = None, _DONE, False
            self.lease.kind = _TASK
        elif phase is _OPEN and kind == "http.response.start":
            status, headers = message["status"], message.get("headers", [])
            key = (status, *headers)
            response = encoded.get(key)
            if response is None:
                response = encoded[key] = encode(status, headers)
            self.lease.units.responses[status // 100] += 1
            self.response, self.phase, self.corked = response, _STARTED, True
            if not corked:
                self.connection.loop.call_soon(uncork)
            corked.append(self)
        else:
            raise Unserved(message)


def uncork() -> None:
    """See that no head waits longer than a turn of the loop."""
    for call in corked:
        if call.corked:
            raise Unserved("a head without its body")
    corked.clear()


class Connection(asyncio.BufferedProtocol):
    """Parses what was not asked before, byte for byte; expects one whole head in one piece."""

    __slots__ = (
        "call", "client", "ends", "fields", "loop", "parser", "requests", "sent", "server", "transport", "unread",
        "url",
    )  # fmt: skip

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.parser = httptools.HttpRequestParser(self)
        self.loop = asyncio.get_running_loop()
        self.client = transport.get_extra_info("peername")
        self.server = transport.get_extra_info("sockname")
        self.call: Call | None = None
        self.unread = b""
        self.ends = False
        self.requests = self.sent = 0

    def get_buffer(self, sizehint: int) -> memoryview:
        return buffer

    def buffer_updated(self, nbytes: int) -> None:
        data = memory[:nbytes]
        if self.call is not None or self.unread or self.ends or cell[0] != epoch:
            raise Unserved(data)
        head = heads.get(data)
        if head is None:
            head = heads[data] = self.parse(data)
        target.hits += 1
        self.requests += 1
        lease = Lease(target.units, _HTTP, epoch, head.path, monotonic_ns())
        target.units.leases.add(lease)
        call = self.call = Call(self, head, lease)
        lease.holder = asyncio.Task(call.run(), loop=self.loop, name="floor", context=context.copy())

    def parse(self, data: bytes) -> Head:
        """Parse a head."""
        self.fields: list[tuple[bytes, bytes]] = []
        self.parser.feed_data(data)
        return Head(self.parser.get_method().decode("ascii"), self.url, self.fields)

    def on_url(self, url: bytes) -> None:
        """Called by httptools."""
        self.url = url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by httptools."""
        self.fields.append((name.lower(), value))


if __name__ == "__main__":
    uvloop.run(serve(Connection, int(sys.argv[1])))
