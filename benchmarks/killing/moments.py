"""The moments of a supervisor's work at which it can be killed: each step of the protocol, from both sides."""

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
    rehearsed = (*_around("Preflight", Fate.ABORTED), *_around("PreflightPassed", Fate.ABORTED))
    return (
        *_beginning(*rehearsed),
        *_around("send Prepare", Fate.ABORTED),
        *_around("hear Prepared", Fate.ABORTED),
        *((_after("hear Prepared", Fate.ABORTED, workers // 2),) if workers > 3 else ()),
        _before("hear Prepared", Fate.ABORTED, workers),
        *_decision(workers),
        *_around("send Retire", Fate.COMMITTED),
        *_ending(),
    )


def of_roll(workers: int) -> tuple[Moment, ...]:
    """Every step of a roll of so many workers, in order."""
    return (
        *_beginning(),
        *_around("StartZygote", Fate.ABORTED),
        *_around("ZygoteReady", Fate.ABORTED),
        *_around("WorkerForked", Fate.ABORTED),
        _after("WorkerForked", Fate.ABORTED, workers),
        *_around("hear Prepared", Fate.ABORTED),
        *((_after("hear Prepared", Fate.ABORTED, workers // 2),) if workers > 3 else ()),
        _before("hear Prepared", Fate.ABORTED, workers),
        *_around("send Prepare", Fate.ABORTED),
        *_around("hear Prepared", Fate.ABORTED, workers + 1),
        _before("hear Prepared", Fate.ABORTED, 2 * workers),
        *_decision(workers),
        *_around("hear Yielding", Fate.COMMITTED),
        *_around("WorkerExited", Fate.COMMITTED),
        _after("WorkerExited", Fate.COMMITTED, workers),
        *_ending(),
    )


ADOPTION = (
    _before("write TermBegun", Fate.COMMITTED),
    _before("TermBegun written", Fate.COMMITTED),
    _after("TermBegun written", Fate.COMMITTED),
    *_around("AdoptZygote", Fate.COMMITTED),
    *_around("ZygoteReady", Fate.COMMITTED),
    *_around("StoreCell", Fate.COMMITTED),
    *_around("hear Hello", Fate.COMMITTED),
    _after("hear Hello", Fate.COMMITTED, 2),
)
"""Steps of a start that adopts."""


def _beginning(*rehearsed: Moment) -> tuple[Moment, ...]:
    return (
        _before("Scan", Fate.NEVER),
        _before("write EpochGiven", Fate.NEVER),
        _before("EpochGiven written", Fate.ABORTED),
        *rehearsed,
        _before("write PreparingBegun", Fate.ABORTED),
        _before("PreparingBegun written", Fate.ABORTED),
    )


def _decision(workers: int) -> tuple[Moment, ...]:
    return (
        _before("write Committed", Fate.ABORTED),
        _before("Committed written", Fate.COMMITTED),
        *_around("StoreCell", Fate.COMMITTED),
        *_around("send Commit", Fate.COMMITTED),
        *_around("hear Activated", Fate.COMMITTED),
        _after("hear Activated", Fate.COMMITTED, workers),
    )


def _ending() -> tuple[Moment, ...]:
    return (
        _before("write Retired", Fate.COMMITTED),
        _before("Retired written", Fate.COMMITTED),
        _after("Retired written", Fate.COMMITTED),
    )
