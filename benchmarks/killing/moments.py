"""The moments of a supervisor's work at which it can be killed: each step of the protocol, from both sides.

Where nothing is done between two steps, what is after one of them is before the other, and one moment stands for both:
also where the second is that an answer is heard: whatever is on its way is there when the next supervisor starts.
"""

import enum
import signal

import msgspec


class Side(enum.Enum):
    """On which side of a step.

    An effect's step is that it is performed; an event's, that the machine takes it in and performs what follows.
    """

    BEFORE = "before"
    AFTER = "after"


class Fate(enum.Enum):
    """What becomes of the cutover under way."""

    NEVER = "never was"
    """Its number is not on disk."""
    ABORTED = "aborted"
    COMMITTED = "committed"
    REVERTED = "reverted"
    """Its first part is committed, and what served before that is committed again under the next number."""
    REVERTED_LATER = "aborted and reverted"
    """So it is, and another number was given and aborted in between."""
    COMMITTED_LAST = "committed in parts"
    """Two parts, each under a number of its own."""

    @property
    def keeps(self) -> bool:
        """Whether what is new serves at the end."""
        return self in (Fate.COMMITTED, Fate.COMMITTED_LAST)


class Moment(msgspec.Struct, frozen=True):
    """One moment, and what the supervisor sends itself then.

    Attributes:
        side: On which side of the step.
        step: What is done or heard: an effect's or event's name, or `write`, `send`, `hear` and what, or what is
            `written`.
        count: At which one of its kind; what workers say is counted once for each worker.
        fate: What is to become of the cutover under way.
        signal: Which signal.
    """

    side: Side
    step: str
    count: int = 1
    fate: Fate = Fate.COMMITTED
    signal: int = signal.SIGKILL

    def __str__(self) -> str:
        return f"{self.side.value} {self.step}" + (f" {self.count}" if self.count > 1 else "")


def _before(step: str, fate: Fate, count: int = 1) -> Moment:
    return Moment(Side.BEFORE, step, count, fate)


def _after(step: str, fate: Fate, count: int = 1) -> Moment:
    return Moment(Side.AFTER, step, count, fate)


def _around(step: str, fate: Fate, count: int = 1) -> tuple[Moment, ...]:
    return _before(step, fate, count), _after(step, fate, count)


def of_swap(workers: int) -> tuple[Moment, ...]:
    """Every step of a swap in so many workers, in order."""
    rehearsed = (_after("Preflight", Fate.ABORTED), _after("PreflightPassed", Fate.ABORTED))
    return (
        *_beginning(*rehearsed),
        _after("send Prepare", Fate.ABORTED),
        _after("hear Prepared", Fate.ABORTED),
        *((_after("hear Prepared", Fate.ABORTED, workers // 2),) if workers > 3 else ()),
        _before("hear Prepared", Fate.ABORTED, workers),
        *_decision(workers),
        _before("hear Drained", Fate.COMMITTED),
        *_around("send Retire", Fate.COMMITTED),
        _after("hear Retired", Fate.COMMITTED),
        *_ending(),
    )


def of_roll(workers: int) -> tuple[Moment, ...]:
    """Every step of a roll of so many workers, in order."""
    return (
        *_beginning(),
        _after("StartZygote", Fate.ABORTED),
        *_around("ZygoteReady", Fate.ABORTED),
        *_around("WorkerForked", Fate.ABORTED),
        _after("WorkerForked", Fate.ABORTED, workers),
        _after("hear Prepared", Fate.ABORTED),
        *((_after("hear Prepared", Fate.ABORTED, workers // 2),) if workers > 3 else ()),
        _before("hear Prepared", Fate.ABORTED, workers),
        _after("send Prepare", Fate.ABORTED),
        _after("hear Prepared", Fate.ABORTED, workers + 1),
        _before("hear Prepared", Fate.ABORTED, 2 * workers),
        *_decision(workers),
        *_around("hear Yielding", Fate.COMMITTED),
        _after("WorkerExited", Fate.COMMITTED),
        _after("WorkerExited", Fate.COMMITTED, workers),
        *_ending(),
    )


MIGRATION = (
    _after("send Migrate", Fate.ABORTED),
    _after("hear Migrated", Fate.ABORTED),
)
"""Steps that a cutover has besides where what all workers share is migrated."""

UNREHEARSED = (_before("PreflightRefused", Fate.ABORTED),)
"""Steps of a cutover whose candidate does not pass its rehearsal, until it retreats."""

UNMIGRATED = (
    _before("hear Refused", Fate.ABORTED),
    _after("send Unmigrate", Fate.ABORTED),
    _before("hear Unmigrated", Fate.ABORTED),
    _before("write Aborted", Fate.ABORTED),
    _before("Aborted written", Fate.ABORTED),
    _after("send Abort", Fate.ABORTED),
)
"""Steps of a swap whose migration fails."""

MOVE = (
    _after("Bind", Fate.ABORTED),
    _after("Bound", Fate.ABORTED),
    _after("Preflight", Fate.ABORTED),
    _after("PreflightPassed", Fate.ABORTED),
    _after("Fork", Fate.ABORTED),
    *MIGRATION,
    _after("Listen", Fate.COMMITTED),
)
"""Steps that a roll to other addresses has besides, which brings plugins that did not serve before and migrate."""

UNMOVED = (
    _before("hear Unmigrated", Fate.ABORTED),
    _before("write Aborted", Fate.ABORTED),
    _after("Signal", Fate.ABORTED),
    _after("StopZygote", Fate.ABORTED),
    _after("Unbind", Fate.ABORTED),
    _before("Aborted written", Fate.ABORTED),
    _after("send Abort", Fate.ABORTED),
    _before("ZygoteLost", Fate.ABORTED),
)
"""Steps of such a roll whose migration fails."""

UNBOUND = (_before("BindRefused", Fate.ABORTED),)
"""Steps of a roll to an address that is in use, until it retreats."""

PARTS = (
    _after("StoreCell", Fate.NEVER),
    _before("Committed written", Fate.REVERTED),
    _after("StoreCell", Fate.REVERTED, 2),
    _before("EpochGiven written", Fate.REVERTED_LATER, 2),
    _before("Committed written", Fate.COMMITTED_LAST, 2),
    _after("StoreCell", Fate.COMMITTED_LAST, 3),
)
"""Steps of a roll in two parts that one of all workers does not have: each part is committed for itself."""

PARTED = _before("write EpochGiven", Fate.REVERTED, 2)
"""Where a supervisor dies, so that the next one has parts to revert."""

WAY_BACK = (
    _before("write Committed", Fate.REVERTED_LATER),
    _before("Committed written", Fate.REVERTED),
    _after("send HandOver", Fate.REVERTED),
)
"""Steps at which the next one dies as well, while it reverts."""

ADOPTION = (
    _before("write TermBegun", Fate.COMMITTED),
    _before("TermBegun written", Fate.COMMITTED),
    _after("TermBegun written", Fate.COMMITTED),
    *_around("AdoptZygote", Fate.COMMITTED),
    *_around("ZygoteReady", Fate.COMMITTED),
    *_around("StoreCell", Fate.COMMITTED),
    *_around("Subscribed", Fate.COMMITTED),
    *_around("hear Hello", Fate.COMMITTED),
    *_around("send Welcome", Fate.COMMITTED),
    _after("hear Hello", Fate.COMMITTED, 2),
)
"""Steps of a start that adopts."""


def _beginning(*rehearsed: Moment) -> tuple[Moment, ...]:
    return (
        _before("Scan", Fate.NEVER),
        _before("write EpochGiven", Fate.NEVER),
        _before("EpochGiven written", Fate.ABORTED),
        *rehearsed,
        *(() if rehearsed else (_before("write PreparingBegun", Fate.ABORTED),)),
        _before("PreparingBegun written", Fate.ABORTED),
    )


def _decision(workers: int) -> tuple[Moment, ...]:
    return (
        _before("write Committed", Fate.ABORTED),
        _before("Committed written", Fate.COMMITTED),
        _after("StoreCell", Fate.COMMITTED),
        _after("send Commit", Fate.COMMITTED),
        _after("hear Activated", Fate.COMMITTED),
        _after("hear Activated", Fate.COMMITTED, workers),
    )


def _ending() -> tuple[Moment, ...]:
    return (
        _before("write Retired", Fate.COMMITTED),
        _before("Retired written", Fate.COMMITTED),
        _after("Retired written", Fate.COMMITTED),
    )
