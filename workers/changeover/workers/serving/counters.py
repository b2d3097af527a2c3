"""Counters that requests pass: plain numbers of one worker, kept by name through all generations.

A name that is new when `MOST_NAMES` are known is counted with all others like it, under `OTHERS`.
"""

from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from changeover.workers.protocol.counted import Counts, HandlerCounts, PipelineCounts, ServiceCounts
from changeover.workers.serving.observation import NOBODY, Observer

MOST_NAMES = 2000
"""Most names of pipelines, routes, handlers, services and outcomes together: what a worker reports is bounded."""
OTHERS = "(others)"
CLASSES = 10
"""Classes of status codes: the hundreds."""

T = TypeVar("T")


class RouteCounter:
    """Requests that one route led to its pipeline."""

    __slots__ = ("hits",)

    def __init__(self) -> None:
        self.hits = 0


class HandlerCounter:
    """One handler in one pipeline; fields as in `HandlerCounts`."""

    __slots__ = ("answered", "failed", "longest", "nanoseconds", "timed")

    def __init__(self) -> None:
        self.timed = self.nanoseconds = self.longest = self.answered = self.failed = 0

    def took(self, nanoseconds: int) -> None:
        """A call was timed."""
        self.timed += 1
        self.nanoseconds += nanoseconds
        if nanoseconds > self.longest:
            self.longest = nanoseconds

    def counts(self) -> HandlerCounts:
        """What they are now."""
        return HandlerCounts(self.timed, self.nanoseconds, self.longest, self.answered, self.failed)


class ServiceCounter:
    """What answers.

    Attributes:
        not_ready: Requests that it did not take.
        unready: Whether it was not ready when it was asked last.
    """

    __slots__ = ("not_ready", "unready")

    def __init__(self) -> None:
        self.not_ready = 0
        self.unready = False

    def counts(self) -> ServiceCounts:
        """What they are now."""
        return ServiceCounts(self.not_ready, int(self.unready))


class Names:
    """How many names there may still be."""

    __slots__ = ("left",)

    def __init__(self, most: int = MOST_NAMES) -> None:
        self.left = most

    def find(self, table: dict[str, T], name: str, make: Callable[[], T]) -> T:
        """The entry of that name, made when it is new; that of all others when there is no room."""
        if name not in table:
            if self.left > 0:
                self.left -= 1
            else:
                name = OTHERS
            table.setdefault(name, make())
        return table[name]

    def add(self, table: Counter[str], name: str) -> None:
        """Count one more of that name."""
        if name not in table:
            if self.left > 0:
                self.left -= 1
            else:
                name = OTHERS
        table[name] += 1


class PipelineCounters:
    """One pipeline, whichever of its versions.

    Attributes:
        responses: Responses begun, by the hundreds of their status.
        ends: Of a raw protocol: connections that the server ended, by the reason.
        observer: Hears of what happens in it.
    """

    __slots__ = ("_handlers", "_names", "_routes", "_told", "ends", "observer", "responses")

    def __init__(self, names: Names | None = None, observer: Observer = NOBODY) -> None:
        self.observer = observer
        self._names = names or Names()
        self._routes: dict[str, RouteCounter] = {}
        self._handlers: dict[str, HandlerCounter] = {}
        self.responses = [0] * CLASSES
        self._told = [0] * CLASSES
        self.ends: Counter[str] = Counter()

    def route(self, title: str) -> RouteCounter:
        """The counter of one of its routes."""
        return self._names.find(self._routes, title, RouteCounter)

    def handler(self, name: str) -> HandlerCounter:
        """The counter of one of its handlers."""
        return self._names.find(self._handlers, name, HandlerCounter)

    @property
    def hits(self) -> int:
        """Requests that were led here."""
        return sum(route.hits for route in self._routes.values())

    def replaced(self, begun: int, instead: int) -> None:
        """A response that was counted as begun was replaced by another; a number that was told does not get smaller."""
        if self.responses[begun // 100] > self._told[begun // 100]:
            self.responses[begun // 100] -= 1
        self.responses[instead // 100] += 1

    def counts(self) -> PipelineCounts:
        """What they are now."""
        self._told = list(self.responses)
        return PipelineCounts(
            {title: route.hits for title, route in self._routes.items()},
            {f"{hundreds}xx": count for hundreds, count in enumerate(self.responses) if count},
            {name: handler.counts() for name, handler in self._handlers.items()},
            dict(self.ends),
        )


class Counters:
    """All counters of a worker.

    Args:
        observer: Hears of what happens in pipelines.
        most_names: How many names are counted each on its own.

    Attributes:
        observer: Hears of what happens in pipelines.
    """

    __slots__ = ("_events", "_handshakes", "_misses", "_names", "_pipelines", "_services", "observer")

    def __init__(self, observer: Observer = NOBODY, most_names: int = MOST_NAMES) -> None:
        self.observer = observer
        self._names = Names(most_names)
        self._pipelines: dict[str, PipelineCounters] = {}
        self._services: dict[str, ServiceCounter] = {}
        self._misses: Counter[str] = Counter()
        self._handshakes: Counter[str] = Counter()
        self._events: Counter[str] = Counter()

    def pipeline(self, name: str) -> PipelineCounters:
        """The counters of one pipeline."""
        return self._names.find(self._pipelines, name, lambda: PipelineCounters(self._names, self.observer))

    def service(self, name: str) -> ServiceCounter:
        """The counters of what answers under that name."""
        return self._names.find(self._services, name, ServiceCounter)

    def note_miss(self, outcome: str) -> None:
        """No route took a request."""
        self._names.add(self._misses, outcome)

    def note_handshake(self, outcome: str) -> None:
        """The opening of a connection ended so, well or not."""
        self._names.add(self._handshakes, outcome)

    def note_event(self, kind: str) -> None:
        """A pipeline event of that kind was noted."""
        self._events[kind] += 1

    @property
    def requests(self) -> int:
        """Requests that came, whether a route took them or not."""
        return sum(self._misses.values()) + sum(pipeline.hits for pipeline in self._pipelines.values())

    def counts(self) -> Counts:
        """What they are now."""
        return Counts(
            {name: pipeline.counts() for name, pipeline in self._pipelines.items()},
            {name: service.counts() for name, service in self._services.items()},
            dict(self._misses),
            dict(self._handshakes),
            dict(self._events),
        )
