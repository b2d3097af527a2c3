"""The law of a handover link at the worker that leaves.

RESTING is a pause after something did not get through: the system is out of room for packets or
descriptors, or the receiver is. What the receiver adopts ends it, because then something moves.
"""

import enum

from changeover.workers.protocol.table import Table


class State(enum.Enum):
    """What may be sent."""

    CONNECTED = "connected"
    """Introduced, and not welcomed yet."""
    OPEN = "open"
    """Connections, as far as there is credit."""
    RESTING = "resting"
    """Nothing, for a moment."""
    LOST = "lost"
    """Nothing any more."""


class Cause(enum.Enum):
    """What happens to it."""

    WELCOMED = "welcomed"
    HINDERED = "hindered"
    """Something did not get through."""
    RESTED = "rested"
    """The pause is over."""
    ENDED = "ended"
    """Closed by either end."""


TABLE: Table[State, Cause] = Table(
    "outbound",
    State.CONNECTED,
    {
        State.CONNECTED: {Cause.WELCOMED: State.OPEN, Cause.ENDED: State.LOST},
        State.OPEN: {Cause.HINDERED: State.RESTING, Cause.ENDED: State.LOST},
        State.RESTING: {Cause.HINDERED: State.RESTING, Cause.RESTED: State.OPEN, Cause.ENDED: State.LOST},
        State.LOST: {},
    },
)

REACHED = frozenset((State.OPEN, State.RESTING))
"""States in which the receiver is there and knows who sends."""
