"""Makes HTTP/2 connections: of sockets whose TLS agreed on it, and of HTTP/1.1 connections that begin with it."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from changeover.workers.channel.alpn import speaks_http2
from changeover.workers.channel.connection import Connection, Owner
from changeover.workers.channel.limits import Limits
from changeover.workers.http.making import Making
from changeover.workers.http2.site import Http2Site
from changeover.workers.serving.exchange import Dispatcher
from changeover.workers.serving.handshake import HandshakeOutcome

if TYPE_CHECKING:
    from changeover.workers.http2.connection import Http2Connection


def http2_or_none(dispatcher: Dispatcher, limits: Limits, making: Making | None = None) -> "Http2Initializer | None":
    """What speaks HTTP/2; None where its library is missing."""
    return Http2Initializer(dispatcher, limits, making=making) if speaks_http2() else None


class Http2Initializer:
    """HTTP/2.

    Args:
        dispatcher: Takes the requests.
        limits: Bounds on connections and requests.
        server: Value of the Server field; none when empty.
        making: Done with every request beside serving it; None for nothing.
    """

    def __init__(
        self, dispatcher: Dispatcher, limits: Limits, *, server: str = "", making: Making | None = None
    ) -> None:
        self._site = Http2Site(dispatcher, limits, server, making)

    def protocol(
        self, owner: Owner, opened: Callable[[Connection], None], outcome: HandshakeOutcome | None = None
    ) -> "Http2Connection":
        """See `Initializer`."""
        from changeover.workers.http2.connection import Http2Connection

        return Http2Connection(self._site, owner, opened, outcome)

    def take_over(self, transport: asyncio.Transport, old: Connection, owner: Owner, read: bytes) -> None:
        """Go on with a connection on which HTTP/1.1 was expected.

        Args:
            transport: Its transport.
            old: What spoke there.
            owner: Told of the one in its place.
            read: What has come.
        """
        new = self.protocol(owner, lambda connection: owner.replaced(old, connection), old.outcome)
        transport.set_protocol(new)
        new.connection_made(transport)
        new.outlet.client_shut, old.outlet.client_shut = old.outlet.client_shut, False
        new.take(read)

    def refresh(self) -> None:
        """See `Initializer`: the Date field."""
        self._site.refresh()

    def stop(self) -> None:
        """See `Initializer`."""
        self._site.stop()
