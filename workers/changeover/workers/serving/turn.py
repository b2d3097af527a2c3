"""Waiting for a thread, and telling of it."""

from changeover.workers.serving.contract import CallContext
from changeover.workers.serving.observation import PipelineEvent, PipelineEventKind


class Turn:
    """One request that waits for a thread; the call's observer hears of it.

    Args:
        call: The request's context.
        application: Whose threads all work.
    """

    __slots__ = ("_application", "_call", "_waits")

    def __init__(self, call: CallContext, application: str) -> None:
        self._call = call
        self._application = application
        self._waits = False

    def begin(self) -> None:
        """It waits from now on."""
        self._waits = True
        self._note(PipelineEventKind.WAIT_BEGAN)

    def end(self) -> None:
        """It has a thread, or is over; does nothing when it does not wait."""
        if self._waits:
            self._waits = False
            self._note(PipelineEventKind.WAIT_ENDED)

    def _note(self, kind: PipelineEventKind) -> None:
        self._call.observer.note(PipelineEvent(kind, self._call.route, self._application))
