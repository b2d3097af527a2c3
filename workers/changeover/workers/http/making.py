"""How exchanges are made of heads where more is wanted than the plain ones: decided once for each connection."""

import time
from collections.abc import Callable
from functools import partial

from changeover.workers.http.exchange import Wire, WireExchange
from changeover.workers.http.faults import BadMessage
from changeover.workers.http.forwarded import Forwarding
from changeover.workers.http.head import Head
from changeover.workers.http.incoming import Incoming
from changeover.workers.http.logged import AccessSink, LoggedExchange
from changeover.workers.serving.access import UNKNOWN, Access
from changeover.workers.serving.handshake import Peer
from changeover.workers.serving.message import Request

Make = Callable[[Wire, Head, Incoming | None], WireExchange]


class Making:
    """What is done with every request of the wire, beside serving it.

    Args:
        forwarding: Whose word is taken for who the client is; None for nobody's.
        access: Told of every request; None for nobody.
        worker: The slot, for who is told.
    """

    def __init__(self, forwarding: Forwarding | None, access: AccessSink | None, worker: int) -> None:
        self._forwarding = forwarding
        self._access = access
        self._worker = worker
        self._make: Make = WireExchange if access is None else partial(LoggedExchange, access, worker)

    def maker(self, peer: Peer) -> Make:
        """What makes the exchanges of a connection."""
        if self._forwarding is None:
            return self._make
        return partial(_made, self._make, self._forwarding.reading(peer))

    def heed(self, peer: Peer, request: Request) -> None:
        """Make of a request that was not made by `maker` the one that its client made."""
        if self._forwarding is not None:
            self._forwarding.reading(peer)(request)

    def refused(self, peer: Peer, error: BadMessage) -> None:
        """A connection has answered what is no request."""
        if self._access is not None:
            client = peer[0] if peer else ""
            told = Access(time.time(), client, "", "", "", error.status, 0, 0.0, True, UNKNOWN, self._worker)
            self._access.put(told)


def _made(
    make: Make, change: Callable[[Request], None], wire: Wire, head: Head, incoming: Incoming | None
) -> WireExchange:
    exchange = make(wire, head, incoming)
    change(exchange.request)
    return exchange
