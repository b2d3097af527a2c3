"""Leads a request to the pipeline that answers it, and to the unit set that it leases.

Which route wins is said in `protocol.matching`. A table without wildcards, methods and header fields looks for none
of them, and one route that takes everything is not looked for at all.
"""

import enum
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, final

from changeover.workers.protocol.matching import (
    BELOW,
    EXACTLY,
    WILDCARD,
    PathKind,
    PathPattern,
    Specificity,
    methods_of,
    specificity,
)
from changeover.workers.protocol.snapshot import Route
from changeover.workers.serving.contract import Request
from changeover.workers.serving.counters import RouteCounter
from changeover.workers.serving.handshake import HandshakeOutcome
from changeover.workers.serving.lease import UnitSet
from changeover.workers.serving.message import Headers
from changeover.workers.serving.pipeline import Pipeline


class MatchOutcome(enum.Enum):
    """What comes of looking for a route."""

    MATCHED = "matched"
    NOT_FOUND = "no route matches"
    """404."""
    METHOD_NOT_ALLOWED = "no route takes this method here"
    """405, with the methods that are taken."""
    HOST_UNKNOWN = "no route has this host"
    """421: every route names a host, and none of them this one."""
    EMPTY = "there are no routes"
    """503: before the first commit, or everything was removed."""


class Way(Protocol):
    """On which a request came: its exchange, as far as routes ask for it."""

    @property
    def outcome(self) -> HandshakeOutcome:
        """How the connection came about."""


@final
@dataclass(frozen=True, slots=True)
class Mismatch:
    """No route takes a request.

    Attributes:
        outcome: Why.
        allow: The methods that would have been taken, sorted; empty unless the method is why.
    """

    outcome: MatchOutcome
    allow: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """Where a route leads.

    Attributes:
        outcome: That the route was found.
        route: The route.
        pipeline: What answers.
        unit_set: What a request that takes the route leases.
        mount: The prefix to strip; empty when the route is not mounted.
        counter: Counts the requests that take it.
    """

    outcome: ClassVar[MatchOutcome] = MatchOutcome.MATCHED
    route: Route
    pipeline: Pipeline
    unit_set: UnitSet
    mount: str = field(init=False)
    counter: RouteCounter = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "mount", self.route.path.rstrip("/") if self.route.mounted else "")
        object.__setattr__(self, "counter", self.pipeline.counters.route(str(self.route)))

    def strip(self, request: Request) -> None:
        """Move the mount from the request's path to its root path; does nothing when the route is not mounted."""
        if self.mount:
            request.root_path += self.mount
            request.path = request.path[len(self.mount) :] or "/"


_NOT_FOUND = Mismatch(MatchOutcome.NOT_FOUND)
_HOST_UNKNOWN = Mismatch(MatchOutcome.HOST_UNKNOWN)
_EMPTY = Mismatch(MatchOutcome.EMPTY)


class ApplicationRouter:
    """An immutable table of routes, of which the most specific one takes a request.

    Args:
        targets: In any order.

    Attributes:
        targets: All targets, as given.
        sole: The one that takes every request, where there is no other and it asks for nothing.
        unit_sets: What their requests lease.
    """

    __slots__ = ("_table", "sole", "targets", "unit_sets")

    def __init__(self, targets: Iterable[Target]) -> None:
        self.targets = tuple(targets)
        self.unit_sets = frozenset(target.unit_set for target in self.targets)
        plain = all(_is_plain(target.route) for target in self.targets)
        self._table = _Plain(self.targets) if plain else _Ruled(self.targets)
        alone = self.targets[0] if plain and len(self.targets) == 1 else None
        self.sole = alone if alone and not (alone.route.host or alone.route.path.rstrip("/")) else None

    def match(self, request: Request, way: Way | None = None) -> Target | Mismatch:
        """The most specific target that takes the request, or why there is none.

        Args:
            request: What is asked.
            way: The way on which it came; None where it is not known.
        """
        if self.sole is not None:
            return self.sole
        return self._table.find(request, way) if self.targets else _EMPTY


class _Plain:
    """Routes that differ by path and whole host name only."""

    __slots__ = ("_any_host", "_hosts", "_longest", "_table")

    def __init__(self, targets: Iterable[Target]) -> None:
        self._table = {(target.route.host, target.route.path.rstrip("/")): target for target in targets}
        self._hosts = frozenset(host for host, _ in self._table if host)
        self._any_host = any(not host for host, _ in self._table)
        self._longest = max((len(path) for _, path in self._table), default=0)

    def find(self, request: Request, way: Way | None) -> Target | Mismatch:
        host = _host_of(request) if self._hosts else ""
        for prefix in _prefixes(request.path, self._longest):
            target = self._table.get((host, prefix)) or self._table.get(("", prefix))
            if target is not None:
                return target
        return _NOT_FOUND if self._any_host or host in self._hosts else _HOST_UNKNOWN


class _Rule:
    """What one route asks for beside path and host."""

    __slots__ = ("_fields", "_preflights", "methods", "target")

    def __init__(self, target: Target) -> None:
        self.target = target
        self.methods = methods_of(target.route)
        self._preflights = self.methods if target.pipeline.answers_preflights else frozenset()
        self._fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in target.route.headers]

    def has_fields(self, headers: Headers) -> bool:
        """Whether a request has the fields that are asked for; one that is repeated has its values joined."""
        return all(
            b", ".join([found for name, found in headers.raw if name == wanted]) == value
            for wanted, value in self._fields
        )

    def has_label(self, label: str) -> bool:
        """Whether a connection is called as is asked for."""
        return self.target.route.label in ("", label)

    def takes(self, method: str, preflighted: str) -> bool:
        """Whether the method is one of those that are asked for, or asks in advance for one of them."""
        return not self.methods or method in self.methods or preflighted in self._preflights


class _Ruled:
    """Routes of every kind."""

    __slots__ = ("_hosts", "_labelled", "_longest", "_table", "_wild")

    def __init__(self, targets: Iterable[Target]) -> None:
        table: defaultdict[tuple[str, PathPattern], list[_Rule]] = defaultdict(list)
        for target in sorted(targets, key=_rank, reverse=True):
            table[target.route.host, PathPattern.read(target.route.path)].append(_Rule(target))
        self._table = {(host, path.kind, path.literal): tuple(rules) for (host, path), rules in table.items()}
        self._hosts = frozenset(host for host, _ in table)
        self._wild = any(host.startswith(WILDCARD) for host in self._hosts)
        self._longest = max(len(path.literal) for _, path in table)
        self._labelled = any(rule.target.route.label for rules in table.values() for rule in rules)

    def find(self, request: Request, way: Way | None) -> Target | Mismatch:
        hosts = [host for host in self._hosts_of(request) if host in self._hosts]
        if not hosts:
            return _HOST_UNKNOWN
        allowed: set[str] = set()
        preflighted = _preflighted(request.headers) if request.method == "OPTIONS" else ""
        label = way.outcome.label if self._labelled and way is not None else ""
        for rule in self._rules(request.path, hosts):
            if rule.has_label(label) and rule.has_fields(request.headers):
                if rule.takes(request.method, preflighted):
                    return rule.target
                allowed |= rule.methods
        return Mismatch(MatchOutcome.METHOD_NOT_ALLOWED, tuple(sorted(allowed))) if allowed else _NOT_FOUND

    def _rules(self, path: str, hosts: list[str]) -> Iterator[_Rule]:
        """Every rule whose path and host match, the most specific first."""
        table = self._table
        for prefix in _prefixes(path, self._longest):
            kinds = (PathKind.EXACT, PathKind.PREFIX) if prefix == path else (PathKind.BELOW, PathKind.PREFIX)
            for kind in kinds:
                for host in hosts:
                    yield from table.get((host, kind, prefix), ())

    def _hosts_of(self, request: Request) -> Iterator[str]:
        """How routes can name the host of a request, the most specific first."""
        host = _host_of(request)
        if host:
            yield host
        if self._wild:
            _, dot, domain = host.partition(".")
            while dot:
                yield WILDCARD + domain
                _, dot, domain = domain.partition(".")
        yield ""


def _rank(target: Target) -> tuple[Specificity, bool]:
    """What is tried first; of routes alike the one that names OPTIONS, or it would get no preflights."""
    return specificity(target.route), "OPTIONS" in target.route.methods


def _preflighted(headers: Headers) -> str:
    """The method that a page of another origin asks for in advance; empty when the request is no preflight."""
    return headers.get("access-control-request-method", "") if "origin" in headers else ""


def _is_plain(route: Route) -> bool:
    wild = route.host.startswith(WILDCARD) or route.path.startswith(EXACTLY) or route.path.endswith(BELOW)
    return not (wild or route.methods or route.headers or route.label)


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


EMPTY_ROUTER = ApplicationRouter(())
"""Epoch 0: a pipeline of length 0."""
