"""The law of one connection at the worker that stays.

The answer comes first: only when it is on its way is the descriptor registered with the loop, or
closed. When the answer cannot be given, the sender decides by whether it still lives: one that is
gone has left us the connection, one that is not keeps it.
"""

import enum

from changeover.workers.protocol.table import Table


class State(enum.Enum):
    """Whose a connection is."""

    ARRIVED = "arrived"
    """The sender's."""
    ADOPTED = "adopted"
    """Ours."""
    DROPPED = "dropped"
    """The sender's, and our descriptor of it is closed."""


class Cause(enum.Enum):
    """What happens to it."""

    PROMISED = "promised"
    """The sender was told that it is ours."""
    DECLINED = "declined"
    """The sender was told that it is not."""
    INHERITED = "inherited"
    """There is no sender to be told."""
    UNTOLD = "untold"
    """The sender could not be told, and lives."""


TABLE: Table[State, Cause] = Table(
    "adoption",
    State.ARRIVED,
    {
        State.ARRIVED: {
            Cause.PROMISED: State.ADOPTED,
            Cause.INHERITED: State.ADOPTED,
            Cause.DECLINED: State.DROPPED,
            Cause.UNTOLD: State.DROPPED,
        },
        State.ADOPTED: {},
        State.DROPPED: {},
    },
)
