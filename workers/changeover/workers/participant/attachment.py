"""The law of a worker's tie to the supervisor.

Broadcasts may be lost, so a worker that finds a gap in their order, a later term or a commit cell
that it cannot follow says Hello again and is told everything anew. Silence beyond bounds makes it
an orphan: it serves on, goes on asking, and leaves when nobody has come for long enough. A worker
that was never welcomed serves nothing, and leaves at the first silence.
"""

import enum

from changeover.workers.protocol.table import Table


class State(enum.Enum):
    """How things stand with the supervisor."""

    APART = "apart"
    """Never welcomed: broadcasts are kept until the Welcome says which of them matter."""
    ATTACHED = "attached"
    ASKING = "asking"
    """The thread was lost: Hello was said again."""
    ORPHANED = "orphaned"
    """The supervisor was not heard for too long."""
    LEAVING = "leaving"
    """It never came back, or never came."""


class Cause(enum.Enum):
    """What changes that."""

    WELCOMED = "welcomed"
    HEARD = "heard"
    """It speaks again."""
    LOST_THREAD = "lost thread"
    """Something was missed."""
    SILENCE = "silence"
    EXPIRED = "expired"
    """Nobody came for longer than an orphan serves on."""


TABLE: Table[State, Cause] = Table(
    "attachment",
    State.APART,
    {
        State.APART: {Cause.WELCOMED: State.ATTACHED, Cause.SILENCE: State.LEAVING},
        State.ATTACHED: {
            Cause.WELCOMED: State.ATTACHED,
            Cause.LOST_THREAD: State.ASKING,
            Cause.SILENCE: State.ORPHANED,
        },
        State.ASKING: {
            Cause.WELCOMED: State.ATTACHED,
            Cause.SILENCE: State.ORPHANED,
        },
        State.ORPHANED: {
            Cause.HEARD: State.ASKING,
            Cause.EXPIRED: State.LEAVING,
        },
        State.LEAVING: {Cause.WELCOMED: State.LEAVING},
    },
)
