"""Leads a request to the pipeline that answers it, and to the unit set that it leases."""

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from changeover.workers.protocol.snapshot import Route
from changeover.workers.serving.lease import UnitSet
from changeover.workers.serving.pipeline import Pipeline


class Match(enum.Enum):
    """What the router says of a request."""

    FOUND = "found"
    NOT_FOUND = "not found"
    """No route matches: 404."""
    EMPTY = "empty"
    """There are no routes at all: 503."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a route leads."""

    route: Route
    pipeline: Pipeline
    unit_set: UnitSet


class Router:
    """An immutable table of routes.

    Args:
        targets: In any order; the most specific match wins.
    """

    def __init__(self, targets: Iterable[Target]) -> None:
        self.targets = tuple(targets)
        self.unit_sets = frozenset(target.unit_set for target in self.targets)


EMPTY_ROUTER = Router(())
