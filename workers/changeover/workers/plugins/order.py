"""The order of handlers in a pipeline: phases first, then what handlers say of each other."""

from collections.abc import Iterator, Mapping, Sequence
from graphlib import TopologicalSorter

from changeover.workers.plugins.manifest import Handler, HandlerPhase
from changeover.workers.protocol.snapshot import HandlerRef

_RANK = {phase: rank for rank, phase in enumerate(HandlerPhase)}


def means(word: str, handler: HandlerRef) -> bool:
    """Whether a word in `after` or `before` means a handler: by its full name, its own, or its plugin's."""
    return word in (str(handler), handler.handler, handler.plugin)


def disorder(handlers: Sequence[HandlerRef], declared: Mapping[HandlerRef, Handler]) -> Iterator[tuple[int, str]]:
    """Say where an order contradicts what the handlers declare.

    Args:
        handlers: In request order.
        declared: What their manifests say; handlers that are not in it are passed over.

    Yields:
        Index of a handler that comes too late, and why.
    """
    for later, second in enumerate(handlers):
        for first in handlers[:later]:
            if first in declared and second in declared and (reason := _reason(first, second, declared)):
                yield later, reason


def _reason(first: HandlerRef, second: HandlerRef, declared: Mapping[HandlerRef, Handler]) -> str:
    one, two = declared[first], declared[second]
    if _RANK[one.phase] > _RANK[two.phase]:
        return f"{second} is of phase {two.phase.value} and must come before {first} of phase {one.phase.value}"
    if one.phase is two.phase and any(means(word, second) for word in one.after):
        return f"{second} must come before {first}, which declares `after` it"
    if one.phase is two.phase and any(means(word, first) for word in two.before):
        return f"{second} declares `before` {first}, so it must come first"
    return ""


def arranged(declared: Mapping[HandlerRef, Handler]) -> tuple[HandlerRef, ...]:
    """Order handlers as they declare, else as they are given.

    Raises:
        graphlib.CycleError: What they declare contradicts itself.
    """
    place = {handler: index for index, handler in enumerate(declared)}
    result: list[HandlerRef] = []
    for phase in HandlerPhase:
        members = [handler for handler in declared if declared[handler].phase is phase]
        sorter: TopologicalSorter[HandlerRef] = TopologicalSorter()
        for second in members:
            sorter.add(second, *(first for first in members if _precedes(first, second, declared)))
        sorter.prepare()
        while sorter.is_active():
            ready = sorted(sorter.get_ready(), key=place.__getitem__)
            result += ready
            sorter.done(*ready)
    return tuple(result)


def _precedes(first: HandlerRef, second: HandlerRef, declared: Mapping[HandlerRef, Handler]) -> bool:
    after, before = declared[second].after, declared[first].before
    return first != second and (
        any(means(word, first) for word in after) or any(means(word, second) for word in before)
    )
