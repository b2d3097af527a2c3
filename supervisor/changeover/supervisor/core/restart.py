"""When a dead worker's place is filled again: arithmetic on the times of its deaths."""

from collections.abc import Sequence

from changeover.supervisor.core.policy import Restarts


def recent(exits: Sequence[float], now: float, policy: Restarts) -> tuple[float, ...]:
    """Those of `exits` that lie within the period."""
    return tuple(at for at in exits if now - at < policy.period)


def too_often(exits: Sequence[float], now: float, policy: Restarts) -> bool:
    """Whether so many recent exits park the slot."""
    return len(recent(exits, now, policy)) >= policy.intensity


def pause(exits: Sequence[float], now: float, policy: Restarts) -> float:
    """Seconds before the next worker: none after the first exit, then `delay`, doubling up to `longest`."""
    count = len(recent(exits, now, policy))
    if count <= 1:
        return 0.0
    return min(policy.longest, policy.delay * 2.0 ** (count - 2))
