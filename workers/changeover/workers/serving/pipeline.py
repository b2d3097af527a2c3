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
from dataclasses import dataclass
from functools import partial
from types import CoroutineType
from typing import Any, TypeGuard

from changeover.workers.serving import bridge, failure
from changeover.workers.serving.asgi import Application
from changeover.workers.serving.asgi_call import AsgiCall, TellingAsgiCall
from changeover.workers.serving.bridge import Respond
from changeover.workers.serving.contract import CallContext, NotReady, Request, Response, Service
from changeover.workers.serving.counters import Counters
from changeover.workers.serving.exchange import Exchange, RawHeaders
from changeover.workers.serving.gauge import ReadinessGauge
from changeover.workers.serving.handlers import Handler, HandlerKind, ServiceFunction, answers_preflights
from changeover.workers.serving.lease import current_lease
from changeover.workers.serving.observation import PipelineEvent, PipelineEventKind
from changeover.workers.serving.reply import Progress, Reply
from changeover.workers.serving.timing import EVERY, timed
from changeover.workers.serving.websocket import MessageService, WebSocketService
from changeover.workers.serving.wsgi import WsgiApplication
from changeover.workers.serving.wsgi_call import TellingWsgiCall, WsgiCall

Answering = Service | ServiceFunction | Application | WsgiApplication | WebSocketService | MessageService | None
"""What stands at the end of a pipeline; None is a pipeline that was emptied by removal and answers 503."""

LONGEST_DETAIL = 200
"""Characters of an error that an event has."""

_MakeCall = Callable[..., AsgiCall | WsgiCall]


@dataclass(frozen=True, slots=True)
class _Chain:
    """Handlers as a request passes them; the around handlers are folded into `respond`."""

    inbound: tuple[Handler, ...]
    outbound: tuple[Handler, ...]
    respond: Respond


class Pipeline:
    """Inbound and outbound chains, and around handlers folded over what answers.

    Args:
        name: The pipeline's name.
        handlers: In request order.
        target: What answers.
        service: The name under which that is counted; its own by default.
        counters: Of the worker.

    Attributes:
        name: The pipeline's name.
        handlers: In request order.
        inbound: The inbound chain.
        outbound: The outbound chain.
        around: The around handlers, outermost first.
        target: What answers.
        counters: Its own.
        answers_preflights: Whether a handler answers CORS preflights.
    """

    __slots__ = (
        "_alone",
        "_application",
        "_loop",
        "_make_call",
        "_plain",
        "_task_name",
        "_timed",
        "_until_timed",
        "answers_preflights",
        "around",
        "counters",
        "handlers",
        "inbound",
        "name",
        "outbound",
        "target",
    )

    def __init__(
        self,
        name: str,
        handlers: Sequence[Handler] = (),
        target: Answering = None,
        *,
        service: str = "",
        counters: Counters | None = None,
    ) -> None:
        counters = counters or Counters()
        self.name = name
        self.target = target
        self.counters = counters.pipeline(name)
        self.handlers = tuple(handlers)
        self.inbound = _of_kind(handlers, HandlerKind.INBOUND)
        self.outbound = _of_kind(handlers, HandlerKind.OUTBOUND)
        self.around = _of_kind(handlers, HandlerKind.AROUND)
        self.answers_preflights = any(answers_preflights(each.call) for each in self.inbound)
        gauge = partial(ReadinessGauge, counters, name, service or _name(target))
        answer = _answering(target, gauge)
        self._plain = self._chain(handlers, answer)
        self._timed = self._chain([timed(each, self.counters.handler(each.name)) for each in handlers], answer)
        self._until_timed = 1
        application = target if isinstance(target, Application | WsgiApplication) else None
        self._application = application if not self.around else None
        self._alone = self._application if not self.inbound and not self.outbound else None
        self._make_call = _making(target, gauge, alone=not (self.inbound or self.outbound))
        self._task_name = f"changeover: {name}"
        self._loop: asyncio.AbstractEventLoop | None = None

    def _chain(self, handlers: Sequence[Handler], respond: Respond) -> _Chain:
        for handler in reversed(_of_kind(handlers, HandlerKind.AROUND)):
            respond = _wrapped(handler, respond, self._failed)
        inbound, outbound = _of_kind(handlers, HandlerKind.INBOUND), _of_kind(handlers, HandlerKind.OUTBOUND)
        return _Chain(inbound, outbound, respond)

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
        if self._alone is not None:
            run = self._make_call(self._alone, exchange.request, exchange, call, stamp).run()
        else:
            run = self.run(exchange, call, stamp)
        # With its loop given, a task costs a quarter less; and looking the running one up is a system call.
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return asyncio.Task(run, loop=self._loop, name=self._task_name, context=context)

    async def lead(self, request: Request, call: CallContext, respond: Respond) -> Response:
        """What comes of `respond` behind the inbound and around handlers, seen by the outbound ones."""
        chain = self._chain(self.handlers, respond)
        response = await self._response(request, call, chain.inbound, chain.respond)
        if response is None:
            raise AssertionError("bug: what answers behind handlers gave no response")
        await self._outbound(chain, request, response, call)
        return response

    async def run(self, exchange: Exchange, call: CallContext, stamp: RawHeaders = ()) -> None:
        """Answer one exchange by way of the handlers; belongs into a task of its own, in a context of its own."""
        current_lease.set(call.lease)
        reply = Reply(exchange, stamp, call)
        self._until_timed -= 1
        chain = self._plain if self._until_timed else self._timed_again()
        try:
            try:
                await self._answer(exchange, call, stamp, reply, chain)
            except asyncio.CancelledError:
                _end(reply)
                raise
            finally:
                call.answered()
            for tail in call.tails:
                await tail.finish()
        except asyncio.CancelledError:
            for tail in call.tails:
                tail.cancel()
                await tail.finish()
            raise
        finally:
            call.lease.release()

    def _timed_again(self) -> _Chain:
        self._until_timed = EVERY
        return self._timed

    async def _answer(
        self, exchange: Exchange, call: CallContext, stamp: RawHeaders, reply: Reply, chain: _Chain
    ) -> None:
        request = exchange.request
        try:
            respond = chain.respond if self._application is None else None
            response = await self._response(request, call, chain.inbound, respond)
            if response is None and self._application is not None:
                reply.hand_over()
                outbound = partial(self._outbound, chain) if self.outbound else None
                await self._make_call(self._application, request, exchange, call, stamp, outbound).run()
            elif response is not None:
                if chain.outbound:
                    await self._outbound(chain, request, response, call)
                if type(response.body) is bytes:
                    reply.send_whole(response, response.body)
                else:
                    await reply.send(response)
        except BaseException as error:
            if failure.is_ending(error):
                raise
            _fail(reply, error, request, call)

    async def _response(
        self, request: Request, call: CallContext, inbound: Sequence[Handler], respond: Respond | None
    ) -> Response | None:
        """The response to put through the outbound chain; None when the application is to answer by itself."""
        passing: Handler | None = None
        try:
            for passing in inbound:
                response = passing.call(request, call)
                if response is not None and _waits(response):
                    response = await response
                if response is not None:
                    self.counters.handler(passing.name).answered += 1
                    return _checked(response, f"inbound handler {passing.name}")
            passing = None
            return None if respond is None else await respond(request, call)
        except BaseException as error:
            if failure.is_ending(error):
                raise
            if passing is not None:
                self._failed(passing, error)
            return failure.answer_to(error, request, call)

    async def _outbound(self, chain: _Chain, request: Request, response: Response, call: CallContext) -> None:
        for handler in chain.outbound:
            try:
                waiting = handler.call(request, response, call)
                if waiting is not None and _waits(waiting):
                    await waiting
            except BaseException as error:
                self._failed(handler, error)
                raise

    def _failed(self, handler: Handler, error: BaseException) -> None:
        """A handler raised; what is no failure (not ready, a body too large, the end of the request) is passed over."""
        if failure.is_ending(error) or failure.is_answer(error):
            return
        self.counters.handler(handler.name).failed += 1
        detail = f"{type(error).__name__}: {error}"[:LONGEST_DETAIL]
        self.counters.observer.note(PipelineEvent(PipelineEventKind.HANDLER_FAILED, self.name, handler.name, detail))


def _of_kind(handlers: Sequence[Handler], kind: HandlerKind) -> tuple[Handler, ...]:
    return tuple(handler for handler in handlers if handler.kind is kind)


def _wrapped(handler: Handler, inner: Respond, failed: Callable[[Handler, BaseException], None]) -> Respond:
    async def respond(request: Request, call: CallContext) -> Response:
        passed: BaseException | None = None

        async def call_next(request: Request) -> Response:
            nonlocal passed
            try:
                return await inner(request, call)
            except BaseException as error:
                passed = error
                raise

        try:
            return _checked(await handler.call(request, call_next, call), f"around handler {handler.name}")
        except BaseException as error:
            if error is not passed:
                failed(handler, error)
            passed = None  # it refers to this frame
            raise

    return respond


def _name(target: Answering) -> str:
    return "" if target is None else getattr(target, "__qualname__", type(target).__qualname__)


def _making(target: Answering, gauge: Callable[[], ReadinessGauge], *, alone: bool) -> _MakeCall:
    """What calls an application that has no around handlers; `alone`, nobody waits to hear of its response's end."""
    if isinstance(target, WsgiApplication):
        return partial(WsgiCall if alone else TellingWsgiCall, gauge=gauge())
    return AsgiCall if alone else TellingAsgiCall


def _answering(target: Answering, gauge: Callable[[], ReadinessGauge]) -> Respond:
    if target is None:
        return _emptied
    if isinstance(target, Application):
        return bridge.asgi(target)
    if isinstance(target, WsgiApplication):
        return bridge.wsgi(target, gauge())
    if isinstance(target, WebSocketService | MessageService):
        return _unasked
    return _service(target, gauge())


async def _emptied(request: Request, call: CallContext) -> Response:
    return Response.problem(503, "Nothing answers here", f"pipeline {call.route} has no service in epoch {call.epoch}")


async def _unasked(request: Request, call: CallContext) -> Response:
    response = Response.problem(426, "Upgrade required", "a WebSocket is served here")
    response.headers["upgrade"] = "websocket"
    return response


def _service(target: Service | ServiceFunction, gauge: ReadinessGauge) -> Respond:
    ready = target.ready if isinstance(target, Service) and type(target).ready is not Service.ready else None
    name = f"service {_name(target)}"

    async def respond(request: Request, call: CallContext) -> Response:
        try:
            if ready is not None:
                ready()
            response = target(request, call)
            if _waits(response):
                response = await response
        except NotReady as error:
            gauge.refused(error)
            raise
        if gauge.unready:
            gauge.ready()
        return _checked(response, name)

    return respond


def _waits(result: object) -> TypeGuard[Awaitable[Any]]:
    """Whether what was called wants to be awaited; what it mostly returns is told from that at once."""
    kind = type(result)
    return kind is CoroutineType or (kind is not Response and inspect.isawaitable(result))


def _checked(response: Any, name: str) -> Response:
    if isinstance(response, Response):
        return response
    raise TypeError(f"{name} returned {type(response).__name__}; return a Response, such as Response.text(...)")


def _end(reply: Reply) -> None:
    """The server ends the request: say so while it can still be said."""
    if reply.progress is Progress.OPEN:
        reply.send_problem(Response.problem(503, "Ended by the server"))
    reply.end_early()


def _fail(reply: Reply, error: BaseException, request: Request, call: CallContext) -> None:
    if reply.progress is Progress.OPEN:
        reply.send_problem(failure.answer_to(error, request, call))
        return
    failure.report(error, request, call)
    reply.abandon()
