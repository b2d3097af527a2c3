"""What is counted of one raw protocol at one address, whichever of its versions."""

from time import monotonic_ns

from changeover.workers.message.codec import MalformedMessage
from changeover.workers.protocol.registry import raw_pipeline
from changeover.workers.serving.contract import NotReady
from changeover.workers.serving.counters import Counters
from changeover.workers.serving.failure import is_ending
from changeover.workers.serving.gauge import ReadinessGauge
from changeover.workers.serving.observation import PipelineEvent, PipelineEventKind
from changeover.workers.serving.timing import EVERY

LONGEST_DETAIL = 200
"""Characters of an error that an event has."""


class Meter:
    """Counts the messages of a pipeline, and what its handlers do; times one message, and one flush, in `EVERY`.

    Args:
        initializer: Put the pipeline together, `plugin:initializer`.
        address: Where it is spoken.
        counters: Of the worker.

    Attributes:
        counters: Of the pipeline.
        readiness: Follows the service.
    """

    __slots__ = (
        "_name", "_plugin", "_route", "_until_flush_timed", "_until_timed", "counters", "readiness"
    )  # fmt: skip

    def __init__(self, initializer: str, address: str, counters: Counters) -> None:
        self._name = raw_pipeline(address, initializer)
        self._plugin = initializer.partition(":")[0]
        self.counters = counters.pipeline(self._name)
        self.readiness = ReadinessGauge(counters, self._name, initializer)
        self._route = self.counters.route(address)
        self._until_timed = self._until_flush_timed = 1

    def begin(self) -> bool:
        """A message begins; whether it is timed."""
        self._route.hits += 1
        self._until_timed -= 1
        if self._until_timed:
            return False
        self._until_timed = EVERY
        return True

    def flush(self) -> bool:
        """Outbound handlers are called; whether they are timed."""
        self._until_flush_timed -= 1
        if self._until_flush_timed:
            return False
        self._until_flush_timed = EVERY
        return True

    def took(self, handler: str, began: int) -> None:
        """A call of a handler that is timed is over."""
        self.counters.handler(self._title(handler)).took(monotonic_ns() - began)

    def answered(self, handler: str) -> None:
        """An inbound handler answered in place of what stands behind it."""
        self.counters.handler(self._title(handler)).answered += 1

    def failed(self, handler: str, error: BaseException) -> None:
        """A handler raised; what is no failure (not ready, no message, the end) is passed over."""
        if is_ending(error) or isinstance(error, NotReady | MalformedMessage):
            return
        title = self._title(handler)
        self.counters.handler(title).failed += 1
        detail = f"{type(error).__name__}: {error}"[:LONGEST_DETAIL]
        self.counters.observer.note(PipelineEvent(PipelineEventKind.HANDLER_FAILED, self._name, title, detail))

    def _title(self, handler: str) -> str:
        return f"{self._plugin}:{handler}"
