"""One request to a WSGI application on the loop, without a task as long as there is nothing to await.

Most requests have no body that has yet to come, and their response is told as one: what their thread says is dealt with
where it arrives. A task, its context and its future would cost more than all the rest of it.
"""

import asyncio
from contextvars import Context

from changeover.workers.serving.asgi_call import Phase
from changeover.workers.serving.contract import CallContext, NotReady
from changeover.workers.serving.exchange import Exchange, RawHeaders
from changeover.workers.serving.gauge import ReadinessGauge
from changeover.workers.serving.lease import LeaseKind, Taskless, current_lease
from changeover.workers.serving.mailbox import Mailbox
from changeover.workers.serving.wsgi import WsgiApplication
from changeover.workers.serving.wsgi_call import WsgiCall
from changeover.workers.serving.wsgi_head import WsgiHead
from changeover.workers.serving.wsgi_run import Failed, Mail, Sign, WsgiRun

_OPEN, _DONE = Phase.OPEN, Phase.DONE  # looking a member up costs at every request
_END, _LEFT = Sign.END, Sign.LEFT
_TASK = LeaseKind.TASK


class TasklessWsgiCall(WsgiRun, Taskless):
    """A call without handlers, nobody's code but the application's runs for it: what its thread does, and what it says.

    Args:
        gauge: Follows whether there is room among the threads.
        application: What answers.
        exchange: The way back to the client.
        call: The request's context.
        stamp: Fields added to the response's own.
        context: Context variables of a task, should it need one; the lease is among them.
    """

    __slots__ = ("_exchange", "_gauge", "_mail", "_phase", "_stamp", "_tasks")

    def __init__(
        self,
        gauge: ReadinessGauge,
        application: WsgiApplication,
        exchange: Exchange,
        call: CallContext,
        stamp: RawHeaders,
        context: Context,
    ) -> None:
        super().__init__(application, exchange.request, call, self, context.copy())
        self._gauge = gauge
        self._exchange = exchange
        self._stamp = stamp
        self._tasks = context
        self._phase = _OPEN
        self._mail: Mailbox[Mail] | None = None

    @property
    def thread_came(self) -> int:
        """See `Taskless`."""
        return self.began

    def follow(self) -> asyncio.Task[None]:
        """Go on in a task, which holds the lease from now on."""
        call = WsgiCall(self._gauge, self._application, self._exchange, self._call, self._stamp)
        self._mail = call.go_on(self, self._phase)
        loop, name = asyncio.get_running_loop(), f"changeover: {self._call.route}"
        task = self._call.lease.holder = asyncio.Task(call.run(), loop=loop, name=name, context=self._tasks)
        return task

    def put(self, items: list[Mail]) -> None:
        """The thread said something, and has not left before."""
        if self._mail is not None:
            self._mail.put(items)
        elif self._phase is _OPEN and type(items[0]) is WsgiHead and items[-1] is _END:
            self._answer(items[0], items[1] if len(items) > 2 else b"")
        elif self._phase is _DONE and items[0] is _LEFT:
            self._leave()
        else:
            self._go_on(items)

    def _answer(self, head: WsgiHead, body: Mail) -> None:
        try:
            self._tasks.run(self._send_whole_response, head, body)  # who tells of it asks for the lease
        except Exception as error:  # noqa: BLE001 - the task tells the client
            self._go_on([Failed(error)])

    def _send_whole_response(self, head: WsgiHead, body: Mail) -> None:
        if type(body) is not bytes:
            raise AssertionError("bug: a response that is told as one has no body")
        self._exchange.answer(head.status, [*head.fields, *self._stamp] if self._stamp else head.fields, body)
        lease = self._call.lease
        lease.units.counters.responses[head.status // 100] += 1
        lease.kind = _TASK
        self._phase = _DONE

    def _leave(self) -> None:
        try:
            self._application.pool.done(self)  # tells who waited for it, and so whoever listens for them
        finally:
            self._call.lease.release()

    def _go_on(self, mail: list[Mail]) -> None:
        self.follow()
        self.put(mail)


def begun(
    gauge: ReadinessGauge,
    application: WsgiApplication,
    exchange: Exchange,
    call: CallContext,
    stamp: RawHeaders,
    context: Context,
) -> TasklessWsgiCall | None:
    """A call that has a thread, or waits for one; None where it needs a task.

    Args:
        gauge: Follows whether there is room among the threads.
        application: What answers.
        exchange: The request and the way back.
        call: The request's context.
        stamp: Fields added to the response's own.
        context: Context variables of a task, should it need one.
    """
    asked = exchange.made
    if (asked is not None and asked.held_body is None) or gauge.counter.unready:
        return None
    context.run(current_lease.set, call.lease)
    made = TasklessWsgiCall(gauge, application, exchange, call, stamp, context)
    if application.courier.loop is None:
        application.courier.attend()
    try:
        application.pool.submit(made)
    except (NotReady, RuntimeError):  # the task meets it again, and answers
        made.call_off()
        return None
    return made
