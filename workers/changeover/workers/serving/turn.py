"""Waiting for a thread, and telling of it."""

from changeover.workers.serving.contract import CallContext
from changeover.workers.serving.observation import PipelineEvent, PipelineEventKind
from changeover.workers.serving.wsgi import WsgiApplication


class Turn:
    """One request that waits for a thread.

    Who listens in front of the worker's observer hears of each, and so does the observer where they are passed on, as
    `load-shed` does. Else it hears when requests begin to wait and when none waits any more: each request would cost
    two events where it costs most.

    Args:
        call: The request's context.
        application: Whose threads all work.
    """

    __slots__ = ("_application", "_call", "_waits")

    def __init__(self, call: CallContext, application: WsgiApplication) -> None:
        self._application = application
        self._call = call
        self._waits = False

    def begin(self) -> None:
        """It waits from now on."""
        self._waits = True
        self._call.lease.waiting.begin_call()
        self._application.waiting += 1
        self._note(PipelineEventKind.WAIT_BEGAN, changes=self._application.waiting == 1)

    def end(self) -> None:
        """It has a thread, or is over; does nothing when it does not wait."""
        if self._waits:
            self._waits = False
            self._call.lease.waiting.end_call()
            self._application.waiting -= 1
            self._note(PipelineEventKind.WAIT_ENDED, changes=self._application.waiting == 0)

    def _note(self, kind: PipelineEventKind, *, changes: bool) -> None:
        observer = self._call.observer
        if changes or observer is not self._call.lease.units.counters.observer:
            observer.note(PipelineEvent(kind, self._call.route, self._application.name))
