"""What a client may ask for that gets it nothing. Pure: time comes in.

Every frame that makes work and asks for nothing costs something: pings, settings, priorities,
empty pieces, streams that are opened to be reset. Who spends faster than it comes in is told to
calm down, and the connection ends.
"""

from changeover.workers.http2 import frames
from changeover.workers.http2.faults import Violation
from changeover.workers.http2.frames import Frame

SAVINGS = 1000
"""What a connection may spend at once."""
INCOME = 100
"""What it gets a second."""
RETURN = 2
"""What it gets for each frame of a body that it is sent: a client gives its window back in two frames."""
RESET = 3
"""What it costs to give up a stream."""
REFUSAL = 3
"""What a request costs that cannot be one, or that is one too many."""


class Ledger:
    """What one connection may still spend.

    Args:
        now: Seconds of some clock.
    """

    __slots__ = ("_left", "_since")

    def __init__(self, now: float) -> None:
        self._left = float(SAVINGS)
        self._since = now

    def charge(self, frame: Frame, now: float) -> None:
        """A frame came.

        Raises:
            Violation: It is one too many.
        """
        cost = cost_of(frame)
        if cost:
            self.spend(cost, now)

    def spend(self, cost: int, now: float) -> None:
        """Something was asked for that gets the client nothing.

        Raises:
            Violation: It cannot pay for it.
        """
        self._left = min(SAVINGS, self._left + (now - self._since) * INCOME) - cost
        self._since = now
        if self._left < 0:
            raise Violation(frames.CALM, "too many frames that ask for nothing")

    def earn(self) -> None:
        """It is sent a frame of a body."""
        self._left = min(SAVINGS, self._left + RETURN)


def cost_of(frame: Frame) -> int:
    """What a frame costs; 0 for one that gets the client further."""
    if frame.kind == frames.HEADERS or frame.kind < 0:
        return 0
    if frame.kind == frames.DATA:
        return 0 if frame.length or frame.flags & frames.END_STREAM else 1
    return RESET if frame.kind == frames.RST_STREAM else 1
