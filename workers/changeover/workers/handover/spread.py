"""When connections end that nobody can take over: one after the other, however many there will be. Pure.

All of them ending at once would have all their clients come back at once. How many there are is not known before the
last one ends by itself, so each gets a moment of its own at once, from its number alone.
"""

GOLDEN = 0.6180339887498949
"""Multiples of it, without their whole part, spread evenly: the next always falls into a largest gap."""
PART = 0.2
"""How much of a deadline the ends after it are spread over."""


def moment(number: int, span: float) -> float:
    """When the connection `number`, counted from 0, ends: seconds from the beginning of `span`, and within it."""
    return number * GOLDEN % 1.0 * span


def window(deadline: float, longest: float, grace: float) -> float:
    """What ends are spread over that begin when a deadline passes: a part of it, or the time that is left at all.

    Args:
        deadline: The class's, seconds.
        longest: The longest deadline of all classes.
        grace: How long the worker is left alone after that.
    """
    return max(0.0, min(PART * deadline, longest + grace / 2 - deadline))
