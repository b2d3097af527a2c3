"""The law of a slot and the worker in it.

Forked, greeted and serving are three facts with three causes: a process exists, it has introduced
itself, it serves what is committed. Each step has a deadline (in `children.py` and `joining.py`),
after which the worker is killed. Only an exit that was *told* leaves a slot: a worker that was sent
KILL still counts as alive until its pidfd says otherwise.

A death nobody asked for is FAILED or, too often within a period, FAILED_AGAIN: the first leads to
another worker after a pause, the second parks the slot for much longer, with the reason. The last
slot of what serves is not parked: however often it fails, its next worker comes after a pause.
"""

import enum

from changeover.workers.protocol.table import Table


class State(enum.Enum):
    """What a slot does."""

    VACANT = "vacant"
    """No worker; one is ordered as soon as a zygote takes orders."""
    FORKING = "forking"
    """A worker is ordered; whether it exists is not known yet."""
    BOOTING = "booting"
    """A process exists that has not introduced itself."""
    JOINING = "joining"
    """It introduced itself and builds what is committed."""
    SERVING = "serving"
    STOPPING = "stopping"
    """It was told to leave."""
    KILLING = "killing"
    """It was sent KILL, and is not confirmed dead."""
    BACKOFF = "backoff"
    """Its worker died; the next one comes after a pause."""
    PARKED = "parked"
    """Its workers died again and again; tried again after a long pause."""


class Cause(enum.Enum):
    """What happens to a slot."""

    ORDERED = "ordered"
    ADOPTED = "adopted"
    """A worker of a former supervisor fills it."""
    FORKED = "forked"
    GREETED = "greeted"
    """The worker said Hello."""
    SERVES = "serves"
    """The worker said that it serves the committed epoch."""
    FELL_BEHIND = "fell behind"
    """Another epoch was committed, which the worker has still to build: it came too late to have a vote."""
    DISMISSED = "dismissed"
    """The worker is told to leave."""
    CONDEMNED = "condemned"
    """The worker is sent KILL."""
    LEFT = "left"
    """Gone, and nobody minds."""
    FAILED = "failed"
    """Gone, and it should not be."""
    FAILED_AGAIN = "failed again"
    """Gone, and it should not be, too often."""
    RETRIED = "retried"
    """The pause is over, or the slot is not wanted any more."""


_ALIVE = {
    Cause.DISMISSED: State.STOPPING,
    Cause.CONDEMNED: State.KILLING,
    Cause.FAILED: State.BACKOFF,
    Cause.FAILED_AGAIN: State.PARKED,
}

TABLE: Table[State, Cause] = Table(
    "child",
    State.VACANT,
    {
        State.VACANT: {Cause.ORDERED: State.FORKING, Cause.ADOPTED: State.BOOTING},
        # Hello takes another road than the zygote's answer, and may overtake it.
        State.FORKING: {Cause.FORKED: State.BOOTING, Cause.GREETED: State.JOINING, **_ALIVE},
        State.BOOTING: {Cause.GREETED: State.JOINING, **_ALIVE},
        State.JOINING: {
            Cause.FORKED: State.JOINING,
            Cause.GREETED: State.JOINING,
            Cause.SERVES: State.SERVING,
            **_ALIVE,
        },
        State.SERVING: {
            Cause.FORKED: State.SERVING,
            Cause.GREETED: State.SERVING,
            Cause.SERVES: State.SERVING,
            Cause.FELL_BEHIND: State.JOINING,
            **_ALIVE,
        },
        State.STOPPING: {
            Cause.FORKED: State.STOPPING,
            Cause.GREETED: State.STOPPING,
            Cause.SERVES: State.STOPPING,
            Cause.CONDEMNED: State.KILLING,
            Cause.LEFT: State.VACANT,
        },
        State.KILLING: {
            Cause.FORKED: State.KILLING,
            Cause.GREETED: State.KILLING,
            Cause.SERVES: State.KILLING,
            Cause.LEFT: State.VACANT,
            Cause.FAILED: State.BACKOFF,
            Cause.FAILED_AGAIN: State.PARKED,
        },
        State.BACKOFF: {Cause.RETRIED: State.VACANT},
        State.PARKED: {Cause.RETRIED: State.VACANT},
    },
)

OCCUPIED = frozenset(
    (State.FORKING, State.BOOTING, State.JOINING, State.SERVING, State.STOPPING, State.KILLING),
)
"""States in which the slot's worker is not confirmed dead."""

LEAVING = frozenset((State.STOPPING, State.KILLING))
"""States in which its death is expected."""
