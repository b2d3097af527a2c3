"""Makes HTTP connections of accepted sockets: HTTP/1.1, and what TLS may have agreed on instead."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from changeover.workers.channel.alpn import HTTP2
from changeover.workers.channel.connection import Connection, Initializer, Owner
from changeover.workers.channel.limits import Limits
from changeover.workers.http.connection import HttpConnection
from changeover.workers.http.making import Making
from changeover.workers.http.site import Site, Successor
from changeover.workers.serving.handshake import HandshakeOutcome
from changeover.workers.serving.session import Dispatchers


class Http2(Initializer, Successor, Protocol):
    """HTTP/2: over TLS from the beginning, or in the place of a connection that turns out to speak it."""


class HttpInitializer:
    """HTTP/1.1, and HTTP/2 where there is any.

    Args:
        dispatcher: Takes the requests.
        limits: Bounds on connections and requests.
        server: Value of the Server field; none when empty.
        making: Done with every request beside serving it; None for nothing.
        http2: Speaks HTTP/2; None for nobody.
    """

    def __init__(
        self,
        dispatcher: Dispatchers,
        limits: Limits,
        *,
        server: str = "",
        making: Making | None = None,
        http2: Http2 | None = None,
    ) -> None:
        self._site = Site(dispatcher, limits, server, making, http2)
        self._http2 = http2

    def protocol(
        self, owner: Owner, opened: Callable[[Connection], None], outcome: HandshakeOutcome | None = None
    ) -> asyncio.BaseProtocol:
        """See `Initializer`."""
        if self._http2 is not None and outcome is not None and outcome.alpn == HTTP2:
            return self._http2.protocol(owner, opened, outcome)
        return HttpConnection(self._site, owner, opened, outcome)

    def refresh(self) -> None:
        """See `Initializer`: the Date field, and heads that were seen."""
        self._site.refresh()
        if self._http2 is not None:
            self._http2.refresh()

    def stop(self) -> None:
        """See `Initializer`."""
        self._site.stopping = True
        if self._http2 is not None:
            self._http2.stop()
