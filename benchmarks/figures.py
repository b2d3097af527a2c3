"""The few sums that verdicts rest on."""

import math
import statistics
from collections.abc import Sequence

import msgspec


class Spread(msgspec.Struct, frozen=True):
    """How a set of values is distributed; the unit is the values'.

    Attributes:
        count: How many values.
        median: Half of them are at most this.
        p99: 99 % of them are at most this.
        p999: 99.9 % of them are at most this.
        worst: The largest.
    """

    count: int
    median: float
    p99: float
    p999: float
    worst: float


def spread(values: Sequence[float]) -> Spread:
    """Describe `values`, of which there is at least one."""
    ordered = sorted(values)
    return Spread(
        count=len(ordered),
        median=statistics.median(ordered),
        p99=quantile(ordered, 0.99),
        p999=quantile(ordered, 0.999),
        worst=ordered[-1],
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest of the sorted values that `share` of all do not exceed (nearest rank)."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def slope(points: Sequence[tuple[float, float]]) -> float:
    """By least squares, how much the second coordinate grows for 1 of the first."""
    return statistics.linear_regression([x for x, _ in points], [y for _, y in points]).slope
