"""Lets another process answer over a connection that only this one can speak on: TLS has its keys here.

The bytes of the protocol go through a pair of sockets, whose other end is handed over as if it were the connection.
"""

import asyncio
import os
import socket
from typing import cast

from changeover.workers.channel.connection import Connection, Owner, Parting
from changeover.workers.channel.opening import open_transport
from changeover.workers.channel.outlet import Outlet
from changeover.workers.channel.phases import Overdue, Phase, Sight, Watch
from changeover.workers.serving.lease import LeaseKind

CUT = os.urandom(16)
"""The last bytes of an answer that the other process breaks off: the pair between us knows no reset."""
INTERIM, SWITCHING = b"HTTP/1.1 100 ", b"HTTP/1.1 101 "


def dig(transport: asyncio.Transport, old: Connection, owner: Owner) -> socket.socket:
    """Put a tunnel in the place of a connection's protocol.

    Args:
        transport: The client's.
        old: What spoke there.
        owner: Told of the tunnel in its place.

    Returns:
        The far end, at which another process goes on.

    Raises:
        OSError: There are no descriptors free; nothing has happened.
    """
    near, far = socket.socketpair()
    tunnel = Tunnel(transport, old, owner, near)
    transport.set_protocol(tunnel)
    owner.replaced(old, tunnel)
    return far


class Tunnel(asyncio.Protocol):
    """The client's side, after the protocol that spoke there.

    Args:
        transport: The client's.
        old: What spoke there.
        owner: Told of the end.
        near: Our end of the pair, owned by the tunnel from here on.

    Attributes:
        kind: The class of what runs in it: a request without an answer, an answer under way, or a WebSocket.
    """

    parting = Parting.LATE

    def __init__(self, transport: asyncio.Transport, old: Connection, owner: Owner, near: socket.socket) -> None:
        self.client, self.server, self.outcome, self.since = old.client, old.server, old.outcome, old.since
        self.requests, self.watch = old.requests, Watch()
        self.outlet = Outlet(transport)
        self.kind = LeaseKind.HTTP
        self._transport = transport
        self._owner = owner
        self._passed = 0
        self._last = b""
        self._far = _Far(self, near)
        transport.pause_reading()
        self._far.open()

    # What the loop calls.

    def data_received(self, data: bytes) -> None:
        """The client said something."""
        if self.outlet.ended:
            self.outlet.drop(len(data))
            return
        self._passed += len(data)
        self._far.write(data)

    def eof_received(self) -> bool:
        """The client says no more."""
        self._far.finish()
        return False

    def pause_writing(self) -> None:
        """The client does not take what is written."""
        self._far.pause()

    def resume_writing(self) -> None:
        """The client has taken enough."""
        self._far.resume()

    def connection_lost(self, error: Exception | None) -> None:
        """End."""
        self._far.close()
        self.outlet.lost()
        self._owner.closed(self)

    # What the other end calls.

    def connected(self) -> None:
        """The pair has its transport: go on."""
        self._transport.resume_reading()

    def passed(self, data: bytes) -> None:
        """The other process answered."""
        self._passed += len(data)
        if self.kind is LeaseKind.HTTP and not data.startswith(INTERIM):
            self.kind = LeaseKind.WEBSOCKET if data.startswith(SWITCHING) else LeaseKind.STREAM
        self._last = (self._last + data[-len(CUT) :])[-len(CUT) :]
        self._transport.write(data.removesuffix(CUT))

    def hold(self, on: bool) -> None:
        """Read nothing more from the client for now, or go on."""
        if self._transport.is_closing():
            return
        if on:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def ended(self) -> None:
        """The other process has closed it; what it broke off is reset, so that the client can tell."""
        self.outlet.cut(reset=self._last == CUT)

    # What the owner of all connections calls.

    @property
    def at_boundary(self) -> bool:
        """Never known here."""
        return False

    def unread(self) -> bytes:
        """Nothing stays here."""
        return b""

    def take(self, data: bytes) -> None:
        """Somebody read this before."""
        self._far.write(data)

    def resume(self) -> None:
        """Nothing is held here."""

    def leave(self) -> None:
        """It does already."""

    def farewell(self, *, asked: bool = False) -> None:
        """Its time is over."""
        self.outlet.close()

    def part(self) -> socket.socket | None:
        """Its socket has to stay."""
        return None

    def abort(self) -> None:
        """Cut it off."""
        self.outlet.abort()

    def sight(self) -> Sight:
        """What it is doing: whatever the other process lets it do, until that has closed it."""
        ending = self.outlet.sight() if self.outlet.ended else None
        return ending or Sight(Phase.BUSY, self._passed)

    def overdue(self, overdue: Overdue) -> None:
        """It is the other process that watches, as long as it is there."""
        if overdue is Overdue.ABORT:
            self.outlet.abort()


class _Far(asyncio.Protocol):
    """Our end of the pair."""

    def __init__(self, tunnel: Tunnel, near: socket.socket) -> None:
        self._tunnel = tunnel
        self._near = near
        self._transport: asyncio.Transport | None = None
        self._over = False
        self._waiting: list[bytes] = []

    def open(self) -> None:
        """Get a transport."""
        open_transport(asyncio.get_running_loop(), lambda: self, self._near, lambda error: self._tunnel.abort())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self._over:
            self._transport.close()
            return
        for data in self._waiting:
            self._transport.write(data)
        self._waiting.clear()
        self._tunnel.connected()

    def data_received(self, data: bytes) -> None:
        self._tunnel.passed(data)

    def pause_writing(self) -> None:
        self._tunnel.hold(True)

    def resume_writing(self) -> None:
        self._tunnel.hold(False)

    def connection_lost(self, error: Exception | None) -> None:
        self._tunnel.ended()
        del self._tunnel

    def write(self, data: bytes) -> None:
        if self._transport is None:
            self._waiting.append(data)
        else:
            self._transport.write(data)

    def finish(self) -> None:
        if self._transport is not None and self._transport.can_write_eof():
            self._transport.write_eof()

    def pause(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._transport is not None:
            self._transport.resume_reading()

    def close(self) -> None:
        self._over = True
        if self._transport is not None:
            self._transport.close()
