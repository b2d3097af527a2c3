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
    """

    __slots__ = ("_counter", "_observer", "_pipeline", "_service")

    def __init__(self, counters: Counters, pipeline: str, service: str) -> None:
        self._counter = counters.service(service)
        self._observer = counters.observer
        self._pipeline = pipeline
        self._service = service

    @property
    def unready(self) -> bool:
        """Whether it was not ready when it was asked last."""
        return self._counter.unready

    def refused(self, error: NotReady) -> None:
        """It did not take a request."""
        self._counter.not_ready += 1
        if not self._counter.unready:
            self._counter.unready = True
            self._note(PipelineEventKind.NOT_READY_BEGAN, str(error))

    def ready(self) -> None:
        """It took one again."""
        self._counter.unready = False
        self._note(PipelineEventKind.NOT_READY_ENDED, "")

    def _note(self, kind: PipelineEventKind, detail: str) -> None:
        self._observer.note(PipelineEvent(kind, self._pipeline, self._service, detail))
