"""One request to a WSGI application on the loop, without a task as long as there is nothing to await.

Most requests have no body, and their response is told as one: what their thread says is dealt with
where it arrives. A task, its context and its future would cost more than all the rest of it.
"""

import asyncio
from contextvars import Context

from changeover.workers.serving.asgi_call import Phase
from changeover.workers.serving.contract import NotReady
from changeover.workers.serving.lease import Taskless, current_lease
from changeover.workers.serving.wsgi_call import WsgiCall
from changeover.workers.serving.wsgi_head import WsgiHead
from changeover.workers.serving.wsgi_run import Failed, Mail, Sign

_OPEN, _DONE = Phase.OPEN, Phase.DONE  # looking a member up costs at every request
_END, _LEFT = Sign.END, Sign.LEFT


class TasklessWsgiCall(WsgiCall, Taskless):
    """A call without handlers: nobody's code but the application's runs for it."""

    __slots__ = ("_context",)

    def begin(self, context: Context) -> bool:
        """Take a thread now; whether that was possible. If not, `run` belongs into a task.

        Args:
            context: Context variables of a task, should it need one.
        """
        if self._request.held_body is None or self._gauge.counter.unready:
            return False
        context.run(current_lease.set, self._call.lease)
        self._prepare(context.copy())
        try:
            self._take_thread()
        except (NotReady, RuntimeError):  # the task meets it again, and answers
            return False
        self._context = context
        self._mail.divert(self._told)
        return True

    def follow(self) -> asyncio.Task[None]:
        """Go on in a task, which holds the lease from now on."""
        self._mail.divert(None)
        loop, name = asyncio.get_running_loop(), f"changeover: {self._call.route}"
        task = self._call.lease.holder = asyncio.Task(self.run(), loop=loop, name=name, context=self._context)
        return task

    def _told(self, mail: list[Mail]) -> None:
        """The thread said something, and has not left before."""
        if self._phase is _OPEN and type(mail[0]) is WsgiHead and mail[-1] is _END:
            self._answer(mail[0], mail[1] if len(mail) > 2 else b"")
        elif self._phase is _DONE and mail[0] is _LEFT:
            self._leave()
        else:
            self._go_on(mail)

    def _answer(self, head: WsgiHead, body: Mail) -> None:
        try:
            self._context.run(self._send_whole, head, body)  # who tells of it asks for the lease
        except Exception as error:  # noqa: BLE001 - the task tells the client
            self._go_on([Failed(error)])

    def _leave(self) -> None:
        self._mail.divert(None)  # the two would keep each other
        self._thread_left = True
        try:
            self._thread_gone()  # tells who waited for it, and so whoever listens for them
        finally:
            self._settle()

    def _go_on(self, mail: list[Mail]) -> None:
        self.follow()
        self._mail.put(mail)
