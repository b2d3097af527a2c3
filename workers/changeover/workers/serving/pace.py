"""Whether a client takes what a thread makes for it, where the thread cannot go on without it."""

from collections.abc import Callable
from time import monotonic

WINDOW = 5.0
"""Seconds over which it is seen how much a client takes; as many times less as others wait for all threads in turn."""
SHORTEST = 1.0
"""Seconds that are enough then: an honest client may be silent for as long."""
LEAST = 4096
"""Bytes that it takes in each of them, as it would over a telephone line; slower, it lags behind."""
TOO_LITTLE = f"less than {LEAST // 1024} KiB/s"
LOOK = 0.1
"""Seconds between two looks at it."""


class Pace:
    """What one client takes, from the first measure on.

    Args:
        clock: Seconds that only grow.

    Attributes:
        lags: Whether it took less than `LEAST` by the last measure.
    """

    __slots__ = ("_asked", "_clock", "_since", "_taken", "lags")

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.lags = False
        self._asked = False
        self._clock = clock
        self._since = 0.0
        self._taken: int | None = None

    def asks(self, rounds: int = 0) -> bool:
        """Whether it is to be measured now; it asks once for each measure.

        Args:
            rounds: How often requests that wait would fill all threads.
        """
        window = max(SHORTEST, WINDOW / (1 + rounds))
        if self._asked or (self._taken is not None and self._clock() - self._since < window):
            return False
        self._asked = True
        return True

    def measure(self, acknowledged: Callable[[], int]) -> None:
        """Go on from what the client has by now, if that is asked.

        Args:
            acknowledged: How many bytes that is; dear, so not called where it is not asked.
        """
        if not self._asked:
            return
        now, taken = self._clock(), acknowledged()
        if self._taken is not None:
            self.lags = taken - self._taken < LEAST * (now - self._since)
        self._since, self._taken, self._asked = now, taken, False
