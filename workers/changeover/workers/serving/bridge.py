"""An application's answer as a Response that around handlers can hold in their hands.

The application runs in a task of its own and its `send` feeds the Response's body, one piece
ahead of whoever reads it.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import NoReturn

from changeover.workers.serving import failure
from changeover.workers.serving.arrival import Made
from changeover.workers.serving.asgi import Application
from changeover.workers.serving.asgi_call import AsgiCall, Phase
from changeover.workers.serving.contract import Body, CallContext, Headers, Request, Response
from changeover.workers.serving.exchange import Disconnected, Exchange, RawHeaders
from changeover.workers.serving.gauge import ReadinessGauge
from changeover.workers.serving.handshake import HandshakeOutcome
from changeover.workers.serving.wsgi import WsgiApplication
from changeover.workers.serving.wsgi_call import WsgiCall

Respond = Callable[[Request, CallContext], Awaitable[Response]]

BROKEN_OFF = "the application broke its response off"
_AHEAD = 64 * 1024
_PIECES = 1024
"""As much, where they are short."""


class ResponseDropped(Disconnected):
    """A handler did not pass the application's response on, or stopped reading it."""


class Feed(Made):
    """The exchange that the application sees: what it writes is read as the body of a Response.

    Args:
        outer: The exchange with the client.
        request: The request as the handlers passed it on.

    Attributes:
        opened: Status and fields, once the application has sent them; None where it has failed before.
        left: Done once the application works on the response no more.
    """

    def __init__(self, outer: Exchange, request: Request) -> None:
        loop = asyncio.get_running_loop()
        self._outer = outer
        self._request = request
        self.opened: asyncio.Future[Response | None] = loop.create_future()
        self.left: asyncio.Future[None] = loop.create_future()
        self._over: asyncio.Future[Response | None] = loop.create_future()
        self._pieces: deque[bytes] = deque()
        self._ahead = 0
        self._changed = asyncio.Event()
        self._error: BaseException | None = None
        self._unheard: Callable[[], None] | None = None
        self._dropped = False
        self._trailed = False

    @property
    def request(self) -> Request:
        """The request as the handlers passed it on."""
        return self._request

    @property
    def connected(self) -> bool:
        """Whether anybody still reads."""
        return self._outer.connected and not self._dropped

    @property
    def is_given_up(self) -> bool:
        """Whether nobody waits for the response any more."""
        return self._dropped or self.opened.cancelled()

    @property
    def outcome(self) -> HandshakeOutcome:
        """How the connection came about."""
        return self._outer.outcome

    async def receive(self) -> bytes | None:
        """The next piece of the request's body."""
        return await self._request.receive()

    async def wait_disconnected(self) -> None:
        """Return once the client is gone, or the response has ended or was dropped."""
        gone = asyncio.Task(self._outer.wait_disconnected(), name="changeover: client watch")
        try:
            await asyncio.wait((gone, self._over), return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()

    def start(self, status: int, headers: RawHeaders) -> None:
        """Make the head known."""
        if not self.opened.done():
            self.opened.set_result(Response(b"", status, Headers([(name.lower(), value) for name, value in headers])))

    def answer(self, status: int, headers: RawHeaders, body: bytes) -> None:
        """Make the head known, and the whole body."""
        self.start(status, headers)
        self.write(body)
        self.end()

    def write(self, data: bytes) -> None:
        """Put a piece where the reader finds it."""
        if not self._dropped:
            self._pieces.append(data)
            self._ahead += len(data)
            self._changed.set()

    def pressed(self) -> bool:
        """Whether the reader has to catch up, or there is none."""
        return self._dropped or self._is_ahead

    def backed_up(self) -> bool:
        """Never: that the reader falls behind shows where the response is sent to the client."""
        return False

    @property
    def untaken(self) -> int:
        """Bytes that wait for the reader, or behind it for the client."""
        return self._ahead + self._outer.untaken

    async def drain(self) -> None:
        """Wait until the reader has caught up; where nobody reads on, let others have a turn."""
        while self._is_ahead and self.connected:
            await self._change()
        if not self.connected:
            await asyncio.sleep(0)

    def end(self) -> None:
        """The body is complete."""
        self.leave()
        self._close()

    def leave(self) -> None:
        """The application has done what it does for the response."""
        if not self.left.done():
            self.left.set_result(None)

    def _close(self) -> None:
        """Nothing is added to the body any more."""
        if not self._over.done():
            self._over.set_result(None)
        self._changed.set()

    def end_after(self, data: bytes) -> None:
        """The body is complete with this piece."""
        if data:
            self.write(data)
        self.end()

    def end_with(self, trailers: RawHeaders) -> None:
        """The body is complete; what stands behind it goes with the Response."""
        response = self.opened.result() if self.opened.done() and not self.opened.cancelled() else None
        if response is not None:
            self._trailed = bool(trailers)
            response.trailers.raw.extend(trailers)
        self.end()

    def abort(self, status: int = 500) -> None:
        """The body cannot be completed; whoever reads it breaks the response off."""
        self.fail(ResponseDropped(BROKEN_OFF))

    def fail(self, error: BaseException, unheard: Callable[[], None] | None = None) -> None:
        """Raise `error` where the response is awaited or read; call `unheard` where it is neither any more."""
        self._error, self._unheard = error, unheard
        if not self.opened.done():
            self.opened.set_result(None)
        self._close()

    def raise_error(self) -> NoReturn:
        """Raise what it failed with, and forget that: its traceback has this feed, and they would keep each other."""
        error, self._error, self._unheard = self._error, None, None
        try:
            raise error or ResponseDropped(BROKEN_OFF)
        finally:
            del error

    def drop(self) -> None:
        """Nobody reads on: tell the application that its client is gone."""
        self._dropped = True
        self._pieces.clear()
        self._ahead = 0
        if self._error is not None:
            self._error = ResponseDropped(BROKEN_OFF)  # as in `raise_error`
        self._close()
        if self.opened.done():
            self.opened = self._over  # a Response whose body was not begun and this feed would keep each other
        unheard, self._unheard = self._unheard, None
        if unheard is not None:
            unheard()

    def body(self) -> Body:
        """All of it when it is at hand already, else the pieces as they come."""
        if self._over.done() and self._error is None and not self._trailed:
            return b"".join(self._pieces)
        return self._read()

    async def _read(self) -> AsyncIterator[bytes]:
        try:
            while self._pieces or not self._over.done():
                if self._pieces:
                    piece = self._pieces.popleft()
                    self._ahead -= len(piece)
                    self._changed.set()
                    yield piece
                else:
                    await self._change()
            if self._error is not None:
                self.raise_error()
        finally:
            self.drop()

    @property
    def _is_ahead(self) -> bool:
        return self._ahead > _AHEAD or len(self._pieces) > _PIECES

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()


class _Bridged:
    """An application call whose errors belong to whoever awaits the response, and whose lease is the request's.

    What its client gets is counted where it is sent.
    """

    _call: CallContext
    _feed: Feed
    _phase: Phase

    async def _fail(self, error: BaseException) -> None:
        tell = partial(failure.report, error, self._feed.request, self._call)
        if self._phase is Phase.DONE or self._feed.is_given_up:
            tell()
            return
        self._phase = Phase.DONE
        self._feed.fail(error, tell)

    def _cancelled(self) -> None:
        self._phase = Phase.DONE
        self._feed.opened.cancel()
        self._feed.abort()

    def _abort(self, status: int = 500) -> None:
        """What becomes of the response is up to whoever holds it in their hands."""
        self._feed.abort()

    def _settle(self) -> None:
        """The request's own task releases the lease, after its tails."""
        self._feed.leave()


class _BridgedAsgiCall(_Bridged, AsgiCall, kw_only=True):
    _feed: Feed
    _counts: bool = False


class _BridgedWsgiCall(_Bridged, WsgiCall):
    def __init__(self, application: WsgiApplication, gauge: ReadinessGauge, feed: Feed, call: CallContext) -> None:
        super().__init__(gauge, application, feed, call)
        self._feed = feed

    def _started(self, status: int) -> None:
        self._phase = Phase.STARTED

    def _settle(self) -> None:
        if self._thread_left:
            super()._settle()

    def _thread_gone(self) -> None:
        super()._thread_gone()
        self._feed.leave()


class _Tail:
    """What the application does after its response, in its own task."""

    __slots__ = ("_feed", "_running")

    def __init__(self, feed: Feed, running: asyncio.Task[None]) -> None:
        self._feed = feed
        self._running = running

    async def finish(self) -> None:
        """Wait for the application; a response that nobody has read by now is dropped."""
        self._feed.drop()
        await asyncio.wait((self._running,))

    def cancel(self) -> None:
        """Cancel the application."""
        self._running.cancel()


def asgi(application: Application) -> Respond:
    """What answers with an application, for around handlers to hold in their hands."""

    def make(feed: Feed, call: CallContext) -> AsgiCall:
        return _BridgedAsgiCall(application, feed, call, _feed=feed)

    return _responding(application.name, make)


def wsgi(application: WsgiApplication, gauge: ReadinessGauge) -> Respond:
    """The same for an application in threads.

    Args:
        application: The application.
        gauge: Follows whether there is room among its threads.
    """
    return _responding(application.name, partial(_BridgedWsgiCall, application, gauge))


def _responding(name: str, make: Callable[[Feed, CallContext], AsgiCall | WsgiCall]) -> Respond:
    async def respond(request: Request, call: CallContext) -> Response:
        """Call the application and return once its head is known; its body is read from the Response.

        What the application does after its response goes on in its own task, as one of `call.tails`.
        """
        if call.exchange is None:
            raise AssertionError("bug: an application was called without an exchange")
        feed = Feed(call.exchange, request)
        call.works(feed.left)
        running = asyncio.Task(make(feed, call).run(), name=f"changeover: {name}")
        call.tails = (*call.tails, _Tail(feed, running))
        try:
            response = await feed.opened
        except asyncio.CancelledError:
            running.cancel()
            raise
        if response is None:
            feed.raise_error()
        response.body = feed.body()
        return response

    return respond
