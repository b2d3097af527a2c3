"""When a `load-shed` handler turns requests away. Pure: what happens comes in, with the time; what to do comes out."""

import enum
from collections import deque

from changeover.workers.handlers.settings import LoadShed


class Shed(enum.Enum):
    """What it does with requests."""

    PASSING = "passing"
    """All go through."""
    SHEDDING = "shedding"
    """None goes through, until it has rested."""
    PROBING = "probing"
    """One is on its way, and decides."""


class Way(enum.Enum):
    """What becomes of one request."""

    THROUGH = "through"
    PROBE = "probe"
    """It goes through, and what comes of it decides."""
    AWAY = "away"


class Shedding:
    """Counts what goes wrong behind a handler.

    Args:
        settings: As configured.

    Attributes:
        state: What it does with requests.
    """

    def __init__(self, settings: LoadShed) -> None:
        self.state = Shed.PASSING
        self._settings = settings
        self._refusals: deque[float] = deque()
        self._clogged = 0
        self._rested = 0.0

    def way(self, now: float) -> Way:
        """What becomes of a request that comes now; a probe must be `settle`d."""
        if self.state is Shed.PASSING:
            return Way.THROUGH
        if self.state is Shed.PROBING or now < self._rested:
            return Way.AWAY
        if self._is_clogged():
            self._shed(now)
            return Way.AWAY
        self.state = Shed.PROBING
        return Way.PROBE

    def refused(self, way: Way, now: float) -> None:
        """What is behind was not ready for a request."""
        if way is Way.PROBE:
            self._shed(now)
        elif self._settings.not_ready and self.state is Shed.PASSING:
            self._refusals.append(now)
            while self._refusals[0] <= now - self._settings.window:
                self._refusals.popleft()
            if len(self._refusals) >= self._settings.not_ready:
                self._shed(now)

    def settle(self, way: Way, *, answered: bool) -> None:
        """A request is over that was not refused; a probe that was not answered leaves the decision to the next one."""
        if way is Way.PROBE and self.state is Shed.PROBING:
            self.state = Shed.PASSING if answered else Shed.SHEDDING

    def clog(self, now: float) -> None:
        """A client does not take its response."""
        self._clogged += 1
        if self.state is Shed.PASSING and self._is_clogged():
            self._shed(now)

    def unclog(self) -> None:
        """It has caught up, or is gone."""
        self._clogged -= 1

    def _is_clogged(self) -> bool:
        return bool(self._settings.clogged) and self._clogged >= self._settings.clogged

    def _shed(self, now: float) -> None:
        self.state = Shed.SHEDDING
        self._rested = now + self._settings.rest
        self._refusals.clear()
