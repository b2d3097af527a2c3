"""The law of a cutover.

A cutover is a two-phase commit in which the supervisor is the coordinator and every worker not
confirmed dead has a vote. What makes it safe is the order of three things: the decision is on
disk, then the commit cell says so, then workers are told. What makes it live is that every state
but IDLE has a deadline, and that nothing waits for a worker beyond its death.

Before DECIDING anything may fail, and then nothing has changed anywhere: every failure is the one
cause FAILED and ends in ABORTING, because a number that was given must get its decision. What was
migrated for it is undone on the way there (UNMIGRATING).

DECIDING is the point of no return. From there the supervisor does not choose any more, it finds
out. The journal answers: COMMITTED. Or it does not (DOUBTED), and then only the journal itself can
tell, read over a fresh connection: it holds a decision, or it holds none (UNDECIDED), and then
`Aborted` is written, which the journal refuses should the first decision surface after all.
A late answer is an answer: COMMITTED is taken in IN_DOUBT and in ABORTING too.

ACTIVATING refuses nobody. A worker that cannot follow is killed, and its slot's next worker starts
on the new epoch.
"""

import enum

from changeover.workers.protocol.messages import Phase
from changeover.workers.protocol.table import Table


class State(enum.Enum):
    """Where a cutover stands."""

    IDLE = "idle"
    """None runs."""
    SCANNING = "scanning"
    """What would be served is being found out; no number is given yet."""
    REGISTERING = "registering"
    """The candidate and its number are being written."""
    PRELOADING = "preloading"
    """A roll's zygote is being made, below which its plugins are rehearsed."""
    PREFLIGHTING = "preflighting"
    """A disposable process rehearses the candidate, a swap beside what serves."""
    OPENING = "opening"
    """That workers may be asked is being written."""
    PREPARING = "preparing"
    """Workers build the candidate aside and vote."""
    AGREEING = "agreeing"
    """A roll's new workers have prepared: those that they replace are asked to hand over."""
    INQUIRING = "inquiring"
    """The deadline passed: those who did not answer are asked for their stacks, or killed, as the policy says."""
    MIGRATING = "migrating"
    """Everybody has prepared: one worker migrates what all share."""
    UNMIGRATING = "unmigrating"
    """The cutover failed after that was asked for: it is being undone."""
    DECIDING = "deciding"
    """Point of no return: the commit is being written."""
    IN_DOUBT = "in doubt"
    """Nobody knows whether a decision is on disk; it is being found out."""
    ACTIVATING = "activating"
    """Committed, on disk and in the cell: workers follow."""
    ABORTING = "aborting"
    """The abort is being written."""


class Cause(enum.Enum):
    """What moves a cutover on."""

    REQUESTED = "requested"
    LEFT_OVER = "left over"
    """The journal holds a number without a decision, from a former supervisor."""
    NO_CANDIDATE = "no candidate"
    """Nothing changed, or what there is cannot be a candidate."""
    CANDIDATE = "candidate"
    GIVEN = "given"
    """The number is on disk, and no rehearsal is wanted."""
    GIVEN_TO_PRELOAD = "given to preload"
    """The number is on disk, and who can rehearse the candidate is to be made first."""
    PRELOADED = "preloaded"
    GIVEN_TO_REHEARSE = "given to rehearse"
    REHEARSED = "rehearsed"
    ZYGOTE_LOST = "zygote lost"
    """Who forked the rehearsal is gone, and the next one is being made."""
    OPENED = "opened"
    STAFFED = "staffed"
    """Every worker of a roll has prepared, and there are others to be replaced."""
    OVERDUE = "overdue"
    NEXT_ASKED = "next asked"
    """Nobody who let the deadline pass owes an answer any more, and those are asked who had to wait for that."""
    UNANIMOUS = "unanimous"
    UNANIMOUS_TO_MIGRATE = "unanimous, to migrate"
    """Everybody who lives has prepared, and something is to be migrated first."""
    MIGRATED = "migrated"
    UNMIGRATED = "unmigrated"
    """What was migrated is as before, or nobody is left who could see to that."""
    FAILED = "failed"
    """A refusal, a death, a deadline, a stop, a journal that did not write."""
    COMMITTED = "committed"
    """The commit is on disk."""
    ABORTED = "aborted"
    """The abort is on disk."""
    DOUBTED = "doubted"
    """Writing a decision failed, or was not answered in time."""
    UNDECIDED = "undecided"
    """A fresh connection found no decision."""
    ALL_FOLLOW = "all follow"
    """Every worker that prepared serves the epoch or is confirmed dead."""


TABLE: Table[State, Cause] = Table(
    "cutover",
    State.IDLE,
    {
        State.IDLE: {
            Cause.REQUESTED: State.SCANNING,
            Cause.LEFT_OVER: State.ABORTING,
        },
        State.SCANNING: {
            Cause.NO_CANDIDATE: State.IDLE,
            Cause.CANDIDATE: State.REGISTERING,
        },
        State.REGISTERING: {
            Cause.GIVEN: State.OPENING,
            Cause.GIVEN_TO_PRELOAD: State.PRELOADING,
            Cause.GIVEN_TO_REHEARSE: State.PREFLIGHTING,
            Cause.FAILED: State.ABORTING,
        },
        State.PRELOADING: {
            Cause.PRELOADED: State.PREFLIGHTING,
            Cause.FAILED: State.ABORTING,
        },
        State.PREFLIGHTING: {
            Cause.REHEARSED: State.OPENING,
            Cause.ZYGOTE_LOST: State.PRELOADING,
            Cause.FAILED: State.ABORTING,
        },
        State.OPENING: {
            Cause.OPENED: State.PREPARING,
            Cause.FAILED: State.ABORTING,
        },
        State.PREPARING: {
            Cause.STAFFED: State.AGREEING,
            Cause.UNANIMOUS: State.DECIDING,
            Cause.UNANIMOUS_TO_MIGRATE: State.MIGRATING,
            Cause.OVERDUE: State.INQUIRING,
            Cause.FAILED: State.ABORTING,
        },
        State.AGREEING: {
            Cause.UNANIMOUS: State.DECIDING,
            Cause.UNANIMOUS_TO_MIGRATE: State.MIGRATING,
            Cause.OVERDUE: State.INQUIRING,
            Cause.FAILED: State.ABORTING,
        },
        State.INQUIRING: {
            Cause.NEXT_ASKED: State.PREPARING,
            Cause.STAFFED: State.AGREEING,
            Cause.UNANIMOUS: State.DECIDING,
            Cause.UNANIMOUS_TO_MIGRATE: State.MIGRATING,
            Cause.FAILED: State.ABORTING,
        },
        State.MIGRATING: {
            Cause.MIGRATED: State.DECIDING,
            Cause.FAILED: State.UNMIGRATING,
        },
        State.UNMIGRATING: {
            Cause.UNMIGRATED: State.ABORTING,
        },
        # ---- point of no return: below, nothing is chosen, only found out ----
        State.DECIDING: {
            Cause.COMMITTED: State.ACTIVATING,
            Cause.DOUBTED: State.IN_DOUBT,
        },
        State.IN_DOUBT: {
            Cause.COMMITTED: State.ACTIVATING,
            Cause.ABORTED: State.IDLE,
            Cause.UNDECIDED: State.ABORTING,
        },
        State.ACTIVATING: {
            Cause.ALL_FOLLOW: State.IDLE,
        },
        State.ABORTING: {
            Cause.ABORTED: State.IDLE,
            Cause.COMMITTED: State.ACTIVATING,
            Cause.DOUBTED: State.IN_DOUBT,
        },
    },
)

RETREATS = frozenset(state for state, causes in TABLE.transitions.items() if Cause.FAILED in causes)
"""States with a number in which a cutover can still fail."""

CANDIDATE_TOLD = frozenset(
    (State.PREPARING, State.AGREEING, State.INQUIRING, State.MIGRATING, State.DECIDING, State.IN_DOUBT)
)
"""States in which a joiner that has a vote is told of the candidate, and answers before it accepts."""

OPEN = frozenset((State.PREPARING, State.AGREEING, State.INQUIRING))
"""States in which votes are taken."""

MIGRATION = frozenset((State.MIGRATING, State.UNMIGRATING))
"""States in which one worker is asked, and the death of any may change whom."""

QUIET = frozenset((State.IDLE, State.SCANNING, State.REGISTERING, State.OPENING))
"""States that are over too soon, or begin too early, to be told as a phase."""

_PHASES = {
    State.PREPARING: Phase.PREPARING,
    State.AGREEING: Phase.PREPARING,
    State.INQUIRING: Phase.PREPARING,
    State.MIGRATING: Phase.PREPARING,
    State.UNMIGRATING: Phase.ABORTING,
    State.DECIDING: Phase.DECIDING,
    State.IN_DOUBT: Phase.DECIDING,
    State.ACTIVATING: Phase.COMMITTED,
    State.ABORTING: Phase.ABORTING,
}


def phase(state: State) -> Phase:
    """What workers are told of `state`."""
    return _PHASES.get(state, Phase.IDLE)
