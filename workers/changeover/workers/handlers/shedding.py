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
    """One goes through in each time of rest, until one of them decides."""


class Way(enum.Enum):
    """What becomes of one request."""

    THROUGH = "through"
    PROBE = "probe"
    """It goes through, and what comes of it decides."""
    AWAY = "away"


class Outcome(enum.Enum):
    """What became of a request that went through."""

    ANSWERED = "answered"
    """What is behind took it, and be it with an error."""
    REFUSED = "refused"
    """What is behind was not ready for it."""
    UNKNOWN = "unknown"
    """It ended for a reason of its own, which says nothing of what is behind."""


class Strain(enum.Enum):
    """What a request that is under way may have to wait for."""

    CLIENT = "its client, to take the response"
    THREAD = "a thread, to be begun"


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
        self._bounds = {Strain.CLIENT: settings.clogged, Strain.THREAD: settings.waiting}
        self._strained = dict.fromkeys(Strain, 0)
        self._rested = 0.0

    def way(self, now: float) -> Way:
        """What becomes of a request that comes now; of one that goes through it must be said how it `ended`."""
        if self.state is Shed.PASSING:
            return Way.THROUGH
        if now < self._rested:
            return Way.AWAY
        if self._is_strained():
            self._shed(now)
            return Way.AWAY
        self.state = Shed.PROBING
        self._rested = now + self._settings.rest  # where nothing is heard of this one by then, another may decide
        return Way.PROBE

    def ended(self, way: Way, outcome: Outcome, now: float) -> None:
        """A request that went through is answered, or over."""
        if self.state is Shed.PROBING and way is Way.PROBE:
            self._decide(outcome, now)
        elif self.state is Shed.PASSING and outcome is Outcome.REFUSED and self._settings.not_ready:
            self._refusals.append(now)
            while self._refusals[0] <= now - self._settings.window:
                self._refusals.popleft()
            if len(self._refusals) >= self._settings.not_ready:
                self._shed(now)

    def strain(self, strain: Strain, now: float) -> None:
        """One more request has to wait."""
        self._strained[strain] += 1
        if self.state is Shed.PASSING and self._is_strained():
            self._shed(now)

    def ease(self, strain: Strain) -> None:
        """It waits no more, or is gone."""
        self._strained[strain] -= 1

    def _decide(self, outcome: Outcome, now: float) -> None:
        if outcome is Outcome.REFUSED:
            self._shed(now)
        elif outcome is Outcome.ANSWERED:
            self.state = Shed.PASSING
        else:
            self._rested = now

    def _is_strained(self) -> bool:
        return any(bound and self._strained[strain] >= bound for strain, bound in self._bounds.items())

    def _shed(self, now: float) -> None:
        self.state = Shed.SHEDDING
        self._rested = now + self._settings.rest
        self._refusals.clear()
