"""Waiting for a thread, and telling of it."""

from changeover.workers.serving.assignment import Assignment
from changeover.workers.serving.contract import CallContext
from changeover.workers.serving.lease import Lease
from changeover.workers.serving.observation import PipelineEvent, PipelineEventKind
from changeover.workers.serving.waiting import Waiting
from changeover.workers.serving.wsgi import WsgiApplication


class Turn(Assignment):
    """A call of an application that may have to wait for a thread.

    Who listens in front of the worker's observer hears of each, and so does the observer where they are passed on, as
    `load-shed` does. Else it hears when requests begin to wait and when none waits any more: each request would cost
    two events where it costs most.

    Args:
        application: Whose threads may all work.
        call: The request's context.
    """

    __slots__ = ("_application", "_call", "_told", "_waits")

    def __init__(self, application: WsgiApplication, call: CallContext) -> None:
        super().__init__()
        self._application = application
        self._call = call
        self._told: Waiting | None = None
        self._waits = False

    @property
    def lease(self) -> Lease:
        """Its request's hold on its units."""
        return self._call.lease

    def tell(self, waiting: Waiting) -> None:
        """Say there from now on whether it waits, and when its thread came; on the loop.

        Needed where its request is held by who does not know: a call that goes on without a task says it by itself.
        """
        self._told = waiting
        if self._waits:
            waiting.begin_call()
        else:
            waiting.resumed = max(waiting.resumed, self.began)

    def begin_turn(self) -> None:
        """It waits for a thread from now on."""
        self._waits = True
        if self._told is not None:
            self._told.begin_call()
        application = self._application
        application.waiting += 1
        if application.waiting == 1 or (self._told is not None and self._call.overheard):
            self._note(PipelineEventKind.WAIT_BEGAN)

    def end_turn(self) -> None:
        """It has a thread, or is over; does nothing when it does not wait."""
        if self._waits:
            self._waits = False
            if self._told is not None:
                self._told.end_call()
            application = self._application
            application.waiting -= 1
            if application.waiting == 0 or (self._told is not None and self._call.overheard):
                self._note(PipelineEventKind.WAIT_ENDED)

    def _note(self, kind: PipelineEventKind) -> None:
        self._call.observer.note(PipelineEvent(kind, self._call.route, self._application.name))
