"""Requests that wait for the cutover that runs, and how they merge into the one that follows."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from changeover.supervisor.core.entries import Origin
from changeover.supervisor.core.outcome import Action, CutoverRequest


@dataclass(frozen=True, slots=True)
class Wish:
    """One request and who waits for it.

    Attributes:
        ticket: The driver's number for it.
        request: What is wanted.
        since: When it was made.
    """

    ticket: int
    request: CutoverRequest
    since: float


def outdated(wish: Wish, epoch: int) -> bool:
    """Whether the wish was made for another epoch than the committed one."""
    return wish.request.if_epoch is not None and wish.request.if_epoch != epoch


def mergeable(first: CutoverRequest, other: CutoverRequest) -> bool:
    """Whether one cutover can answer both: plain reloads, wished for under the same terms."""
    return (
        first.action is other.action is Action.RELOAD
        and not first.dry_run
        and not other.dry_run
        and first.on_silent_workers is other.on_silent_workers
        and first.strategy is other.strategy
        and (first.batch, first.surge, first.allow_partial) == (other.batch, other.surge, other.allow_partial)
        and first.policy == other.policy
        and first.python == other.python
    )


def next_batch(waiting: Sequence[Wish]) -> tuple[Wish, ...]:
    """The first wish, and those after it that the same cutover answers."""
    if not waiting:
        return ()
    first = waiting[0]
    return (first, *(wish for wish in waiting[1:] if mergeable(first.request, wish.request)))


def merged(batch: Sequence[Wish]) -> CutoverRequest:
    """What one cutover does for a whole batch."""
    first = batch[0].request
    requests = [wish.request for wish in batch]
    everything = any(not request.only for request in requests)
    return msgspec.structs.replace(
        first,
        origin=_origin(requests),
        only=() if everything else tuple(sorted({name for request in requests for name in request.only})),
        force=any(request.force for request in requests),
        seen={path: name for request in requests for path, name in request.seen.items()},
    )


def labelled(request: CutoverRequest, label: str) -> CutoverRequest:
    """The same request; one that nobody made is called by what its candidate takes."""
    if not request.seen:
        return request
    return msgspec.structs.replace(request, origin=msgspec.structs.replace(request.origin, label=label))


def _origin(requests: Sequence[CutoverRequest]) -> Origin:
    labels = dict.fromkeys(request.origin.label for request in requests if request.origin.label)
    return msgspec.structs.replace(requests[0].origin, label="; ".join(labels))
