"""Where a candidate is served: at the configuration's addresses, or at those that serve. Pure."""

from collections.abc import Iterable
from typing import Literal

import msgspec

from changeover.supervisor.artifacts.reach import Reach
from changeover.supervisor.artifacts.withheld import WHY
from changeover.supervisor.core.entries import Held, Recovered, Trigger
from changeover.supervisor.core.holding import ADDRESSES, addresses_content
from changeover.supervisor.core.outcome import CutoverRequest, Strategy
from changeover.workers.protocol.snapshot import Snapshot


class Chosen(msgspec.Struct, frozen=True):
    """The addresses of a candidate.

    Attributes:
        listen: As they are configured.
        rolls: Whether they take new processes, which are given other sockets.
        changed: What the configuration says otherwise and is not taken by this request, for people.
        held: What it says otherwise and is not taken because a rollback set it aside, for people.
    """

    listen: tuple[str, ...]
    rolls: bool = False
    changed: tuple[str, ...] = ()
    held: tuple[str, ...] = ()


def choose(
    bind: tuple[str, ...], request: CutoverRequest, reach: Reach, current: Snapshot | None, held: Iterable[Held]
) -> Chosen:
    """Decide.

    Args:
        bind: The configuration's.
        request: What is wanted.
        reach: How far it reaches.
        current: What is committed; None before the first commit.
        held: What rollbacks set aside.
    """
    serving = () if current is None else current.listen
    if not serving or sorted(bind) == sorted(serving):
        return Chosen(bind)
    if is_held(bind, held):
        return Chosen(serving, held=(f"not taken: addresses ({WHY})",))
    if request.origin.trigger is Trigger.BOOT:
        return Chosen(bind)
    if reach.limited or request.strategy is Strategy.SWAP:
        return Chosen(serving, changed=(f"addresses: {difference(serving, bind)} (needs a roll)",))
    return Chosen(bind, rolls=True)


def is_held(bind: Iterable[str], held: Iterable[Held]) -> bool:
    """Whether a rollback set these addresses aside."""
    content = addresses_content(bind)
    return any(each.ref == ADDRESSES and each.content == content for each in held)


def at_start(bind: tuple[str, ...], boot: Literal["auto", "last", "disk"], recovered: Recovered) -> tuple[str, ...]:
    """What a start listens on: the configuration's addresses, unless what serves is not the configuration's either.

    Args:
        bind: The configuration's.
        boot: What a start serves.
        recovered: What the journal says.
    """
    committed = () if recovered.committed is None else recovered.committed.listen
    return committed if committed and (boot == "last" or is_held(bind, recovered.held)) else bind


def difference(old: Iterable[str], new: Iterable[str]) -> str:
    """What is added and what is removed, for people."""
    before, after = tuple(old), tuple(new)
    gone = _without(before, after)
    return ", ".join([*(f"+{each}" for each in _without(after, before)), *(f"-{each}" for each in gone)])


def _without(some: Iterable[str], others: Iterable[str]) -> list[str]:
    """Each of `some` once for every time that it does not stand in `others`."""
    left = list(others)
    found = []
    for each in some:
        if each in left:
            left.remove(each)
        else:
            found.append(each)
    return found
