"""Takes a request for a WebSocket through a pipeline, and the WebSocket to its end.

What speaks over it runs in a task of its own. Until it accepts, that is one exchange like any other: inbound and
around handlers stand before it, and outbound handlers see what it is answered with, status 101 when it is accepted.
"""

import asyncio
from collections.abc import Awaitable
from contextvars import Context

from changeover.workers.errors import ChangeoverError
from changeover.workers.serving import failure
from changeover.workers.serving.asgi import Application
from changeover.workers.serving.asgi_websocket import AsgiWebSocket
from changeover.workers.serving.contract import CallContext
from changeover.workers.serving.conversation import Conversation
from changeover.workers.serving.exchange import Disconnected, RawHeaders
from changeover.workers.serving.message import Request, Response
from changeover.workers.serving.moving import Whereto
from changeover.workers.serving.pipeline import Pipeline
from changeover.workers.serving.reply import Progress, Reply
from changeover.workers.serving.session import RESTART, CloseCode, Upgrade, WebSocketClosed
from changeover.workers.serving.speaker import Speaker
from changeover.workers.serving.websocket import MessageService, WebSocket, WebSocketService

ACCEPTED = 101
SPEAKING = (Application, WebSocketService, MessageService)
"""What may stand at the end of a pipeline and speak over a WebSocket."""


class NotAccepted(ChangeoverError):
    """What was asked for a WebSocket returned and neither accepted nor rejected it.

    Attributes:
        route: The pipeline.
    """

    def __init__(self, route: str) -> None:
        self.route = route
        super().__init__(f"what answers in {route} returned and neither accepted nor rejected the WebSocket")


class Upgrading:
    """One request for a WebSocket.

    Args:
        pipeline: What it passes.
        upgrade: The request.
        call: Its call context; holds the lease.
        stamp: Fields added to whatever it is answered with.
        whereto: Says what serves now.
    """

    __slots__ = ("_call", "_pipeline", "_reply", "_socket", "_speaking", "_stamp", "_upgrade", "_whereto")

    def __init__(
        self, pipeline: Pipeline, upgrade: Upgrade, call: CallContext, stamp: RawHeaders, whereto: Whereto
    ) -> None:
        self._pipeline = pipeline
        self._upgrade = upgrade
        self._call = call
        self._stamp = stamp
        self._whereto = whereto
        self._socket = WebSocket(upgrade)
        self._reply = Reply(upgrade, stamp, call)
        self._speaking: list[asyncio.Task[None]] = []

    def serve(self, context: Context) -> asyncio.Task[None]:
        """Answer it, in a task that ends with the WebSocket and releases the call's lease."""
        name = f"changeover: {self._pipeline.name}"
        return asyncio.Task(self._run(), loop=asyncio.get_running_loop(), name=name, context=context)

    async def _run(self) -> None:
        try:
            try:
                await self._answer()
            finally:
                self._call.answered()
            if self._speaking:
                await asyncio.wait(self._speaking)
            for tail in self._call.tails:
                await tail.finish()
        except asyncio.CancelledError:
            await self._end()
            raise
        finally:
            self._call.lease.release()

    async def _answer(self) -> None:
        request = self._upgrade.request
        try:
            response = await self._pipeline.lead(request, self._call, self._respond)
            if response.status == ACCEPTED:
                self._accept(response)
            else:
                self._socket.refuse(WebSocketClosed(CloseCode.LOST, "a handler turned it down"))
                await self._reply.send(response)
        except BaseException as error:
            if failure.is_ending(error):
                raise
            self._fail(error)

    async def _respond(self, request: Request, call: CallContext) -> Response:
        """Have it answered by what stands at the end of the pipeline; a handler may ask again until 101 is sent."""
        if self._speaking:
            self._socket.refuse(WebSocketClosed(CloseCode.LOST, "a handler asked again"))
            self._socket = WebSocket(self._upgrade)
        socket = self._socket
        socket.request = request
        speaker = Speaker(self._speak(socket), socket)
        speaking = asyncio.Task(speaker, name=f"changeover: {self._pipeline.name}, speaking")
        self._speaking.append(speaking)
        try:
            return await asyncio.shield(socket.answer)
        except asyncio.CancelledError:
            socket.refuse(WebSocketClosed(CloseCode.LOST, "it was given up"))
            speaking.cancel()
            self._call.works(speaking)
            raise

    def _accept(self, response: Response) -> None:
        answer = self._socket.answer
        if not answer.done() or answer.cancelled() or answer.exception() or answer.result().status != ACCEPTED:
            raise ValueError("a handler answered with status 101, which only says what accepts the WebSocket")
        session = self._upgrade.accept([*response.headers.raw, *self._stamp])
        self._reply.hand_over()
        self._call.meet_deadline()
        self._call.lease.units.counters.responses[ACCEPTED // 100] += 1
        self._socket.open(session)

    async def _speak(self, socket: WebSocket) -> None:
        try:
            returned = await self._spoken(socket)
        except BaseException as error:
            if failure.is_ending(error):
                socket.answer.cancel()
                raise
            self._break_off(socket, error)
        else:
            self._conclude(socket, returned)

    def _spoken(self, socket: WebSocket) -> Awaitable[Response | None]:
        target, call = self._pipeline.target, self._call
        if isinstance(target, Application):
            return AsgiWebSocket(target, socket, call).run()
        if isinstance(target, MessageService):
            return Conversation(target, socket, call, self._whereto).run()
        if isinstance(target, WebSocketService):
            return target.function(socket, call)
        raise AssertionError("bug: a pipeline that speaks over no WebSocket was asked for one")

    def _break_off(self, socket: WebSocket, error: BaseException) -> None:
        """What speaks raised: it is answered like any request, or closed with 1011."""
        if socket.is_asked:
            socket.answer.set_exception(error)
            return
        if not (isinstance(error, Disconnected) and socket.closed is not None):
            failure.report(error, socket.request, self._call)
        if socket.session is not None:
            socket.session.close(CloseCode.FAILED, "")

    def _conclude(self, socket: WebSocket, returned: Response | None) -> None:
        if socket.session is not None:
            socket.session.close(CloseCode.DONE, "")
        elif socket.is_asked:
            if isinstance(returned, Response):
                socket.answer.set_result(returned)
            else:
                socket.answer.set_exception(self._missed())

    def _missed(self) -> BaseException:
        """The application returned early: its fault, unless the client had left."""
        return NotAccepted(self._call.route) if self._upgrade.connected else WebSocketClosed(CloseCode.LOST)

    def _fail(self, error: BaseException) -> None:
        """The request cannot be answered as it was meant to be."""
        self._socket.refuse(WebSocketClosed(CloseCode.LOST, "it was not opened"))
        if self._reply.progress is Progress.OPEN:
            self._reply.send_problem(failure.answer_to(error, self._socket.request, self._call))
        else:
            failure.report(error, self._socket.request, self._call)
            self._reply.abandon()

    async def _end(self) -> None:
        """The server ends it: say so, then end what speaks."""
        session = self._socket.session
        if session is not None:
            session.close(CloseCode.RESTART, RESTART)
        elif self._reply.progress is Progress.OPEN:
            self._reply.send_problem(failure.ended())
        self._reply.abandon()
        for speaking in self._speaking:
            speaking.cancel()
        if self._speaking:
            await asyncio.wait(self._speaking)
        for tail in self._call.tails:
            tail.cancel()
            await tail.finish()
