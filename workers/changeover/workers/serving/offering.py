"""What plugins offer at extension points here: in the generation that serves, and in one that is being built."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

Extensions = Mapping[str, tuple[object, ...]]
"""Extension point -> what plugins offer there, each after what its plugin requires."""

NONE: Extensions = MappingProxyType({})
"""No plugin offers anything."""


def collected(offers: Iterator[Mapping[str, object]]) -> Extensions:
    """Lay together what plugins offer, in their order."""
    points: dict[str, tuple[object, ...]] = {}
    for each in offers:
        for point, offered in each.items():
            points[point] = (*points.get(point, ()), offered)
    return MappingProxyType(points)


class Candidate:
    """What is ready of a generation that is being built; it holds nothing any more once that has ended.

    Attributes:
        extensions: What its plugins offer so far; None once it is built, or was refused.
    """

    __slots__ = ("extensions",)

    def __init__(self) -> None:
        self.extensions: Extensions | None = NONE

    def add(self, offers: Mapping[str, object]) -> None:
        """A plugin is ready."""
        if offers and self.extensions is not None:
            laid = ({point: each} for point, offered in self.extensions.items() for each in offered)
            self.extensions = collected(iter((*laid, offers)))


current_candidate: ContextVar[Candidate | None] = ContextVar("changeover_candidate", default=None)
"""Set while a generation is built: the hooks that this runs, and whatever they start, see it."""


@contextmanager
def building() -> Iterator[Candidate]:
    """Let the hooks of a candidate see those of its plugins that are ready, until it is built."""
    candidate = Candidate()
    token = current_candidate.set(candidate)
    try:
        yield candidate
    finally:
        candidate.extensions = None
        current_candidate.reset(token)


class Here:
    """Where this process stands.

    Attributes:
        is_worker: Whether generations serve here, or will in the processes that are forked from it.
        serves: What the generation that serves offers; None as long as none does.
        points: Module that is no plugin's -> the extension points that it made.
    """

    __slots__ = ("is_worker", "points", "serves")

    def __init__(self) -> None:
        self.is_worker = False
        self.serves: Extensions | None = None
        self.points: dict[str, set[str]] = {}

    def made(self, point: str, module: str) -> None:
        """A module that all share made an extension point: once, for whoever imports it, first or later."""
        self.points.setdefault(module, set()).add(point)

    def enter(self) -> None:
        """Generations serve here, or will."""
        self.is_worker = True

    def leave(self) -> None:
        """No generation serves here any more."""
        self.is_worker, self.serves = False, None


here = Here()
"""Where this process stands: of a worker there is one to a process."""
