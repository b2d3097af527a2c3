"""The order of handlers in a pipeline: phases first, then what handlers say of each other."""

from collections.abc import Iterator, Mapping, Sequence
from graphlib import TopologicalSorter
from itertools import combinations

from changeover.workers.plugins.manifest import Handler, HandlerPhase
from changeover.workers.protocol.snapshot import HandlerRef

_RANK = {phase: rank for rank, phase in enumerate(HandlerPhase)}


def means(word: str, handler: HandlerRef) -> bool:
    """Whether a word in `after` or `before` means a handler: by its full name, its own, or its plugin's."""
    return word in (str(handler), handler.handler, handler.plugin)


def disorder(handlers: Sequence[HandlerRef], declared: Mapping[HandlerRef, Handler]) -> Iterator[tuple[int, str]]:
    """Say where an order contradicts what the handlers declare, or has one of them twice.

    Args:
        handlers: In request order.
        declared: What is known of them; handlers that are not in it are passed over.

    Yields:
        Index of a handler that comes too late or again, and why.
    """
    for later, second in enumerate(handlers):
        for first in handlers[:later]:
            if first == second:
                yield later, f"{second} stands in this pipeline twice"
            elif first in declared and second in declared and (reason := _reason(first, second, declared)):
                yield later, reason


def _reason(first: HandlerRef, second: HandlerRef, declared: Mapping[HandlerRef, Handler]) -> str:
    one, two = declared[first], declared[second]
    late = _precedes(second, first, declared)
    if _RANK[one.phase] > _RANK[two.phase]:
        return f"{second} is of phase {two.phase.value} and must come before {first} of phase {one.phase.value}"
    if late and one.phase is not two.phase:
        word = "after" if any(means(word, second) for word in one.after) else "before"
        who, whom = (first, second) if word == "after" else (second, first)
        return (
            f"{who} declares `{word}` {whom}, but is of phase {declared[who].phase.value} and that one of phase"
            f" {declared[whom].phase.value}: no order has both"
        )
    if late and any(means(word, second) for word in one.after):
        return f"{second} must come before {first}, which declares `after` it"
    if late:
        return f"{second} declares `before` {first}, so it must come first"
    return ""


def unordered(declared: Mapping[HandlerRef, Handler]) -> Iterator[tuple[HandlerRef, HandlerRef]]:
    """Name every pair whose order matters and that nothing orders, where nobody listed the handlers.

    Order matters between two handlers of one phase that see the same way: others never meet.

    Args:
        declared: Handlers that can be `arranged`.
    """
    behind: dict[HandlerRef, set[HandlerRef]] = {}
    for handler in reversed(arranged(declared)):
        followers = {other for other in declared if _precedes(handler, other, declared)}
        behind[handler] = followers.union(*(behind.get(follower, ()) for follower in followers))
    for first, second in combinations(declared, 2):
        meet = (declared[first].phase, declared[first].direction) == (
            declared[second].phase,
            declared[second].direction,
        )
        if meet and second not in behind[first] and first not in behind[second]:
            yield first, second


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
