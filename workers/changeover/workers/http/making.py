"""How exchanges are made where more is wanted than the plain ones: decided once for each connection."""

import time
from collections.abc import Callable
from functools import partial
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from changeover.workers.http.entry import AccessSink
from changeover.workers.http.faults import BadMessage
from changeover.workers.http.forwarded import Forwarding
from changeover.workers.serving.access import UNKNOWN, Access
from changeover.workers.serving.handshake import Peer
from changeover.workers.serving.message import Request


class Asked(Protocol):
    """An exchange."""

    @property
    def request(self) -> Request:
        """What handlers and services see."""


HeadP = ParamSpec("HeadP")
AskedT = TypeVar("AskedT", bound=Asked)


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

    def maker(
        self,
        peer: Peer,
        plain: Callable[HeadP, AskedT],
        logged: Callable[Concatenate[AccessSink, int, HeadP], AskedT],
    ) -> Callable[HeadP, AskedT]:
        """What makes the exchanges of a connection.

        Args:
            peer: Its client.
            plain: Makes them where nobody is told.
            logged: Makes them where somebody is told, by the slot.
        """
        make = plain if self._access is None else partial(logged, self._access, self._worker)
        return make if self._forwarding is None else partial(_made, make, self._forwarding.reading(peer))

    def refused(self, peer: Peer, error: BadMessage, *, complete: bool = True) -> None:
        """A connection has answered what is no request; `complete` when it said so in a response."""
        if self._access is not None:
            client = peer[0] if peer else ""
            size = len(error.body) if complete else 0
            told = Access(time.time(), client, "", "", "", error.status, size, 0.0, complete, UNKNOWN, self._worker)
            self._access.put(told)


def _made(
    make: Callable[HeadP, AskedT], change: Callable[[Request], None], *args: HeadP.args, **more: HeadP.kwargs
) -> AskedT:
    exchange = make(*args, **more)
    change(exchange.request)
    return exchange
