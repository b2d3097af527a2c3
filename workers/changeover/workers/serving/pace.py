"""Whether a client takes anything of what a thread makes for it, where the thread cannot go on without it."""

from collections.abc import Callable
from time import monotonic

WINDOW = 5.0
"""Seconds in which it is to take something; what it takes is heard of in steps, of up to some hundred KiB."""
LOOK = 0.1
"""Seconds between two looks at it."""


class Pace:
    """What one client takes, from now on.

    Args:
        taken: Bytes that it has taken by now.
        clock: Seconds that only grow.
    """

    __slots__ = ("_clock", "_since", "_taken")

    def __init__(self, taken: int, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._since = clock()
        self._taken = taken

    def stands_still(self, taken: int) -> bool:
        """Whether it has taken nothing for a `WINDOW`.

        Args:
            taken: Bytes that it has taken by now.
        """
        if taken != self._taken:
            self._since, self._taken = self._clock(), taken
        return self._clock() - self._since >= WINDOW
