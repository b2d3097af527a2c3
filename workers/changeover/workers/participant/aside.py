"""The law of the one place aside, where a generation is built next to the one that serves.

What is built is either a candidate, which nobody has decided on (BUILDING, then PREPARED), or a
generation that is committed already and that this worker has to reach (CATCHING_UP). A commit may
turn the first into the second at any moment, an abort or something newer may empty the place.

ACTIVATING is short: the switch was told to follow. A dispatch may have followed the commit cell
before anybody was told; then FOLLOWED comes while PREPARED, and that is just as well.
"""

import enum

from changeover.workers.protocol.table import Table


class State(enum.Enum):
    """What is aside."""

    EMPTY = "empty"
    BUILDING = "building"
    """A candidate that is not decided."""
    PREPARED = "prepared"
    """The same, built: it can serve from the next request on."""
    CATCHING_UP = "catching up"
    """A committed generation is being built: the worker serves something older, or nothing."""
    ACTIVATING = "activating"
    """Built and committed: the switch follows."""


class Cause(enum.Enum):
    """What happens to it."""

    ASKED = "asked"
    """A candidate is to be prepared."""
    BEHIND = "behind"
    """A committed generation is to be reached."""
    BUILT = "built"
    FAILED = "failed"
    """It could not be built."""
    COMMITTED = "committed"
    DROPPED = "dropped"
    """Aborted, or something newer is wanted in its place."""
    FOLLOWED = "followed"
    """The switch's pointer moved to it."""


TABLE: Table[State, Cause] = Table(
    "aside",
    State.EMPTY,
    {
        State.EMPTY: {Cause.ASKED: State.BUILDING, Cause.BEHIND: State.CATCHING_UP},
        State.BUILDING: {
            Cause.BUILT: State.PREPARED,
            Cause.FAILED: State.EMPTY,
            Cause.COMMITTED: State.CATCHING_UP,
            Cause.DROPPED: State.EMPTY,
        },
        State.PREPARED: {
            Cause.COMMITTED: State.ACTIVATING,
            Cause.DROPPED: State.EMPTY,
            Cause.FOLLOWED: State.EMPTY,
        },
        State.CATCHING_UP: {
            Cause.BUILT: State.ACTIVATING,
            Cause.FAILED: State.EMPTY,
            Cause.COMMITTED: State.CATCHING_UP,
            Cause.DROPPED: State.EMPTY,
        },
        State.ACTIVATING: {Cause.COMMITTED: State.ACTIVATING, Cause.FOLLOWED: State.EMPTY},
    },
)

COMMITTED = frozenset((State.CATCHING_UP, State.ACTIVATING))
"""States in which what is aside is committed."""
