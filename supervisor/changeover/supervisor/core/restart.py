"""When a dead worker's place is filled again: arithmetic on the times of its deaths."""

import enum
from collections.abc import Sequence

from changeover.supervisor.core.policy import Restarts


class Fate(enum.Enum):
    """What becomes of a slot whose worker died."""

    WAITS = "waits"
    """Its next worker comes after a pause."""
    LAST = "last"
    """So it does, although there were too many: no other slot could serve meanwhile."""
    PARKED = "parked"
    """It is tried again after a long pause, while others serve."""


def recent(exits: Sequence[float], now: float, policy: Restarts) -> tuple[float, ...]:
    """Those of `exits` that lie within the period."""
    return tuple(at for at in exits if now - at < policy.period)


def too_often(exits: Sequence[float], now: float, policy: Restarts) -> bool:
    """Whether so many recent exits park the slot."""
    return len(recent(exits, now, policy)) >= policy.intensity


def fate(exits: Sequence[float], now: float, policy: Restarts, *, last: bool) -> Fate:
    """What becomes of a slot; `last`: whether what serves has no other slot that is not parked."""
    if not too_often(exits, now, policy):
        return Fate.WAITS
    return Fate.LAST if last else Fate.PARKED


def pause(exits: Sequence[float], now: float, policy: Restarts) -> float:
    """Seconds before the next worker: none after the first exit, then `delay`, doubling up to `longest`."""
    count = len(recent(exits, now, policy))
    if count <= 1:
        return 0.0
    return min(policy.longest, policy.delay * 2.0 ** (count - 2))


def last_pause(exits: Sequence[float], now: float, policy: Restarts) -> float:
    """Seconds before the next worker of the last slot: as nobody serves, no more than precede parking."""
    return pause(recent(exits, now, policy)[-policy.intensity :], now, policy)
