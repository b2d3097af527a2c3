"""How late the supervisor's loop is: what blocks it delays signals, heartbeats and commits alike."""

import asyncio
from collections import deque

import msgspec

INTERVAL = 0.25
"""Seconds between two looks."""
RECENT = 60.0
"""Seconds that the latest figure looks back."""


class Lag(msgspec.Struct, frozen=True):
    """Seconds by which a look came late.

    Attributes:
        recent: At most, within the last minute.
        worst: At most, ever.
    """

    recent: float = 0.0
    worst: float = 0.0


class LoopLag:
    """Looks at the clock again and again, from the loop.

    Args:
        loop: Whose lag; it is looked at until `close`.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._latest: deque[float] = deque(maxlen=int(RECENT / INTERVAL))
        self._worst = 0.0
        self._due = 0.0
        self._handle = self._look_again()

    def figure(self) -> Lag:
        """The lag so far; what lasts at the moment is part of it."""
        now = max(0.0, self._loop.time() - self._due)
        return Lag(max((now, *self._latest)), max(now, self._worst))

    def close(self) -> None:
        """Look no more."""
        self._handle.cancel()

    def _look_again(self) -> asyncio.TimerHandle:
        self._due = self._loop.time() + INTERVAL
        return self._loop.call_at(self._due, self._look)

    def _look(self) -> None:
        late = max(0.0, self._loop.time() - self._due)
        self._latest.append(late)
        self._worst = max(self._worst, late)
        self._handle = self._look_again()
