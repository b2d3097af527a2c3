"""Which requests a route takes, and which of two routes takes one that both could. Pure.

The more specific route wins, compared in this order: the path, longer before shorter, and among equal ones exactly
it before what is below it before both; the host, a whole name before a wildcard of more labels before one of fewer
before any; named methods before any; more header fields before fewer; a connection's label before any. What is left
undecided by that is ambiguous.
"""

import enum
from typing import Self

import msgspec

from changeover.workers.protocol.snapshot import Route

EXACTLY = "="
"""How a path begins that takes nothing but itself."""
BELOW = "/*"
"""How a path ends that takes what is below it, and not itself."""
WILDCARD = "*."
"""How a host begins that takes every name below a domain, and not the domain."""


class PathKind(enum.IntEnum):
    """What a path takes; the more specific is the greater."""

    PREFIX = 0
    """`/api`: itself and everything below it."""
    BELOW = 1
    """`/api/*`: everything below it."""
    EXACT = 2
    """`=/api`: itself."""


class PathPattern(msgspec.Struct, frozen=True):
    """A path as routes name it, in its parts.

    Attributes:
        kind: What it takes.
        literal: The path without a slash at its end, unless that is meant exactly; empty for the root.
    """

    kind: PathKind
    literal: str

    @classmethod
    def read(cls, written: str) -> Self:
        """Take a path apart; `/*` and `/` are the same, everything."""
        if written.startswith(EXACTLY):
            return cls(PathKind.EXACT, written.removeprefix(EXACTLY))
        literal = written.removesuffix(BELOW).rstrip("/")
        return cls(PathKind.BELOW if literal and written.endswith(BELOW) else PathKind.PREFIX, literal)


Specificity = tuple[int, PathKind, int, int, bool, int, bool]


def specificity(route: Route) -> Specificity:
    """How specific a route is: of those that take a request, the one with the greatest value wins."""
    path = PathPattern.read(route.path)
    named, labels = 0, 0
    if route.host:
        named = 1 if route.host.startswith(WILDCARD) else 2
        labels = route.host.count(".")
    asked = bool(route.methods), len(route.headers), bool(route.label)
    return len(path.literal), path.kind, named, labels, *asked


def methods_of(route: Route) -> frozenset[str]:
    """The methods that a route takes, HEAD where it takes GET; empty for every method."""
    methods = frozenset(route.methods)
    return methods | {"HEAD"} if "GET" in methods else methods


def ambiguous(one: Route, other: Route) -> bool:
    """Whether some request could take either route, and neither is more specific."""
    if (one.host, PathPattern.read(one.path)) != (other.host, PathPattern.read(other.path)):
        return False  # of equal length, so none is part of the other
    if specificity(one) != specificity(other) or one.label != other.label:
        return False
    meet = not one.methods or bool(methods_of(one) & methods_of(other))
    wanted = dict(one.headers)
    return meet and all(wanted.get(name, value) == value for name, value in other.headers)
