"""For how many workers there is room: each needs a slot number, and there are only so many. Pure."""

from collections.abc import Sequence


def most(free: int, staffs: Sequence[int]) -> int:
    """How many workers each of several staffs can have.

    Args:
        free: Slot numbers that nobody has.
        staffs: How many workers each staff has.
    """
    smallest = sorted(staffs)
    return min((free + sum(smallest[:count])) // count for count in range(1, len(smallest) + 1))
