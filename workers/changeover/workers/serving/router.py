"""Leads a request to the pipeline that answers it, and to the unit set that it leases."""

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from changeover.workers.protocol.snapshot import Route
from changeover.workers.serving.contract import Request
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
    """

    route: Route
    pipeline: Pipeline
    unit_set: UnitSet


class Router:
    """An immutable table of routes: a route with a host wins over one without, then the longest path wins.

    Args:
        targets: In any order.

    Attributes:
        targets: All targets, most specific first.
        unit_sets: What their requests lease.
    """

    __slots__ = ("_catch_all", "_hosts", "targets", "unit_sets")

    def __init__(self, targets: Iterable[Target]) -> None:
        self.targets = tuple(sorted(targets, key=_specificity))
        self.unit_sets = frozenset(target.unit_set for target in self.targets)
        self._hosts = any(target.route.host for target in self.targets)
        self._catch_all = self._only()

    def _only(self) -> Target | None:
        if len(self.targets) == 1 and self.targets[0].route.path == "/" and not self._hosts:
            return self.targets[0]
        return None

    def match(self, request: Request) -> Target | Miss:
        """The most specific target whose host and path match, or why there is none."""
        if self._catch_all is not None:
            return self._catch_all
        host = _host_of(request) if self._hosts else ""
        for target in self.targets:
            if target.route.host in ("", host) and covers(target.route.path, request.path):
                return target
        return Miss.NOT_FOUND if self.targets else Miss.EMPTY


def covers(prefix: str, path: str) -> bool:
    """Whether `path` is `prefix` or lies below it, on a boundary between segments."""
    if prefix.endswith("/"):
        return path.startswith(prefix) or path == prefix[:-1]
    return path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in ("", "/")


def _specificity(target: Target) -> tuple[bool, int, str, str]:
    route = target.route
    return (not route.host, -len(route.path.rstrip("/")), route.host, route.path)


def _host_of(request: Request) -> str:
    host = request.headers.get("host", "").lower()
    if host.startswith("["):
        return host[: host.find("]") + 1]
    return host.partition(":")[0]


EMPTY_ROUTER = Router(())
"""Epoch 0: a pipeline of length 0."""
