"""Handlers folded around what answers, immutable once built, and served on one loop.

The order of a request: inbound handlers as listed, around handlers as listed (the first is
outermost), what answers, outbound handlers as listed. An inbound handler that returns a Response
answers in place of all that stands between it and the outbound handlers. Outbound handlers see
every response, also one that words an error.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextvars import Context
from functools import partial
from types import CoroutineType
from typing import Any

from changeover.workers.serving import failure
from changeover.workers.serving.answering import Answerer, Answering, answerer, checked, name_of, waits
from changeover.workers.serving.asgi import Application
from changeover.workers.serving.asgi_call import AsgiCall, TellingAsgiCall
from changeover.workers.serving.bridge import Respond
from changeover.workers.serving.chain import Chain, folded, of_kind
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
from changeover.workers.serving.wsgi_taskless import begun

LONGEST_DETAIL = 200
"""Characters of an error that an event has."""

_MakeCall = Callable[..., AsgiCall | WsgiCall]
_hold = current_lease.set  # looking a method up costs at every request


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
        "_begin",
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
        self.inbound = of_kind(handlers, HandlerKind.INBOUND)
        self.outbound = of_kind(handlers, HandlerKind.OUTBOUND)
        self.around = of_kind(handlers, HandlerKind.AROUND)
        self.answers_preflights = any(answers_preflights(each.call) for each in self.inbound)
        gauge = partial(ReadinessGauge, counters, name, service or name_of(target))
        application = target if isinstance(target, Application | WsgiApplication) else None
        self._application = application if not self.around else None
        answers = answerer(target, gauge)
        self._plain = self._chain(handlers, answers)
        self._timed = self._chain([timed(each, self.counters.handler(each.name)) for each in handlers], answers)
        self._until_timed = 1
        self._alone = self._application if not self.inbound and not self.outbound else None
        self._make_call = _making(target, gauge, alone=self._alone is not None)
        self._begin = partial(begun, gauge(), self._alone) if isinstance(self._alone, WsgiApplication) else None
        self._task_name = f"changeover: {name}"
        self._loop: asyncio.AbstractEventLoop | None = None

    def _chain(self, handlers: Sequence[Handler], answers: Answerer) -> Chain:
        return folded(self.name, handlers, answers, self._failed)

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
        alone = self._alone
        if alone is not None:
            if self._begin is not None and (taskless := self._begin(exchange, call, stamp, context)) is not None:
                return taskless
            run = self._make_call(alone, exchange, call, stamp).run()
        elif self._application is not None:
            run = self._run_application(self._application, exchange, call, stamp)
        else:
            run = self.run(exchange, call, stamp)
        # With its loop given, a task costs a quarter less; and looking the running one up is a system call.
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return asyncio.Task(run, loop=self._loop, name=self._task_name, context=context)

    async def lead(self, request: Request, call: CallContext, respond: Respond) -> Response:
        """What comes of `respond` behind the inbound and around handlers, seen by the outbound ones."""
        chain = self._chain(self.handlers, Answerer(f"pipeline {self.name}", respond))
        response = await self._stopped(request, call, chain)
        if response is None:
            try:
                response = await chain.answerer.respond(request, call)
            except BaseException as error:
                if failure.is_ending(error):
                    raise
                response = failure.answer_to(error, request, call)
        await chain.show(request, response, call)
        return response

    async def run(self, exchange: Exchange, call: CallContext, stamp: RawHeaders = ()) -> None:
        """Answer one exchange by way of the handlers and what answers; belongs into a task and a context of its own.

        What `_stopped` and `Chain.show` do stands here once more: a coroutine costs as much as a handler.
        """
        _hold(call.lease)
        request, reply = exchange.request, None
        self._until_timed -= 1
        chain = self._plain if self._until_timed else self._timed_again()
        at: Handler | Answerer | None = None
        try:
            for at in chain.inbound:
                response = at.call(request, call)
                if response is not None and (response := await self._given(at, response)) is not None:
                    break
            else:
                at = answers = chain.answerer
                made = answers.call(request, call)
                response = await made if type(made) is CoroutineType or waits(made) else made
                if type(response) is not Response or answers.counter.unready:
                    response = answers.given(response)
            for at in chain.outbound:
                waiting = at.call(request, response, call)
                if waiting is not None and waits(waiting):
                    await waiting
            at = None
            if type(response.body) is bytes:
                send_whole(exchange, stamp, response, response.body, call.lease)
            else:
                reply = Reply(exchange, stamp, call)
                await reply.send(response)
            if call.listeners or call.tails:  # most have none, and a call costs more than to look
                reply = Reply(exchange, stamp, call, Progress.DONE)
                await _finish(call)
        except BaseException as error:
            if await self._ends(error, at, chain, reply or Reply(exchange, stamp, call), call):
                raise
        finally:
            call.lease.release()

    async def _run_application(
        self, application: Application | WsgiApplication, exchange: Exchange, call: CallContext, stamp: RawHeaders
    ) -> None:
        """The same where an application answers by itself, whose head outbound handlers see."""
        _hold(call.lease)
        request, reply = exchange.request, Reply(exchange, stamp, call)
        self._until_timed -= 1
        chain = self._plain if self._until_timed else self._timed_again()
        try:
            response = await self._stopped(request, call, chain)
            if response is None:
                reply.hand_over()
                outbound = chain.show if chain.outbound else None
                await self._make_call(application, exchange, call, stamp, outbound).run()
                if call.listeners or call.tails:
                    await _finish(call)
            else:
                await _answer(response, chain, reply, call)
        except BaseException as error:
            if await _ends(reply, error, call):
                raise
        finally:
            call.lease.release()

    def _timed_again(self) -> Chain:
        self._until_timed = EVERY
        return self._timed

    async def _stopped(self, request: Request, call: CallContext, chain: Chain) -> Response | None:
        """The response with which an inbound handler answers in place of all that comes; None when none does."""
        for passing in chain.inbound:
            try:
                response = passing.call(request, call)
                if response is not None and (response := await self._given(passing, response)) is not None:
                    return response
            except BaseException as error:
                if failure.is_ending(error):
                    raise
                self._failed(passing, error)
                return failure.answer_to(error, request, call)
        return None

    async def _given(self, inbound: Handler, response: Any) -> Response | None:
        """The response that an inbound handler returned, if it is one."""
        if waits(response):
            response = await response
        if response is None:
            return None
        self.counters.handler(inbound.name).answered += 1
        return checked(response, f"inbound handler {inbound.name}")

    async def _ends(
        self, error: BaseException, at: Handler | Answerer | None, chain: Chain, reply: Reply, call: CallContext
    ) -> bool:
        """Answer an error as far as that is still possible; whether the task is to end by it.

        Args:
            error: What was raised.
            at: Who raised it; None when the response was being sent.
            chain: Its outbound handlers see what is answered to an error of an inbound handler, or of what answers.
            reply: The way back to the client.
            call: The request's context.
        """
        if isinstance(at, Handler):
            self._failed(at, error)
        elif at is not None:
            at.failed(error)
        if at is None or failure.is_ending(error) or at in chain.outbound:
            return await _ends(reply, error, call)
        try:
            await _answer(failure.answer_to(error, reply.exchange.request, call), chain, reply, call)
        except BaseException as further:
            if await _ends(reply, further, call):
                raise
        return False

    def _failed(self, handler: Handler, error: BaseException) -> None:
        """A handler raised; what is no failure (not ready, a body too large, the end of the request) is passed over."""
        if failure.is_ending(error) or failure.is_answer(error):
            return
        self.counters.handler(handler.name).failed += 1
        detail = f"{type(error).__name__}: {error}"[:LONGEST_DETAIL]
        self.counters.observer.note(PipelineEvent(PipelineEventKind.HANDLER_FAILED, self.name, handler.name, detail))


def _making(target: Answering, gauge: Callable[[], ReadinessGauge], *, alone: bool) -> _MakeCall:
    """What calls an application that has no around handlers; `alone`, nobody waits to hear of its response's end."""
    if isinstance(target, WsgiApplication):
        return partial(WsgiCall if alone else TellingWsgiCall, gauge())
    return AsgiCall if alone else TellingAsgiCall


async def _answer(response: Response, chain: Chain, reply: Reply, call: CallContext) -> None:
    """Send what answers in place of what stands at the end."""
    await chain.show(reply.exchange.request, response, call)
    await reply.send(response)
    await _finish(call)


async def _ends(reply: Reply, error: BaseException, call: CallContext) -> bool:
    """Answer an error as far as that is still possible, and let its request end; whether the task is to end by it."""
    ends = failure.is_ending(error)
    cancelled = ends and isinstance(error, asyncio.CancelledError)
    try:
        if cancelled:
            _end(reply)
        elif not ends:
            _fail(reply, error, reply.exchange.request, call)
    finally:
        call.answered()
    if cancelled:
        for tail in call.tails:
            tail.cancel()
    if cancelled or not ends:
        await _finish(call)
    return ends


async def _finish(call: CallContext) -> None:
    """Tell those who listen that the response is over, and let what goes on after it come to its end."""
    call.answered()
    try:
        for tail in call.tails:
            await tail.finish()
    except asyncio.CancelledError:
        for tail in call.tails:
            tail.cancel()
            await tail.finish()
        raise


def _end(reply: Reply) -> None:
    """The server ends the request: say so while it can still be said."""
    if reply.progress is Progress.OPEN:
        reply.send_problem(failure.ended())
    reply.end_early()


def _fail(reply: Reply, error: BaseException, request: Request, call: CallContext) -> None:
    if reply.progress is Progress.OPEN:
        reply.send_problem(failure.answer_to(error, request, call))
        return
    failure.report(error, request, call)
    reply.abandon()
