"""What operators hear of a cutover, from its number to its outcome."""

from changeover.supervisor.core.entries import Origin, SlotRefusal
from changeover.supervisor.core.outcome import ExtraMemory, MissingWorker, Strategy
from changeover.supervisor.core.records.record import EpochRecord, WorkerRecord
from changeover.workers.protocol.refusal import Refusal


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


class WorkerRefused(WorkerRecord, frozen=True):
    """A worker cannot serve `epoch`, or could not speak."""

    epoch: int
    refusal: Refusal


class CommitDecided(EpochRecord, frozen=True):
    """`epoch` is on disk as committed and stored into the commit cell: there is no way back but a new epoch."""

    previous: int


class WorkerActivated(WorkerRecord, frozen=True):
    """A worker dispatches to `epoch` since `at` (CLOCK_MONOTONIC, nanoseconds; 0 when only a heartbeat said so)."""

    epoch: int
    at: int


class HookDegraded(WorkerRecord, frozen=True):
    """A hook that cannot refuse failed; the epoch stays."""

    epoch: int
    refusal: Refusal


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
        preflight: Seconds that the candidate was rehearsed; 0 where it was not.
        missing: Slots whose workers are still to serve it.
    """

    previous: int
    origin: Origin
    workers: int
    summary: tuple[str, ...]
    prepare: float
    commit: float
    total: float
    restores: int | None = None
    preflight: float = 0.0
    missing: tuple[MissingWorker, ...] = ()


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


class InDoubt(EpochRecord, frozen=True):
    """Nobody knows whether the decision on `epoch` is on disk: no other is made until that is settled."""

    reason: str


class DoubtSettled(EpochRecord, frozen=True):
    """The decision on `epoch` is known again."""

    committed: bool
