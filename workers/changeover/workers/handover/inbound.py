"""The law of a handover link at the worker that stays.

A sender that is alive reads a link to its end before it closes it. So when nothing can be said to
it any more, it is gone or has given up what it sent: BEREFT, what is still to be read is ours,
although nobody can be told.
"""

import enum

from changeover.workers.protocol.table import Table


class State(enum.Enum):
    """What is taken."""

    STRANGER = "stranger"
    """Nothing: it has not introduced itself."""
    KNOWN = "known"
    """Connections, as far as credit was given."""
    BEREFT = "bereft"
    """What is still to be read; the sender is gone."""
    CLOSED = "closed"
    """Nothing any more."""


class Cause(enum.Enum):
    """What happens to it."""

    INTRODUCED = "introduced"
    DENIED = "denied"
    """It is of another journal, speaks another version, or broke the rules."""
    GONE = "gone"
    """The sender hears nothing any more."""
    ENDED = "ended"
    """All that the sender ever sent was read."""


TABLE: Table[State, Cause] = Table(
    "inbound",
    State.STRANGER,
    {
        State.STRANGER: {
            Cause.INTRODUCED: State.KNOWN,
            Cause.DENIED: State.CLOSED,
            Cause.GONE: State.BEREFT,
            Cause.ENDED: State.CLOSED,
        },
        State.KNOWN: {Cause.DENIED: State.CLOSED, Cause.GONE: State.BEREFT, Cause.ENDED: State.CLOSED},
        State.BEREFT: {
            Cause.INTRODUCED: State.BEREFT,
            Cause.DENIED: State.CLOSED,
            Cause.GONE: State.BEREFT,
            Cause.ENDED: State.CLOSED,
        },
        State.CLOSED: {},
    },
)
