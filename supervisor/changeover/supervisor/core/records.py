"""What operators hear of: one typed record per fact.

One subscriber words them, another counts them, a third streams them. All times are seconds on
the monotonic clock unless said otherwise; `slot`, `pid` and `incarnation` always name one worker.
"""

from changeover.supervisor.core.entries import Origin, SlotRefusal
from changeover.supervisor.core.outcome import Action, ExtraMemory, Strategy
from changeover.supervisor.core.record import EpochRecord, Record, WorkerRecord
from changeover.workers.protocol.messages import LeaseView
from changeover.workers.protocol.refusal import Refusal
from changeover.workers.protocol.snapshot import UnitKey


class TermBegan(Record, frozen=True):
    """The supervisor works under `term`; `committed` is what the journal says is authoritative."""

    term: int
    committed: int


class ReadOnly(Record, frozen=True):
    """The journal cannot be written: workers are supervised, cutovers are refused. Needs somebody."""

    reason: str


class EpochRaised(EpochRecord, frozen=True):
    """A worker knew an epoch that the journal does not: the next one is given above `epoch`."""


class CutoverBegan(EpochRecord, frozen=True):
    """A candidate has its number.

    Attributes:
        origin: Who asked for it.
        summary: What it changes.
        previous: The epoch that serves.
        workers: How many workers are to serve it.
        strategy: Whether workers swap, or new ones roll into their places.
        memory: What a roll needs beside what is there; null for a swap.
    """

    origin: Origin
    summary: tuple[str, ...]
    previous: int
    workers: int
    strategy: Strategy = Strategy.SWAP
    memory: ExtraMemory | None = None


class PhaseBegan(EpochRecord, frozen=True):
    """The cutover entered `phase`: any but idle, scanning, registering and opening."""

    phase: str


class WorkerPrepared(WorkerRecord, frozen=True):
    """A worker can serve `epoch`; `took` seconds by its own clock."""

    epoch: int
    took: float


class WorkerAgreed(WorkerRecord, frozen=True):
    """A worker can hand over to those of a roll to `epoch`."""

    epoch: int


class WorkerTired(WorkerRecord, frozen=True):
    """A worker did all it may do (`[recycle]`): another one is made that serves first."""

    reason: str


class WorkerYields(WorkerRecord, frozen=True):
    """A worker begins no request any more and passes its connections on; then it leaves."""


class WorkerRefused(WorkerRecord, frozen=True):
    """A worker cannot serve `epoch`, or could not speak."""

    epoch: int
    refusal: Refusal


class WorkerActivated(WorkerRecord, frozen=True):
    """A worker dispatches to `epoch` since `at` (CLOCK_MONOTONIC, nanoseconds; 0 when only a heartbeat said so)."""

    epoch: int
    at: int


class CommitDecided(EpochRecord, frozen=True):
    """`epoch` is on disk as committed and stored into the commit cell: there is no way back but a new epoch."""

    previous: int


class CutoverCompleted(EpochRecord, frozen=True):
    """Every worker not confirmed dead serves `epoch`.

    Attributes:
        previous: The epoch before.
        origin: Who asked.
        workers: How many serve it.
        summary: What changed.
        prepare: Seconds from the first Prepare to the last answer.
        commit: Seconds from the commit to the last Activated.
        total: Seconds from the request.
        restores: The epoch whose content came back, for a rollback.
    """

    previous: int
    origin: Origin
    workers: int
    summary: tuple[str, ...]
    prepare: float
    commit: float
    total: float
    restores: int | None = None


class CutoverAborted(EpochRecord, frozen=True):
    """`epoch` was not committed and never will be; nothing changed anywhere.

    Attributes:
        reason: One line.
        refusals: Every "no", with its traceback.
        origin: Who asked; None when a former supervisor left it behind.
        serving: The epoch that serves on.
    """

    reason: str
    refusals: tuple[SlotRefusal, ...]
    origin: Origin | None
    serving: int


class RequestRefused(Record, frozen=True):
    """A cutover was asked for and ended before it had a number.

    Attributes:
        origin: Who asked.
        reason: One line.
        refusals: Every "no".
        summary: What would have changed, and what lies on disk and was not taken.
    """

    origin: Origin
    reason: str
    refusals: tuple[SlotRefusal, ...] = ()
    summary: tuple[str, ...] = ()


class NothingChanged(Record, frozen=True):
    """A cutover was asked for, and what it would bring is what is served.

    Attributes:
        origin: Who asked.
        serving: The epoch that serves.
        notes: What lies on disk and was not taken.
        action: Where the content would have come from.
    """

    origin: Origin
    serving: int
    notes: tuple[str, ...] = ()
    action: Action = Action.RELOAD


class RollNeeded(Record, frozen=True):
    """A cutover was asked for that only new processes can serve."""

    origin: Origin
    changed: tuple[str, ...]


class ChangePlanned(Record, frozen=True):
    """Somebody asked what a cutover would change; nothing did."""

    origin: Origin
    serving: int
    summary: tuple[str, ...]


class InDoubt(EpochRecord, frozen=True):
    """Nobody knows whether the decision on `epoch` is on disk: no other is made until that is settled."""

    reason: str


class DoubtSettled(EpochRecord, frozen=True):
    """The decision on `epoch` is known again."""

    committed: bool


class JournalUnwritable(Record, frozen=True):
    """An entry that is no decision could not be written; it is tried again."""

    entry: str
    reason: str


class WorkerForked(WorkerRecord, frozen=True):
    """A worker process exists."""


class WorkerAdopted(WorkerRecord, frozen=True):
    """A worker that a former supervisor had forked is ours; it serves `epoch`."""

    epoch: int


class WorkerServing(WorkerRecord, frozen=True):
    """A new worker serves `epoch` and accepts connections."""

    epoch: int


class WorkerStopping(WorkerRecord, frozen=True):
    """A worker was told to leave."""

    reason: str


class WorkerKilled(WorkerRecord, frozen=True):
    """A worker is killed, because it could not do what it had to.

    Attributes:
        reason: What it could not do.
        stacks: What all its threads were doing; empty when that could not be had.
    """

    reason: str
    stacks: str = ""


class WorkerExited(WorkerRecord, frozen=True):
    """A worker is confirmed dead.

    Attributes:
        status: Exit status, negative for a signal's number; None when unknown.
        expected: Whether it had been told to leave.
    """

    status: int | None
    expected: bool


class WorkerSilent(WorkerRecord, frozen=True):
    """A worker said nothing for `seconds`. That is not death."""

    seconds: float


class WorkerHeard(WorkerRecord, frozen=True):
    """A silent worker spoke again after `seconds`."""

    seconds: float


class SlotWaits(Record, frozen=True):
    """The next worker of `slot` comes after `seconds`; `exits` within the period."""

    slot: int
    seconds: float
    exits: int


class SlotParked(Record, frozen=True):
    """The workers of `slot` exited again and again. Needs somebody.

    Attributes:
        slot: The place.
        reason: How many exits, and the last one's cause.
        seconds: Until it is tried again.
    """

    slot: int
    reason: str
    seconds: float


class Scaled(Record, frozen=True):
    """So many workers are wanted from here on."""

    previous: int
    slots: int


class ZygoteStarted(Record, frozen=True):
    """A cohort's zygote is ready; `adopted` when a former supervisor had started it."""

    cohort: int
    adopted: bool
    threads: tuple[str, ...] = ()


class ZygoteLost(Record, frozen=True):
    """A cohort's zygote is gone; its workers serve on.

    Attributes:
        cohort: Its cohort.
        reason: Why.
        expected: Whether it had been told to leave.
        refusal: Why what it preloads cannot be loaded, or where preloading was when it ended; null otherwise.
    """

    cohort: int
    reason: str
    expected: bool = False
    refusal: Refusal | None = None


class UnitsDrained(EpochRecord, frozen=True):
    """No request holds `units` any more, in any worker; they are being released. `epoch` superseded them."""

    units: tuple[UnitKey, ...]


class UnitReleased(Record, frozen=True):
    """A unit is gone from every worker."""

    unit: UnitKey


class EpochRetired(EpochRecord, frozen=True):
    """Nothing that only `epoch` had is left in any worker."""


class HookDegraded(WorkerRecord, frozen=True):
    """A hook that cannot refuse failed; the epoch stays."""

    epoch: int
    refusal: Refusal


class LeasesEnded(WorkerRecord, frozen=True):
    """A worker had too many resident copies once `epoch` served, and ended its oldest leases. Each is named.

    Attributes:
        bound: Most resident copies of a unit (`[drain] max_resident`).
        ended: Leases that were ended, oldest first: their clients were answered 503, or see a response that is cut.
        stuck: Leases that have to go and cannot be ended: of threads, and of what waits in a pool of threads.
    """

    epoch: int
    bound: int
    ended: tuple[LeaseView, ...]
    stuck: tuple[LeaseView, ...] = ()


class PeerIgnored(Record, frozen=True):
    """Something a peer sent was without effect.

    Attributes:
        peer: Who sent it.
        what: The message's name.
        why: Stale, foreign, unlisted...
        count: How often this combination was seen, this time included.
    """

    peer: str
    what: str
    why: str
    count: int


class StopBegan(Record, frozen=True):
    """The service ends.

    Attributes:
        urgency: `graceful`, `quick` or `kill`.
        workers: How many workers are to leave.
    """

    urgency: str
    workers: int
