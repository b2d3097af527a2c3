"""A connection whose client is the test: bytes in by hand, bytes out in memory."""

import asyncio
from dataclasses import dataclass, field

from changeover.workers.channel.connection import Connection
from changeover.workers.channel.limits import Limits
from changeover.workers.http.connection import HttpConnection
from changeover.workers.http.site import Site
from tests.wire import FakeDispatcher, echo


class MemoryTransport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed
        self.written += data

    def write_eof(self) -> None:
        self.closed = True

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        """Nothing reads."""

    def resume_reading(self) -> None:
        """Nothing reads."""

    def get_write_buffer_size(self) -> int:
        return 0

    def can_write_eof(self) -> bool:
        return True


def nothing(connection: Connection) -> None:
    """Nobody listens."""


class Nobody:
    """An owner who does not listen."""

    def rested(self, connection: Connection) -> None:
        """Nobody listens."""

    def replaced(self, old: Connection, new: Connection) -> None:
        """Nobody listens."""

    def closed(self, connection: Connection) -> None:
        """Nobody listens."""


@dataclass
class MemoryConnection:
    """A connection, what it has dispatched, and what it has written."""

    dispatcher: FakeDispatcher = field(default_factory=lambda: FakeDispatcher(echo))
    limits: Limits = field(default_factory=Limits)
    transport: MemoryTransport = field(default_factory=MemoryTransport)

    def __post_init__(self) -> None:
        self.connection = HttpConnection(Site(self.dispatcher, self.limits), Nobody(), nothing)
        self.connection.connection_made(self.transport)

    def feed(self, data: bytes) -> None:
        while data and not self.transport.closed:
            space = self.connection.get_buffer(-1)
            size = min(len(space), len(data))
            space[:size] = data[:size]
            self.connection.buffer_updated(size)
            data = data[size:]

    async def settle(self) -> None:
        """Let everything happen that needs no further input."""
        for _ in range(5 * len(self.dispatcher.seen) + 5):
            await asyncio.sleep(0)
