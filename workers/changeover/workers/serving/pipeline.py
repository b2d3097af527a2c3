"""Handlers folded around what answers, immutable once built, and served on one loop.

The order of a request: inbound handlers as listed, around handlers as listed (the first is
outermost), what answers, outbound handlers as listed. An inbound handler that returns a Response
answers in place of all that stands between it and the outbound handlers. Outbound handlers see
every response, also one that words an error.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from types import CoroutineType

from changeover.workers.serving import failure
from changeover.workers.serving.answering import Answerer, Answering, answerer, checked, name_of, waits
from changeover.workers.serving.asgi import Application
from changeover.workers.serving.asgi_call import AsgiCall, TellingAsgiCall
from changeover.workers.serving.bridge import Respond
from changeover.workers.serving.contract import CallContext, Request, Response
from changeover.workers.serving.counters import Counters
from changeover.workers.serving.exchange import Exchange, RawHeaders
from changeover.workers.serving.gauge import ReadinessGauge
from changeover.workers.serving.handlers import Handler, HandlerKind, answers_preflights
from changeover.workers.serving.lease import Taskless, current_lease
from changeover.workers.serving.observation import PipelineEvent, PipelineEventKind
from changeover.workers.serving.reply import Progress, Reply, send_whole
from changeover.workers.serving.timing import EVERY, timed
from changeover.workers.serving.wsgi import WsgiApplication
from changeover.workers.serving.wsgi_call import TellingWsgiCall, WsgiCall
from changeover.workers.serving.wsgi_taskless import TasklessWsgiCall

LONGEST_DETAIL = 200
"""Characters of an error that an event has."""

_MakeCall = Callable[..., AsgiCall | WsgiCall]


@dataclass(frozen=True, slots=True)
class _Chain:
    """Handlers as a request passes them; the around handlers are folded into what answers.

    Attributes:
        inbound: The inbound chain.
        outbound: The outbound chain.
        answerer: What answers; None where an application does so by itself.
    """

    inbound: tuple[Handler, ...]
    outbound: tuple[Handler, ...]
    answerer: Answerer | None


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
        gauge = partial(ReadinessGauge, counters, name, service or name_of(target))
        application = target if isinstance(target, Application | WsgiApplication) else None
        self._application = application if not self.around else None
        answers = answerer(target, gauge) if self._application is None else None
        self._plain = self._chain(handlers, answers)
        self._timed = self._chain([timed(each, self.counters.handler(each.name)) for each in handlers], answers)
        self._until_timed = 1
        self._alone = self._application if not self.inbound and not self.outbound else None
        self._make_call = _making(target, gauge, alone=not (self.inbound or self.outbound))
        self._task_name = f"changeover: {name}"
        self._loop: asyncio.AbstractEventLoop | None = None

    def _chain(self, handlers: Sequence[Handler], answers: Answerer | None) -> _Chain:
        around = _of_kind(handlers, HandlerKind.AROUND)
        if answers is not None and around:
            respond: Respond = answers.respond
            for handler in reversed(around):
                respond = _wrapped(handler, respond, self._failed)
            answers = Answerer(f"pipeline {self.name}", respond)
        return _Chain(_of_kind(handlers, HandlerKind.INBOUND), _of_kind(handlers, HandlerKind.OUTBOUND), answers)

    def serve(
        self, exchange: Exchange, call: CallContext, context: Context, stamp: RawHeaders = ()
    ) -> asyncio.Task[None] | Taskless:
        """Answer one exchange in a task of its own, if it needs one; the call's lease is released in the end.

        Args:
            exchange: The request and the way back.
            call: Its call context; holds the lease.
            context: Context variables of the task.
            stamp: Header fields added to whatever is sent.
        """
        if self._alone is not None:
            made = self._make_call(self._alone, exchange.request, exchange, call, stamp)
            if type(made) is TasklessWsgiCall and made.begin(context):
                return made
            run = made.run()
        else:
            run = self.run(exchange, call, stamp)
        # With its loop given, a task costs a quarter less; and looking the running one up is a system call.
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return asyncio.Task(run, loop=self._loop, name=self._task_name, context=context)

    async def lead(self, request: Request, call: CallContext, respond: Respond) -> Response:
        """What comes of `respond` behind the inbound and around handlers, seen by the outbound ones."""
        chain = self._chain(self.handlers, Answerer(f"pipeline {self.name}", respond))
        response = await self._response(request, call, chain)
        if response is None:
            raise AssertionError("bug: what answers behind handlers gave no response")
        return response

    async def run(self, exchange: Exchange, call: CallContext, stamp: RawHeaders = ()) -> None:
        """Answer one exchange by way of the handlers; belongs into a task of its own, in a context of its own."""
        current_lease.set(call.lease)
        request, reply = exchange.request, None
        self._until_timed -= 1
        chain = self._plain if self._until_timed else self._timed_again()
        try:
            try:
                response = await self._response(request, call, chain)
                if response is None:
                    reply = Reply(exchange, stamp, call, Progress.DONE)
                    await self._hand_over(exchange, call, stamp, chain)
                elif type(response.body) is bytes:
                    send_whole(exchange, stamp, response, response.body, call.lease)
                else:
                    reply = Reply(exchange, stamp, call)
                    await reply.send(response)
            except BaseException as error:
                if _ends(reply or Reply(exchange, stamp, call), error, request, call):
                    raise
            finally:
                if call.listeners:  # most have none, and a call costs more than to look
                    call.answered()
            if call.tails:
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

    async def _hand_over(self, exchange: Exchange, call: CallContext, stamp: RawHeaders, chain: _Chain) -> None:
        """Have the application answer by itself, whose response's head the outbound handlers see."""
        if self._application is None:
            raise AssertionError("bug: handlers gave no response, and there is no application")
        outbound = partial(self._outbound, chain) if self.outbound else None
        await self._make_call(self._application, exchange.request, exchange, call, stamp, outbound).run()

    async def _response(self, request: Request, call: CallContext, chain: _Chain) -> Response | None:
        """The response as the outbound handlers leave it; None when the application is to answer by itself."""
        passing, answers = None, chain.answerer
        try:
            for passing in chain.inbound:
                response = passing.call(request, call)
                if response is not None and waits(response):
                    response = await response
                if response is not None:
                    response = self._given(passing, response)
                    break
            else:
                passing = None
                if answers is None:
                    return None
                made = answers.call(request, call)
                response = answers.given(await made if type(made) is CoroutineType or waits(made) else made)
        except BaseException as error:
            response = self._worded(error, passing or answers, request, call)
            if response is None:
                raise
        for handler in chain.outbound:  # as in `_outbound`, which would cost every request a coroutine
            try:
                waiting = handler.call(request, response, call)
                if waiting is not None and waits(waiting):
                    await waiting
            except BaseException as error:
                self._failed(handler, error)
                raise
        return response

    def _given(self, inbound: Handler, response: object) -> Response:
        self.counters.handler(inbound.name).answered += 1
        return checked(response, f"inbound handler {inbound.name}")

    def _worded(
        self, error: BaseException, raised: Handler | Answerer | None, request: Request, call: CallContext
    ) -> Response | None:
        """What is answered to an error of an inbound handler or of what answers; None where the task is to end."""
        if failure.is_ending(error):
            return None
        if isinstance(raised, Handler):
            self._failed(raised, error)
        elif raised is not None:
            raised.failed(error)
        return failure.answer_to(error, request, call)

    async def _outbound(self, chain: _Chain, request: Request, response: Response, call: CallContext) -> None:
        for handler in chain.outbound:
            try:
                waiting = handler.call(request, response, call)
                if waiting is not None and waits(waiting):
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
            return checked(await handler.call(request, call_next, call), f"around handler {handler.name}")
        except BaseException as error:
            if error is not passed:
                failed(handler, error)
            passed = None  # it refers to this frame
            raise

    return respond


def _making(target: Answering, gauge: Callable[[], ReadinessGauge], *, alone: bool) -> _MakeCall:
    """What calls an application that has no around handlers; `alone`, nobody waits to hear of its response's end."""
    if isinstance(target, WsgiApplication):
        return partial(TasklessWsgiCall if alone else TellingWsgiCall, gauge=gauge())
    return AsgiCall if alone else TellingAsgiCall


def _ends(reply: Reply, error: BaseException, request: Request, call: CallContext) -> bool:
    """Answer an error as far as that is still possible; whether it says that the task is to end."""
    if not failure.is_ending(error):
        _fail(reply, error, request, call)
        return False
    if isinstance(error, asyncio.CancelledError):
        _end(reply)
    return True


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
