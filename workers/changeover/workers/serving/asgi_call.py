"""One request to an ASGI application, straight between its `send` and the exchange."""

import asyncio
import enum
from collections.abc import Awaitable, Callable
from typing import Any

from changeover.workers.errors import ChangeoverError
from changeover.workers.serving import failure
from changeover.workers.serving.asgi import Application, Message
from changeover.workers.serving.contract import CallContext, Headers, Request, Response
from changeover.workers.serving.exchange import Disconnected, Exchange, RawHeaders
from changeover.workers.serving.lease import LeaseKind
from changeover.workers.serving.reply import Reply, sized

Outbound = Callable[[Request, Response, CallContext], Awaitable[None]]


class Phase(enum.Enum):
    """How far the application is with its response."""

    OPEN = "before http.response.start"
    HELD = "before the first http.response.body"
    """The head is kept back, to go out with the first piece of the body."""
    STREAMING = "after the first http.response.body"
    DONE = "after the last http.response.body"


_OPEN, _HELD, _STREAMING, _DONE = Phase.OPEN, Phase.HELD, Phase.STREAMING, Phase.DONE


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


class AsgiCall:
    """Drives one application call; `run` belongs into a task of its own.

    Args:
        application: What answers.
        request: What is asked.
        exchange: The way back to the client.
        call: The request's context.
        stamp: Fields added to the response's own.
        outbound: Sees the response's head before it is sent; None when no handler wants to.
    """

    __slots__ = (
        "_application",
        "_body_read",
        "_call",
        "_exchange",
        "_fields",
        "_listening",
        "_outbound",
        "_phase",
        "_request",
        "_sized",
        "_stamp",
        "_status",
    )

    def __init__(
        self,
        application: Application,
        request: Request,
        exchange: Exchange,
        call: CallContext,
        stamp: RawHeaders = (),
        outbound: Outbound | None = None,
    ) -> None:
        self._application = application
        self._request = request
        self._exchange = exchange
        self._call = call
        self._stamp = stamp
        self._outbound = outbound
        self._phase = _OPEN
        self._status = 0
        self._fields: list[tuple[bytes, bytes]] = []
        self._sized = False
        self._body_read = False
        self._listening = False

    async def run(self) -> None:
        """Call the application; whatever comes of it, the exchange is settled and the lease released."""
        application = self._application
        try:
            await application.call(application.scope(self._request, self._call), self.receive, self.send)
            if self._phase is not _DONE and self._exchange.connected:
                self._fail(ResponseMissing(application.name, self._phase))
        except asyncio.CancelledError:
            self._cancelled()
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001  whatever an application raises ends its request only
            self._fail(error)
        finally:
            self._settle()

    async def receive(self) -> Message:
        """What the application awaits: the body in pieces, then the client's departure."""
        if self._phase is _DONE:
            return {"type": "http.disconnect"}
        if not self._body_read:
            return await self._next_piece()
        self._listening = True
        await self._exchange.wait_disconnected()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """What the application answers with.

        Raises:
            UnexpectedMessage: Out of order.
            Disconnected: The client is gone, the application streams on, and has not asked `receive` about it.
        """
        kind, phase = message["type"], self._phase
        if kind == "http.response.body" and (phase is _HELD or phase is _STREAMING):
            body = _octets(message.get("body", b""))
            if message.get("more_body", False):
                await self._send_piece(body)
            else:
                self._send_last(body)
        elif kind == "http.response.start" and phase is _OPEN:
            await self._hold(message["status"], message.get("headers", ()))
        else:
            raise UnexpectedMessage(kind, phase)

    async def _next_piece(self) -> Message:
        body = self._request.held_body
        if body is None:
            try:
                body = await self._request.receive()
            except Disconnected:
                self._listening = True
                return {"type": "http.disconnect"}
            if body is not None:
                return {"type": "http.request", "body": body, "more_body": True}
        self._body_read = True
        return {"type": "http.request", "body": body or b"", "more_body": False}

    async def _hold(self, status: int, headers: RawHeaders) -> None:
        fields = [(name.lower(), value) for name, value in headers]
        if self._outbound is not None:
            response = Response(b"", status, Headers(fields))
            await self._outbound(self._request, response, self._call)
            status, fields = response.status, response.headers.raw
        self._sized = any(name == b"content-length" for name, _ in fields)
        fields.extend(self._stamp)
        self._status, self._fields, self._phase = status, fields, _HELD
        if not self._sized:
            asyncio.get_running_loop().call_soon(self._start_late)

    def _start_late(self) -> None:
        """No body came along with the head: let the client see the head of what will be a stream."""
        if self._phase is not _HELD:
            return
        try:
            self._start()
        except ValueError as error:
            self._fail(error)

    def _start(self) -> None:
        self._exchange.start(self._status, self._fields)
        self._phase = _STREAMING

    async def _send_piece(self, body: bytes) -> None:
        if self._phase is _HELD:
            self._start()
        self._call.lease.kind = LeaseKind.STREAM
        if not self._exchange.connected:
            if self._listening:
                return
            raise Disconnected("the client is gone")
        if body:
            self._exchange.write(body)
            await self._exchange.drain()

    def _send_last(self, body: bytes) -> None:
        exchange = self._exchange
        if self._phase is _HELD:
            fields = self._fields if self._sized else sized(self._request.method, self._status, self._fields, body)
            exchange.start(self._status, fields)
        self._phase = _DONE
        if body:
            exchange.write(body)
        exchange.end()
        self._call.lease.kind = LeaseKind.TASK

    def _fail(self, error: BaseException) -> None:
        if self._phase is _OPEN or self._phase is _HELD:
            response = failure.answer_to(error, self._request, self._call)
            self._phase = _DONE
            self._reply(response)
            return
        failure.report(error, self._request, self._call)
        if self._phase is _STREAMING:
            self._phase = _DONE
            self._exchange.abort()

    def _cancelled(self) -> None:
        if self._phase is _OPEN or self._phase is _HELD:
            self._reply(Response.problem(503, "Ended by the server"))
        elif self._phase is _STREAMING:
            self._exchange.abort()
        self._phase = _DONE

    def _reply(self, response: Response) -> None:
        Reply(self._exchange, self._stamp, self._call.lease).send_problem(response)

    def _settle(self) -> None:
        self._call.lease.release()


def _octets(body: Any) -> bytes:
    if type(body) is bytes:
        return body
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body)
    raise TypeError(f"the application sent a body of type {type(body).__name__}; encode it to bytes")
