"""Counting votes: no state, no identity, only sets of numbers."""

import enum
from collections.abc import Set as AbstractSet


class Verdict(enum.Enum):
    """What the votes amount to."""

    PENDING = "pending"
    """Somebody has not answered."""
    UNANIMOUS = "unanimous"
    """Everybody who lives has prepared."""
    REFUSED = "refused"
    """One "no" is enough."""


def count(voters: AbstractSet[int], prepared: AbstractSet[int], refused: AbstractSet[int]) -> Verdict:
    """Count.

    Args:
        voters: Incarnations that are not confirmed dead.
        prepared: Those that said yes, dead ones included: a dead worker's vote counts for nothing.
        refused: Those that said no; a "no" stays one when its worker dies.
    """
    if refused:
        return Verdict.REFUSED
    return Verdict.UNANIMOUS if voters <= prepared else Verdict.PENDING
