"""Whether what answers is ready: counted, and told when that changes."""

from changeover.workers.serving.contract import NotReady
from changeover.workers.serving.counters import Counters
from changeover.workers.serving.observation import PipelineEvent, PipelineEventKind


class ReadinessGauge:
    """Follows one service behind one pipeline, by what became of requests to it: nobody asks it beside them.

    Args:
        counters: Of the worker; their observer hears of changes.
        pipeline: The pipeline's name.
        service: The service's name.

    Attributes:
        counter: What it keeps; `unready` there says that the service was not ready when it was asked last.
    """

    __slots__ = ("_observer", "_pipeline", "_service", "counter")

    def __init__(self, counters: Counters, pipeline: str, service: str) -> None:
        self.counter = counters.service(service)
        self._observer = counters.observer
        self._pipeline = pipeline
        self._service = service

    def refused(self, error: NotReady) -> None:
        """It did not take a request."""
        self.counter.not_ready += 1
        if not self.counter.unready:
            self.counter.unready = True
            self._note(PipelineEventKind.NOT_READY_BEGAN, str(error))

    def ready(self) -> None:
        """It took one again."""
        self.counter.unready = False
        self._note(PipelineEventKind.NOT_READY_ENDED, "")

    def _note(self, kind: PipelineEventKind, detail: str) -> None:
        self._observer.note(PipelineEvent(kind, self._pipeline, self._service, detail))
