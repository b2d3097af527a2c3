"""What handlers and services are given and are: CallContext, Service, and the shapes of handlers.

Public: re-exported by `changeover.plugin`, together with requests and responses.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from changeover.workers.errors import ChangeoverError
from changeover.workers.serving.exchange import Exchange
from changeover.workers.serving.lease import Lease
from changeover.workers.serving.message import Body, BodyInvalid, BodyTooLarge, Headers, Request, Response

__all__ = [
    "Around",
    "Body",
    "BodyInvalid",
    "BodyTooLarge",
    "CallContext",
    "CallNext",
    "Headers",
    "Inbound",
    "InboundResult",
    "NotReady",
    "Outbound",
    "Request",
    "Response",
    "Service",
    "Tail",
]


class Tail(Protocol):
    """What goes on after a response."""

    async def finish(self) -> None:
        """Wait for its end."""

    def cancel(self) -> None:
        """End it soon."""


class CallContext:
    """What travels with one request through its pipeline.

    Attributes:
        epoch: The one generation that serves the request, from dispatch to last byte. Only that of a WebSocket with a
            message handler changes, between two messages, together with `route` and `lease`.
        route: Name of the pipeline.
        worker: The slot that serves it.
        started: CLOCK_MONOTONIC in nanoseconds, stamped before the commit cell was read.
        lease: The request's hold on its unit set.
        extensions: Values that handlers leave for handlers and services behind them. An ASGI application finds
            them, when there are any, in `scope["extensions"]["changeover"]`.
        exchange: The way back to the client; None when a handler is called outside a server.
        tails: What goes on after the response, and holds the lease until it is finished.
    """

    __slots__ = ("epoch", "exchange", "extensions", "lease", "route", "started", "tails", "worker")

    def __init__(
        self,
        epoch: int,
        route: str,
        worker: int,
        started: int,
        lease: Lease,
        exchange: Exchange | None = None,
    ) -> None:
        self.epoch = epoch
        self.route = route
        self.worker = worker
        self.started = started
        self.lease = lease
        self.exchange = exchange
        self.extensions: dict[str, Any] = {}
        self.tails: list[Tail] = []

    @property
    def connected(self) -> bool:
        """Whether the client is still there."""
        return self.exchange is None or self.exchange.connected


CallNext = Callable[[Request], Awaitable[Response]]
InboundResult = Response | None
Inbound = Callable[[Request, CallContext], InboundResult | Awaitable[InboundResult]]
Outbound = Callable[[Request, Response, CallContext], Awaitable[None] | None]
Around = Callable[[Request, CallNext, CallContext], Awaitable[Response]]


class NotReady(ChangeoverError):
    """A service cannot take a request now; answered with 503 and Retry-After.

    Attributes:
        retry_after: Seconds until it is worth trying again.
    """

    def __init__(self, retry_after: int = 1) -> None:
        self.retry_after = retry_after
        super().__init__(f"not ready, worth trying again in {retry_after} s")


class Service(ABC):
    """What answers a request: asked whether it is ready, then called once.

    Subclass it in a plugin; the instance is made with the plugin's own instance
    (`def __init__(self, plugin: Pricing)`), once per worker and content.
    """

    def ready(self) -> None:  # noqa: B027 - most services are always ready
        """Return when a request can be taken, raise `NotReady` when not (503 with Retry-After)."""

    @abstractmethod
    async def __call__(self, request: Request, call: CallContext) -> Response:
        """Answer the request."""
