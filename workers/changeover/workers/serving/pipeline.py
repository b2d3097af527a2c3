"""Handlers folded around what answers, immutable once built, and served on one loop.

The order of a request: inbound handlers as listed, around handlers as listed (the first is
outermost), what answers, outbound handlers as listed. An inbound handler that returns a Response
answers in place of all that stands between it and the outbound handlers. Outbound handlers see
every response, also one that words an error.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from types import CoroutineType
from typing import Any, TypeGuard

from changeover.workers.serving import bridge, failure
from changeover.workers.serving.asgi import Application
from changeover.workers.serving.asgi_call import AsgiCall
from changeover.workers.serving.contract import CallContext, Request, Response, Service
from changeover.workers.serving.exchange import Exchange, RawHeaders
from changeover.workers.serving.handlers import Handler, HandlerKind, ServiceFunction
from changeover.workers.serving.lease import current_lease
from changeover.workers.serving.reply import Progress, Reply

Answering = Service | ServiceFunction | Application | None
"""What stands at the end of a pipeline; None is a pipeline that was emptied by removal and answers 503."""

_Respond = Callable[[Request, CallContext], Awaitable[Response]]


class Pipeline:
    """Inbound and outbound chains, and around handlers folded over what answers.

    Args:
        name: The pipeline's name.
        handlers: In request order.
        target: What answers.

    Attributes:
        name: The pipeline's name.
        inbound: The inbound chain.
        outbound: The outbound chain.
        around: The around handlers, outermost first.
        target: What answers.
    """

    __slots__ = ("_application", "_loop", "_respond", "_task_name", "around", "inbound", "name", "outbound", "target")

    def __init__(self, name: str, handlers: Sequence[Handler] = (), target: Answering = None) -> None:
        self.name = name
        self.target = target
        self.inbound = _of_kind(handlers, HandlerKind.INBOUND)
        self.outbound = _of_kind(handlers, HandlerKind.OUTBOUND)
        self.around = _of_kind(handlers, HandlerKind.AROUND)
        self._respond = _fold(self.around, _answering(target))
        self._application = target if isinstance(target, Application) and not self.around else None
        self._task_name = f"changeover: {name}"
        self._loop: asyncio.AbstractEventLoop | None = None

    def serve(
        self, exchange: Exchange, call: CallContext, context: Context, stamp: RawHeaders = ()
    ) -> asyncio.Task[None]:
        """Answer one exchange in a task of its own, which releases the call's lease when it ends.

        Args:
            exchange: The request and the way back.
            call: Its call context; holds the lease.
            context: Context variables of the task.
            stamp: Header fields added to whatever is sent.
        """
        if self._application is not None and not self.inbound and not self.outbound:
            run = AsgiCall(self._application, exchange.request, exchange, call, stamp).run()
        else:
            run = self.run(exchange, call, stamp)
        # With its loop given, a task costs a quarter less; and looking the running one up is a system call.
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return asyncio.Task(run, loop=self._loop, name=self._task_name, context=context)

    async def run(self, exchange: Exchange, call: CallContext, stamp: RawHeaders = ()) -> None:
        """Answer one exchange by way of the handlers; belongs into a task of its own, in a context of its own."""
        reply = Reply(exchange, stamp, call.lease)
        current_lease.set(call.lease)
        try:
            await self._answer(exchange, call, stamp, reply)
            for tail in call.tails:
                await tail.finish()
        except asyncio.CancelledError:
            _end(reply)
            for tail in call.tails:
                tail.cancel()
                await tail.finish()
            raise
        finally:
            call.lease.release()

    async def _answer(self, exchange: Exchange, call: CallContext, stamp: RawHeaders, reply: Reply) -> None:
        request = exchange.request
        try:
            response = await self._response(request, call)
            if response is None and self._application is not None:
                reply.hand_over()
                outbound = self._outbound if self.outbound else None
                await AsgiCall(self._application, request, exchange, call, stamp, outbound).run()
            elif response is not None:
                if self.outbound:
                    await self._outbound(request, response, call)
                if type(response.body) is bytes:
                    reply.send_whole(response, response.body)
                else:
                    await reply.send(response)
        except BaseException as error:
            if failure.is_ending(error):
                raise
            _fail(reply, error, request, call)

    async def _response(self, request: Request, call: CallContext) -> Response | None:
        """The response to put through the outbound chain; None when the application answers by itself."""
        try:
            response = await self._inbound(request, call)
            if response is not None or self._application is not None:
                return response
            return await self._respond(request, call)
        except BaseException as error:
            if failure.is_ending(error):
                raise
            return failure.answer_to(error, request, call)

    async def _inbound(self, request: Request, call: CallContext) -> Response | None:
        for handler in self.inbound:
            response = handler.call(request, call)
            if _waits(response):
                response = await response
            if response is not None:
                return _checked(response, f"inbound handler {handler.name}")
        return None

    async def _outbound(self, request: Request, response: Response, call: CallContext) -> None:
        for handler in self.outbound:
            waiting = handler.call(request, response, call)
            if _waits(waiting):
                await waiting


def _of_kind(handlers: Sequence[Handler], kind: HandlerKind) -> tuple[Handler, ...]:
    return tuple(handler for handler in handlers if handler.kind is kind)


def _fold(around: Sequence[Handler], respond: _Respond) -> _Respond:
    for handler in reversed(around):
        respond = _wrapped(handler, respond)
    return respond


def _wrapped(handler: Handler, inner: _Respond) -> _Respond:
    async def respond(request: Request, call: CallContext) -> Response:
        async def call_next(request: Request) -> Response:
            return await inner(request, call)

        return _checked(await handler.call(request, call_next, call), f"around handler {handler.name}")

    return respond


def _answering(target: Answering) -> _Respond:
    if target is None:
        return _emptied
    if isinstance(target, Application):
        return _application(target)
    return _service(target)


async def _emptied(request: Request, call: CallContext) -> Response:
    return Response.problem(503, "Nothing answers here", f"pipeline {call.route} has no service in epoch {call.epoch}")


def _application(application: Application) -> _Respond:
    async def respond(request: Request, call: CallContext) -> Response:
        return await bridge.respond(application, request, call)

    return respond


def _service(target: Service | ServiceFunction) -> _Respond:
    ready = target.ready if isinstance(target, Service) else None
    name = f"service {getattr(target, '__qualname__', type(target).__qualname__)}"

    async def respond(request: Request, call: CallContext) -> Response:
        if ready is not None:
            ready()
        response = target(request, call)
        if _waits(response):
            response = await response
        return _checked(response, name)

    return respond


def _waits(result: object) -> TypeGuard[Awaitable[Any]]:
    """Whether what was called wants to be awaited; what it mostly returns is told from that at once."""
    kind = type(result)
    return kind is CoroutineType or (kind is not Response and result is not None and inspect.isawaitable(result))


def _checked(response: Any, name: str) -> Response:
    if isinstance(response, Response):
        return response
    raise TypeError(f"{name} returned {type(response).__name__}; return a Response, such as Response.text(...)")


def _end(reply: Reply) -> None:
    """The server ends the request: say so while it can still be said."""
    if reply.progress is Progress.OPEN:
        reply.send_problem(Response.problem(503, "Ended by the server"))
    reply.abandon()


def _fail(reply: Reply, error: BaseException, request: Request, call: CallContext) -> None:
    if reply.progress is Progress.OPEN:
        reply.send_problem(failure.answer_to(error, request, call))
        return
    failure.report(error, request, call)
    reply.abandon()
