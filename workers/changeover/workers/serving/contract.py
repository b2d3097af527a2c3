"""What handlers and services are given and are: CallContext, Service, and the shapes of handlers.

Public: re-exported by `changeover.plugin`, together with requests and responses.
"""

import asyncio
import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec

from changeover.workers.errors import ChangeoverError
from changeover.workers.serving.exchange import Exchange, Undone
from changeover.workers.serving.handshake import NO_HANDSHAKE, HandshakeOutcome
from changeover.workers.serving.lease import Lease
from changeover.workers.serving.message import Body, BodyInvalid, BodyTooLarge, Headers, Request, Response
from changeover.workers.serving.observation import Observer

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


log = logging.getLogger("changeover.request")


class Tail(Protocol):
    """What goes on after a response."""

    async def finish(self) -> None:
        """Wait for its end."""

    def cancel(self) -> None:
        """End it soon."""


class CallContext(msgspec.Struct, eq=False):
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
        listeners: What is called once the response is complete or broken off: see `when_answered`.
    """

    epoch: int
    route: str
    worker: int
    started: int
    lease: Lease
    exchange: Exchange | None = None
    extensions: dict[str, Any] = msgspec.field(default_factory=dict)
    tails: tuple[Tail, ...] = ()
    listeners: list[Callable[[], None]] | None = None
    _undone: Undone | None = None
    _deadline: float | None = None
    _observer: Observer | None = None
    _work: list[asyncio.Future[Any]] | None = None

    @property
    def connected(self) -> bool:
        """Whether the client is still there."""
        return self.exchange is None or self.exchange.connected

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for the answer any more: the client left, or the server ends the request."""
        holder = self.lease.holder
        return not self.connected or (isinstance(holder, asyncio.Task) and holder.cancelling() > 0)

    @property
    def broken_off(self) -> bool:
        """Whether an error or the server broke the response off, with a client that was still there."""
        return self._undone is not None

    @property
    def answered_instead(self) -> int:
        """The status that the client got in place of the response, of which nothing had left; 0 where it got none."""
        return 0 if self._undone is None else self._undone.instead

    def break_off(self, status: int = 500) -> None:
        """Break the response off, unless it is complete: with an answer of that status where nothing of it has left.

        Raises:
            AssertionError: There is no exchange; a bug.
        """
        if self.exchange is None:
            raise AssertionError("bug: a response without an exchange is broken off")
        connected = self.connected
        undone = self.exchange.abort(status)
        if undone is not None and self._undone is None and (connected or undone.instead):
            self._undone = undone
            if undone.instead:
                self.lease.units.counters.replaced(undone.begun, undone.instead)

    async def client_left(self) -> None:
        """Return once the client is gone, or its response has ended; never, when there is no client."""
        if self.exchange is None:
            await asyncio.get_running_loop().create_future()
        else:
            await self.exchange.wait_disconnected()

    @property
    def connection(self) -> HandshakeOutcome:
        """What is known of the client's connection."""
        return NO_HANDSHAKE if self.exchange is None else self.exchange.outcome

    @property
    def deadline(self) -> float | None:
        """When the answer is due, on the loop's clock; it only ever moves closer.

        None when nobody said, and once a WebSocket was accepted, which is the answer to its request.
        """
        return self._deadline

    @deadline.setter
    def deadline(self, due: float) -> None:
        before = self.deadline
        self._deadline = due if before is None else min(before, due)

    def meet_deadline(self) -> None:
        """The answer is given and the call goes on: nothing is due any more."""
        self._deadline = None

    def remaining(self) -> float | None:
        """Seconds until the deadline, below 0 when it has passed; None when there is none."""
        due = self.deadline
        return None if due is None else due - asyncio.get_running_loop().time()

    @property
    def overheard(self) -> bool:
        """Whether somebody has put an observer of their own in front."""
        return self._observer is not None

    @property
    def observer(self) -> Observer:
        """Hears of what happens to the request; whoever wants to hear too puts one of their own in front."""
        return self._observer or self.lease.units.counters.observer

    @observer.setter
    def observer(self, observer: Observer) -> None:
        self._observer = observer

    def when_answered(self, callback: Callable[[], None]) -> None:
        """Have `callback` called once the response is complete or broken off, before what goes on after it."""
        if self.listeners is None:
            self.listeners = []
        self.listeners.append(callback)

    def answered(self) -> None:
        """The response is complete or broken off: call, once, what waits for that; the latest first.

        One that raises keeps neither the others from being called nor the request from its end.
        """
        while self.listeners:
            try:
                self.listeners.pop()()
            except Exception:
                log.exception("what waited for a response of route %s, epoch %d, raised", self.route, self.epoch)

    def works(self, until: "asyncio.Future[Any]") -> None:
        """Something beside the request's own task works on its answer until that is done."""
        if self._work is None:
            self._work = [until]
        else:
            self._work.append(until)

    def when_idle(self, callback: Callable[[], None]) -> None:
        """Have `callback` called once no application works on the answer; at once, when none does.

        What was ended may go on for long: a thread cannot be stopped, and an application need not heed that it was
        cancelled. What one does behind a complete response is no work on it.
        """
        under_way = [each for each in self._work or () if not each.done()]
        if under_way:
            under_way[0].add_done_callback(lambda _: self.when_idle(callback))
        else:
            callback()


CallNext = Callable[[Request], Awaitable[Response]]
InboundResult = Response | None
Inbound = Callable[[Request, CallContext], InboundResult | Awaitable[InboundResult]]
Outbound = Callable[[Request, Response, CallContext], Awaitable[None] | None]
Around = Callable[[Request, CallNext, CallContext], Awaitable[Response]]


class NotReady(ChangeoverError):
    """A service cannot take a request now; answered with 503 and Retry-After.

    Attributes:
        retry_after: Seconds until it is worth trying again; clients are told whole ones, rounded up.

    Raises:
        ValueError: `retry_after` is no number of seconds that pass.
    """

    def __init__(self, retry_after: float = 1) -> None:
        if not math.isfinite(retry_after):
            raise ValueError(f"NotReady(retry_after={retry_after}): say in how many seconds it is worth trying again")
        self.retry_after = max(0, retry_after)
        super().__init__(f"not ready, worth trying again in {self.retry_after} s")


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
