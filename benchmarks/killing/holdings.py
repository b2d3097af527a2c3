"""What each process of a service at rest holds open, so that one descriptor too many shows whoever has it."""

import contextlib
import time
from collections import Counter
from collections.abc import Iterable, Mapping

from benchmarks.household import descriptors, surplus
from benchmarks.subject import Subject, parent, residents
from benchmarks.zygotes import cohort

OF_A_WORKER = Counter({"pipe": 2, "anon_inode:[pidfd]": 1, "memfd": 1})
"""What a zygote holds for each worker that it forked: their ties to each other, its pidfd, its stacks."""
OF_A_ZYGOTE = Counter({"anon_inode:[pidfd]": 1, "memfd": 1, "socket": 1})
"""What the supervisor holds for each zygote: its pidfd, its stacks, the connection to it."""
CLIENTS = "worker: socket"
"""What goes up and down with the load."""
LOOKS, PAUSE = 50, 0.1
"""Looks, at most, and seconds between two of them."""


def least(subject: Subject, first: dict[str, int]) -> dict[str, int]:
    """The least of each that several looks show: what leaked is in all of them, what is about to be closed is not.

    Args:
        subject: The service, at rest.
        first: What was held at its first rest, empty for that one: once nothing is more, no further look is taken.
    """
    held = holdings(subject)
    for _ in range(LOOKS):
        if first and not surplus(first, held):
            break
        time.sleep(PAUSE)
        held = {what: min(count, held[what]) for what, count in holdings(subject).items() if what in held}
    return held


def holdings(subject: Subject) -> dict[str, int]:
    """The most that a process of each kind holds of its own: kind and name -> how many.

    Left out is what is held for others: a zygote that took the place of a dead one has forked nobody yet, and whether
    one is kept depends on what happened last. So are the connections of clients.
    """
    pids = residents(subject.folder)
    workers, zygotes = frozenset(subject.workers().values()), frozenset(filter(cohort, pids))
    forked = Counter(map(parent, workers))
    found = {
        **_most("supervisor", [of_supervisor(subject)]),
        **_most("zygote", [_without(_while_it_lives(pid), OF_A_WORKER, forked[pid]) for pid in zygotes]),
        **_most("worker", [descriptors(pid) for pid in workers]),
    }
    return {what: count for what, count in found.items() if what != CLIENTS}


def _while_it_lives(zygote: int) -> dict[str, int]:
    """What a zygote holds; nothing when the time of one that is kept is over right now."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return descriptors(zygote)
    return {}


def of_supervisor(subject: Subject) -> dict[str, int]:
    """What the supervisor holds, but for its zygotes: whether one is kept depends on what happened last."""
    zygotes = sum(1 for pid in residents(subject.folder) if cohort(pid))
    return _without(descriptors(subject.pid), OF_A_ZYGOTE, zygotes)


def _without(held: Mapping[str, int], each: Mapping[str, int], count: int) -> dict[str, int]:
    return {what: number - each.get(what, 0) * count for what, number in held.items()}


def _most(kind: str, processes: Iterable[Mapping[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for held in processes:
        for what, number in held.items():
            found[f"{kind}: {what}"] = max(number, found.get(f"{kind}: {what}", 0))
    return found
