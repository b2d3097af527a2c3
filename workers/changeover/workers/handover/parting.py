"""The law of one connection at the worker that leaves.

It begins when nothing of the connection is under way and nothing of it is to be written: from
there on nobody reads it. OFFERED it is sent, and kept here unread until the receiver says that it
is its own. If the receiver goes first, the connection is WAITING again.

Who closes a link before its end was seen gives up what is OFFERED on it: the receiver may have it.
"""

import enum

from changeover.workers.protocol.table import Table


class State(enum.Enum):
    """Whose a connection is."""

    WAITING = "waiting"
    """Ours, for a receiver with credit."""
    OFFERED = "offered"
    """The receiver's as soon as it says so; ours again as soon as it never will."""
    ADOPTED = "adopted"
    """The receiver's."""
    GIVEN_UP = "given up"
    """The receiver's, if it ever comes to it."""
    ENDED = "ended"
    """Nobody's."""


class Cause(enum.Enum):
    """What happens to it."""

    OFFERED = "offered"
    NOT_SENT = "not sent"
    """The system did not take the packet."""
    ADOPTED = "adopted"
    DECLINED = "declined"
    """The receiver could not take it."""
    LINK_ENDED = "link ended"
    """All that the receiver ever said was heard."""
    GIVEN_UP = "given up"
    """The link was closed here, and nobody listens to what the receiver says."""
    OVERDUE = "overdue"
    """Nobody took it in time: it is closed politely."""
    VANISHED = "vanished"
    """It had ended before it was sent."""


TABLE: Table[State, Cause] = Table(
    "parting",
    State.WAITING,
    {
        State.WAITING: {
            Cause.OFFERED: State.OFFERED,
            Cause.OVERDUE: State.ENDED,
            Cause.VANISHED: State.ENDED,
        },
        State.OFFERED: {
            Cause.NOT_SENT: State.WAITING,
            Cause.ADOPTED: State.ADOPTED,
            Cause.DECLINED: State.WAITING,
            Cause.LINK_ENDED: State.WAITING,
            Cause.GIVEN_UP: State.GIVEN_UP,
            Cause.VANISHED: State.ENDED,
        },
        State.ADOPTED: {},
        State.GIVEN_UP: {},
        State.ENDED: {},
    },
)
