"""Who is at the other end of a connection, and by what: its transport, its addresses, its write side."""

import asyncio
import socket
from typing import cast

from changeover.workers.channel.addresses import client_of, server_of
from changeover.workers.channel.connection import Connection, Owner
from changeover.workers.channel.outlet import Course, Outlet
from changeover.workers.channel.phases import Watch
from changeover.workers.channel.tunnel import dig
from changeover.workers.serving.handshake import HandshakeOutcome


class Contact(asyncio.BufferedProtocol):
    """What a connection is before anything is said over it.

    Args:
        owner: Told when it rests, and when it is gone.
        outcome: How it came about; None when nothing came before its first message.

    Attributes:
        client: Peer address and port; None on a Unix socket.
        server: Own address and port, or path and None on a Unix socket.
        scheme: `http` or `https`.
        outlet: The write side.
        requests: How many messages were dispatched.
        watch: Since when it has been doing what it does, for the sweep.
        since: When it was opened here, seconds of the loop's clock.
    """

    __slots__ = (
        "_owner", "_transport", "client", "outcome", "outlet", "requests", "scheme", "server", "since", "watch",
    )  # fmt: skip

    _transport: asyncio.Transport
    outlet: Outlet
    since: float

    def __init__(self, owner: Owner, outcome: HandshakeOutcome | None) -> None:
        self._owner = owner
        self.outcome = outcome
        self.client: tuple[str, int] | None = None
        self.server: tuple[str, int | None] | None = None
        self.scheme = "http" if outcome is None else outcome.scheme
        self.requests = 0
        self.watch = Watch()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)
        self.outlet = Outlet(self._transport)
        outcome = self.outcome
        if outcome is None:
            self.client, self.server = client_of(transport), server_of(transport)
        else:
            self.client, self.server = outcome.client, outcome.server
        self.since = asyncio.get_running_loop().time()

    def pause_writing(self) -> None:
        """The client does not take what is written."""
        self.outlet.clog()

    def part(self) -> socket.socket | None:
        """Let go of the socket; over TLS, of the near end of a tunnel. See `Connection`.

        Raises:
            OSError: There is no descriptor free; nothing has happened.
        """
        if self.outcome is None or not self.outcome.tls:
            return self.outlet.take_socket()
        if self._transport.is_closing():
            return None
        far = dig(self._transport, cast(Connection, self), self._owner)
        self.outlet.course = Course.CLOSED
        return far

    def abort(self) -> None:
        """Cut the connection off."""
        self.outlet.abort()
