"""Leads a request to the pipeline that answers it, and to the unit set that it leases."""

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from changeover.workers.protocol.snapshot import Route
from changeover.workers.serving.contract import Request
from changeover.workers.serving.counters import RouteCounter
from changeover.workers.serving.lease import UnitSet
from changeover.workers.serving.pipeline import Pipeline


class Miss(enum.Enum):
    """Why no route takes a request."""

    NOT_FOUND = "no route matches"
    """404."""
    EMPTY = "there are no routes"
    """503: before the first commit, or everything was removed."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a route leads.

    Attributes:
        route: The route.
        pipeline: What answers.
        unit_set: What a request that takes the route leases.
        mount: The prefix to strip; empty when the route is not mounted.
        counter: Counts the requests that take it.
    """

    route: Route
    pipeline: Pipeline
    unit_set: UnitSet
    mount: str = field(init=False)
    counter: RouteCounter = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "mount", self.route.path.rstrip("/") if self.route.mounted else "")
        object.__setattr__(self, "counter", self.pipeline.counters.route(f"{self.route.host}{self.route.path}"))

    def strip(self, request: Request) -> None:
        """Move the mount from the request's path to its root path; does nothing when the route is not mounted."""
        if self.mount:
            request.root_path += self.mount
            request.path = request.path[len(self.mount) :] or "/"


class Router:
    """An immutable table of routes: the longest path wins, and among equal paths one with the request's host.

    Args:
        targets: In any order.

    Attributes:
        targets: All targets, as given.
        unit_sets: What their requests lease.
    """

    __slots__ = ("_catch_all", "_has_hosts", "_longest", "_table", "targets", "unit_sets")

    def __init__(self, targets: Iterable[Target]) -> None:
        self.targets = tuple(targets)
        self.unit_sets = frozenset(target.unit_set for target in self.targets)
        self._table = {(target.route.host, target.route.path.rstrip("/")): target for target in self.targets}
        self._has_hosts = any(host for host, _ in self._table)
        self._longest = max((len(path) for _, path in self._table), default=0)
        self._catch_all = self._table.get(("", "")) if len(self._table) == 1 else None

    def match(self, request: Request) -> Target | Miss:
        """The most specific target whose host and path match, or why there is none."""
        if self._catch_all is not None:
            return self._catch_all
        host = _host_of(request) if self._has_hosts else ""
        for prefix in _prefixes(request.path, self._longest):
            target = self._table.get((host, prefix)) or self._table.get(("", prefix))
            if target is not None:
                return target
        return Miss.NOT_FOUND if self.targets else Miss.EMPTY


def _prefixes(path: str, longest: int) -> Iterator[str]:
    """Every part of `path` up to a segment boundary, not longer than `longest`, longest first; `/` reads as ``."""
    end = len(path) if len(path) <= longest else path.rfind("/", 0, longest + 1)
    while end > 0:
        yield path[:end]
        end = path.rfind("/", 0, end)
    yield ""


def _host_of(request: Request) -> str:
    host = request.headers.get("host", "").lower()
    if host.startswith("["):
        return host[: host.find("]") + 1]
    return host.partition(":")[0]


EMPTY_ROUTER = Router(())
"""Epoch 0: a pipeline of length 0."""
