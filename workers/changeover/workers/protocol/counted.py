"""What workers count of what they serve: numbers that only rise, bounded in size, and added up by name."""

from collections.abc import Iterable
from typing import Any

import msgspec


class HandlerCounts(msgspec.Struct, frozen=True):
    """One handler of one pipeline.

    Attributes:
        timed: Calls that were timed: one request in 64.
        nanoseconds: What those took together, waiting included; of an around handler without what it is around.
        longest: What the longest of them took, nanoseconds.
        answered: Requests that it answered itself, as an inbound handler.
        failed: Calls in which it raised.
    """

    timed: int = 0
    nanoseconds: int = 0
    longest: int = 0
    answered: int = 0
    failed: int = 0


class ServiceCounts(msgspec.Struct, frozen=True):
    """What answers at the end of pipelines.

    Attributes:
        not_ready: Requests that it did not take because it was not ready.
        unready: Workers in which it was not ready when it was asked last.
    """

    not_ready: int = 0
    unready: int = 0


class PipelineCounts(msgspec.Struct, frozen=True):
    """One pipeline, whichever of its versions.

    Attributes:
        routes: Route -> requests that it led here; of a raw protocol its address -> messages.
        responses: Class of the status (`2xx`) -> responses that were begun.
        handlers: By name.
        ends: Of a raw protocol: why the server ended a connection (`malformed message`) -> how many.
    """

    routes: dict[str, int] = {}
    responses: dict[str, int] = {}
    handlers: dict[str, HandlerCounts] = {}
    ends: dict[str, int] = {}

    @property
    def hits(self) -> int:
        """Requests that were led here."""
        return sum(self.routes.values())


class Counts(msgspec.Struct, frozen=True):
    """All that is counted.

    Attributes:
        pipelines: By name.
        services: By name.
        misses: Why no route took a request -> how many.
        handshakes: How the opening of a connection ended -> how many.
        events: Kind of pipeline event -> how many.
    """

    pipelines: dict[str, PipelineCounts] = {}
    services: dict[str, ServiceCounts] = {}
    misses: dict[str, int] = {}
    handshakes: dict[str, int] = {}
    events: dict[str, int] = {}

    @property
    def requests(self) -> int:
        """Requests that came, whether a route took them or not."""
        return sum(self.misses.values()) + sum(pipeline.hits for pipeline in self.pipelines.values())

    def at_rest(self) -> "Counts":
        """What remains of them when their worker is gone: nobody is unready any more."""
        services = {name: msgspec.structs.replace(counts, unready=0) for name, counts in self.services.items()}
        return msgspec.structs.replace(self, services=services)


_NEVER_ADDED = frozenset({"longest"})


def total(counts: Iterable[Counts]) -> Counts:
    """Add up what several workers counted."""
    sum_up = Counts()
    for each in counts:
        sum_up = _added(sum_up, each)
    return sum_up


def _added(first: Any, second: Any) -> Any:
    if isinstance(first, dict):
        both = dict(first)
        for name, value in second.items():
            both[name] = _added(both[name], value) if name in both else value
        return both
    if isinstance(first, msgspec.Struct):
        fields = type(first).__struct_fields__
        return type(first)(**{name: _field(name, getattr(first, name), getattr(second, name)) for name in fields})
    return first + second


def _field(name: str, first: Any, second: Any) -> Any:
    return max(first, second) if name in _NEVER_ADDED else _added(first, second)
