"""Makes HTTP/1.1 connections of accepted sockets."""

from collections.abc import Callable

from changeover.workers.channel.connection import Connection, Owner
from changeover.workers.channel.limits import Limits
from changeover.workers.http.connection import HttpConnection
from changeover.workers.http.site import Site
from changeover.workers.serving.handshake import HandshakeOutcome
from changeover.workers.serving.session import Dispatchers


class HttpInitializer:
    """HTTP/1.1.

    Args:
        dispatcher: Takes the requests.
        limits: Bounds on connections and requests.
        server: Value of the Server field; none when empty.
    """

    def __init__(self, dispatcher: Dispatchers, limits: Limits, *, server: str = "") -> None:
        self._site = Site(dispatcher, limits, server)

    def protocol(
        self, owner: Owner, opened: Callable[[Connection], None], outcome: HandshakeOutcome | None = None
    ) -> HttpConnection:
        """See `Initializer`."""
        return HttpConnection(self._site, owner, opened, outcome)

    def refresh(self) -> None:
        """See `Initializer`: the Date field, and heads that were seen."""
        self._site.refresh()

    def stop(self) -> None:
        """See `Initializer`."""
        self._site.stopping = True
