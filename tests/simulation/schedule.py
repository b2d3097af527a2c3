"""Virtual time: what is due happens, in order of time and then of being wished for."""

import heapq
from collections.abc import Callable

Action = Callable[[], None]


class Agenda:
    """Everything that is going to happen.

    Attributes:
        now: The time, in seconds from the start.
        steps: How much has happened.
    """

    __slots__ = ("_count", "_due", "now", "steps")

    def __init__(self) -> None:
        self.now = 0.0
        self.steps = 0
        self._count = 0
        self._due: list[tuple[float, int, Action]] = []

    def after(self, seconds: float, action: Action) -> None:
        """Let `action` happen in so many seconds."""
        self._count += 1
        heapq.heappush(self._due, (self.now + seconds, self._count, action))

    def step(self, until: float) -> bool:
        """Let the next thing happen; False when none is due by `until`, which it is then."""
        if not self._due or self._due[0][0] > until:
            self.now = until
            return False
        self.now, _, action = heapq.heappop(self._due)
        self.steps += 1
        action()
        return True
