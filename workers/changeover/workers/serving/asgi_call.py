"""One request to an ASGI application, straight between its `send` and the exchange."""

import enum
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from typing import Any

import msgspec

from changeover.workers.errors import ChangeoverError
from changeover.workers.serving import failure
from changeover.workers.serving.asgi import Application, Message
from changeover.workers.serving.backpressure import drained
from changeover.workers.serving.contract import CallContext, Headers, Request, Response
from changeover.workers.serving.event_stream import AT_REST, following, may_end
from changeover.workers.serving.exchange import Disconnected, Exchange, RawHeaders
from changeover.workers.serving.files import whole
from changeover.workers.serving.lease import LeaseKind, current_lease
from changeover.workers.serving.reply import Reply

Outbound = Callable[[Request, Response, CallContext], Awaitable[None]]


class Phase(enum.Enum):
    """How far the application is with its response."""

    OPEN = "before http.response.start"
    STARTED = "after http.response.start"
    ANNOUNCED = "after http.response.start with trailers"
    TRAILING = "before the last http.response.trailers"
    DONE = "after the last http.response.body"


# Looking a member up costs at every request.
_OPEN, _STARTED, _ANNOUNCED, _TRAILING, _DONE = Phase
_STREAM, _TASK = LeaseKind.STREAM, LeaseKind.TASK
_hold = current_lease.set


class UnexpectedMessage(ChangeoverError):
    """The application sent a message that cannot come at this point.

    Attributes:
        type: The message's type.
        phase: How far the response was.
    """

    def __init__(self, type: str, phase: Phase) -> None:
        self.type = type
        self.phase = phase
        super().__init__(f"the application sent {type!r} {phase.value}; send http.response.start once, then the body")


class ResponseMissing(ChangeoverError):
    """The application returned and its response is not complete.

    Attributes:
        name: The application.
        phase: How far the response was.
    """

    def __init__(self, name: str, phase: Phase) -> None:
        self.name = name
        self.phase = phase
        super().__init__(f"application {name} returned {phase.value}; a response ends with more_body false")


class AsgiCall(msgspec.Struct, eq=False):
    """Drives one application call; `run` belongs into a task of its own.

    Args:
        application: What answers.
        exchange: What is asked, and the way back to the client.
        call: The request's context.
        stamp: Fields added to the response's own.
        outbound: Sees the response's head before it is sent; None when no handler wants to.
    """

    _application: Application
    _exchange: Exchange
    _call: CallContext
    _stamp: RawHeaders = ()
    _outbound: Outbound | None = None
    _phase: Phase = _OPEN
    _body_read: bool = False
    _listening: bool = False
    _fields: RawHeaders = ()
    _tail: bytes = AT_REST
    _trailers: tuple[tuple[bytes, bytes], ...] = ()
    _tells: bool = False
    _counts: bool = True

    async def run(self) -> None:
        """Call the application; whatever comes of it, the exchange is settled and the lease released."""
        application = self._application
        _hold(self._call.lease)
        try:
            await application.call(application.scope(self._exchange, self._call), self.receive, self.send)
            if self._phase is not _DONE:
                await self._miss()
        except BaseException as error:
            if failure.is_ending(error):
                self._cancelled()
                raise
            await self._fail(error)
        finally:
            self._settle()

    async def receive(self) -> Message:
        """What the application awaits: the body in pieces, then the client's departure."""
        if self._phase is _DONE:
            return {"type": "http.disconnect"}
        if self._body_read:
            self._listening = True
            await self._exchange.wait_disconnected()
            return {"type": "http.disconnect"}
        body = self._exchange.take_held()
        if body is None:
            try:
                body = await self._exchange.request.receive()
            except Disconnected:
                self._listening = True
                return {"type": "http.disconnect"}
            if body is not None:
                return {"type": "http.request", "body": body, "more_body": True}
        self._body_read = True
        return {"type": "http.request", "body": body or b"", "more_body": False}

    async def send(self, message: Message) -> None:
        """What the application answers with.

        Raises:
            UnexpectedMessage: Out of order.
            Disconnected: The client is gone, the application streams on, and has not asked `receive` about it.
        """
        kind, phase = message["type"], self._phase
        if phase is _STARTED and kind == "http.response.body":
            body = message.get("body", b"")
            if type(body) is not bytes:
                body = _octets(body)
            if message.get("more_body", False):
                if self._send_piece(body):
                    await drained(self._exchange, self._call)
            else:
                self._exchange.end_after(body)
                self._phase = _DONE
                self._call.lease.kind = _TASK
                if self._tells:
                    self._call.answered()
        elif phase is _OPEN and kind == "http.response.start":
            status, headers = message["status"], message.get("headers", ())
            headers = headers if type(headers) is list else _at_hand(headers)
            if self._outbound is not None:
                status, headers = await self._edited(self._outbound, status, headers)
            self._exchange.start(status, [*headers, *self._stamp] if self._stamp else headers)
            self._fields = headers
            self._phase = _STARTED
            if self._counts:
                self._call.lease.units.counters.responses[status // 100] += 1
            if message.get("trailers"):
                self._phase = _ANNOUNCED
        else:
            await self._send_extension(kind, message)

    async def _edited(self, outbound: Outbound, status: int, headers: RawHeaders) -> tuple[int, RawHeaders]:
        response = Response(b"", status, Headers([(name.lower(), value) for name, value in headers]))
        await outbound(self._exchange.request, response, self._call)
        return response.status, response.headers.raw

    def _send_piece(self, body: bytes) -> bool:
        """Send it; whether to wait before the next one."""
        exchange = self._exchange
        self._call.lease.kind = _STREAM
        if not exchange.connected and not self._listening:
            raise Disconnected("the client is gone")
        if not body:
            return False
        exchange.write(body)
        self._tail = following(self._tail, body)
        return exchange.pressed()

    async def _send_extension(self, kind: str, message: Message) -> None:
        """What an application sends that has read of it in `scope["extensions"]`."""
        started = self._phase is _STARTED or self._phase is _ANNOUNCED
        if kind == "http.response.pathsend" and started:
            async with aclosing(whole(message["path"]).stream()) as pieces:
                async for piece in pieces:
                    if self._send_piece(piece):
                        await drained(self._exchange, self._call)
            self._end_body()
        elif kind == "http.response.body" and self._phase is _ANNOUNCED:
            if self._send_piece(_octets(message.get("body", b""))):
                await drained(self._exchange, self._call)
            if not message.get("more_body", False):
                self._end_body()
        elif kind == "http.response.trailers" and self._phase is _TRAILING:
            self._trailers = (*self._trailers, *message.get("headers", ()))
            if not message.get("more_trailers", False):
                self._send_trailers()
        else:
            raise UnexpectedMessage(kind, self._phase)

    def _send_trailers(self) -> None:
        self._exchange.end_with(self._trailers)
        self._phase = _DONE
        self._over()

    def _over(self) -> None:
        self._call.lease.kind = _TASK
        if self._tells:
            self._call.answered()

    def _end_body(self) -> None:
        if self._phase is _ANNOUNCED:
            self._phase = _TRAILING
        else:
            self._exchange.end()
            self._phase = _DONE
            self._over()

    async def _miss(self) -> None:
        """The application returned early: its fault, unless the client had left."""
        if self._exchange.connected:
            await self._fail(ResponseMissing(self._application.name, self._phase))
        else:
            self._phase = _DONE
            self._abort()

    async def _fail(self, error: BaseException) -> None:
        phase, self._phase = self._phase, _DONE
        if phase is _OPEN:
            try:
                response = await failure.shown(error, self._exchange.request, self._call, self._outbound)
            except BaseException:  # the server ends the request meanwhile
                self._reply(failure.ended())
                raise
            self._reply(response)
            return
        failure.report(error, self._exchange.request, self._call)
        self._abort()

    def _cancelled(self) -> None:
        phase, self._phase = self._phase, _DONE
        if phase is _OPEN:
            self._reply(failure.ended())
        elif phase is _STARTED and may_end(self._fields, self._tail):
            self._exchange.end()
        elif phase is not _DONE:
            self._abort(503)

    def _abort(self, status: int = 500) -> None:
        self._call.break_off(status)

    def _reply(self, response: Response) -> None:
        Reply(self._exchange, self._stamp, self._call).send_problem(response)

    def _settle(self) -> None:
        self._call.lease.release()


class TellingAsgiCall(AsgiCall):
    """A call behind handlers: its context hears of the response's last byte, whatever the application does then."""

    _tells: bool = True


def _at_hand(headers: Iterable[tuple[bytes, bytes]]) -> RawHeaders:
    """Fields that can be read more than once: an application may send whatever can be read at all."""
    return headers if isinstance(headers, Sequence) else list(headers)


def _octets(body: Any) -> bytes:
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body)
    raise TypeError(f"the application sent a body of type {type(body).__name__}; encode it to bytes")
