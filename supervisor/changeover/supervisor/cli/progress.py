"""A cutover as somebody who waits for it sees it: made of what the server tells, drawn elsewhere. Pure."""

import enum

import msgspec

from changeover.supervisor.core.outcome import Strategy
from changeover.supervisor.core.records.cutover import (
    CommitDecided,
    CutoverAborted,
    CutoverBegan,
    CutoverCompleted,
    PhaseBegan,
    WorkerActivated,
    WorkerAgreed,
    WorkerPrepared,
    WorkerRefused,
)
from changeover.supervisor.core.records.part import PartBegan, PartServes, PartsReverted, PartsReverting
from changeover.supervisor.core.records.plugin import MigrationDone, MigrationLeft, MigrationUndone, StateNotTaken
from changeover.supervisor.core.records.preflight import PreflightCompleted, PreflightSkipped
from changeover.supervisor.core.records.record import WorkerRecord
from changeover.supervisor.core.records.staffing import Scaled
from changeover.supervisor.core.records.worker import WorkerExited
from changeover.supervisor.telemetry.amounts import changes, seconds
from changeover.supervisor.telemetry.phrases import by_strategy, extra_memory, rehearsed, succession
from changeover.supervisor.telemetry.stream import Told


class Mark(enum.Enum):
    """What a worker has done in the cutover."""

    PREPARED = "+"
    AGREED = "="
    """It is to be replaced, and can hand over."""
    REFUSED = "x"
    ACTIVE = "*"
    GONE = "-"


MARKS: dict[type[WorkerRecord], Mark] = {
    WorkerPrepared: Mark.PREPARED,
    WorkerAgreed: Mark.AGREED,
    WorkerRefused: Mark.REFUSED,
    WorkerActivated: Mark.ACTIVE,
    WorkerExited: Mark.GONE,
}


class Step(enum.Enum):
    """What goes on before any worker is asked."""

    PRELOAD = "preload"
    """The zygote of a roll is made, below which its plugins are rehearsed."""
    PREFLIGHT = "preflight"


STEPS = {"preloading": Step.PRELOAD, "preflighting": Step.PREFLIGHT, "preparing": None}

WAITED_FOR = "·"
"""Drawn for a worker that has not answered."""

Known = (
    CutoverBegan
    | PhaseBegan
    | PreflightCompleted
    | PreflightSkipped
    | WorkerPrepared
    | WorkerAgreed
    | WorkerRefused
    | CommitDecided
    | WorkerActivated
    | CutoverCompleted
    | CutoverAborted
    | WorkerExited
    | PartBegan
    | PartServes
    | PartsReverting
    | PartsReverted
    | MigrationDone
    | MigrationUndone
    | MigrationLeft
    | StateNotTaken
    | Scaled
)
NAMES = frozenset(record.__name__ for record in Known.__args__)
ABOUT_OTHERS = CutoverBegan | PartsReverting | PartsReverted
"""What begins another epoch than the one that is followed, or ends what an earlier one began."""
_decoder: msgspec.json.Decoder[Known] = msgspec.json.Decoder(Known)


class Progress:
    """Follows one cutover after the other; the last is the caller's own.

    Args:
        name: The service's.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._began: CutoverBegan | None = None
        self._at = 0.0
        self._committed_at: float | None = None
        self._step: Step | None = None
        self._asked = False
        self._marks: dict[int, Mark] = {}
        self._gone: set[int] = set()
        self._lines: list[str] = []
        self._migrated: tuple[str, ...] = ()
        self._stateless: dict[str, None] = {}
        self._workers = 0
        self._parted: PartServes | None = None
        self._reverts = False
        self._over = True

    @property
    def decided(self) -> bool:
        """Whether the commit is known."""
        return self._committed_at is not None

    @property
    def gone(self) -> frozenset[int]:
        """Slots whose worker exited before the decision: after it, those that a roll replaced leave."""
        return frozenset(self._gone)

    @property
    def parted(self) -> PartServes | None:
        """How far a roll in parts is known to have come; None while all workers serve the same."""
        return self._parted

    def take(self, told: Told) -> tuple[str, ...]:
        """Hear what the server tells; return the lines that are final now."""
        if told.type not in NAMES or (self._began is None and told.type != CutoverBegan.__name__):
            return ()
        before = len(self._lines)
        record = _decoder.decode(told.record)
        if isinstance(record, ABOUT_OTHERS) or self._is_about(record):
            self._hear(told, record)
        return tuple(self._lines[before:])

    def drawing(self, now: float) -> tuple[str, ...]:
        """All final lines, and below them what is under way; `now` is wall clock."""
        if self._began is None:
            return ()
        under_way = () if self._over else self._under_way(now)
        return (*self._lines, *under_way)

    def _is_about(self, record: Known) -> bool:
        """Whether it is about the cutover that is followed, as far as it says."""
        return self._began is not None and getattr(record, "epoch", self._began.epoch) == self._began.epoch

    def _hear(self, told: Told, record: Known) -> None:
        if isinstance(record, WorkerRecord) and type(record) in MARKS:
            self._marks[record.worker.slot] = MARKS[type(record)]
        match record:
            case CutoverBegan():
                self._begin(record, told.at)
            case PhaseBegan(phase=phase) if phase in STEPS and not self._asked:
                self._turn(STEPS[phase], told.at)
            case WorkerRefused(worker=worker):
                self._lines.append(self._refused_line(worker.slot, told.at))
            case WorkerExited(worker=worker) if not self.decided:
                self._gone.add(worker.slot)
            case CommitDecided():
                self._lines += [self._phase_line(told.at), *self._migrated, *self._stateless]
                self._committed_at = told.at
            case CutoverCompleted():
                self._lines.append(_phase("commit", self._count(Mark.ACTIVE), record.workers, record.commit))
                self._over = True
                self._parted = self._left_in_parts(record)
            case CutoverAborted() if self._step is not None:
                how = "REFUSED" if record.refusals else "ended"
                self._lines.append(_apart(self._step, f"{how} after {self._lasted(told.at)}"))
                self._over = True
            case CutoverAborted():
                self._over = True
            case _:
                self._hear_preflight(told, record)
                self._hear_plugins(record)
                self._hear_scaled(record)
                self._hear_part(told, record)

    def _hear_preflight(self, told: Told, record: Known) -> None:
        if isinstance(record, PreflightCompleted | PreflightSkipped):
            self._step, self._at = None, told.at
        match record:
            case PreflightCompleted(seconds=took, warnings=warnings):
                did = rehearsed(record.modules, record.tests_passed, record.tests)
                self._lines.append(_apart(Step.PREFLIGHT, f"passed in {seconds(took)}  ({did})"))
                self._lines += [f"  {'':<10} warning: {line}" for line in warnings]
            case PreflightSkipped(why=why):
                self._lines.append(_apart(Step.PREFLIGHT, f"skipped: {why}"))

    def _hear_plugins(self, record: Known) -> None:
        match record:
            case MigrationDone(worker=worker, took=took):
                self._migrated = (_migration(f"slot {worker.slot}  {seconds(took)}"),)
            case MigrationUndone(worker=worker):
                self._lines.append(_migration(f"undone by slot {worker.slot}"))
            case MigrationLeft(reason=reason):
                self._lines.append(_migration(f"NOT UNDONE: {reason}"))
            case StateNotTaken(plugin=plugin, version=version, old=old, why=why):  # of each worker, and told once
                self._stateless[f"  {'state':<10} {plugin} {version} begins without that of {old}: {why}"] = None

    def _hear_scaled(self, record: Known) -> None:
        if isinstance(record, Scaled):
            self._workers = record.slots if self._rolls else max(0, self._workers + record.slots - record.previous)

    def _hear_part(self, told: Told, record: Known) -> None:
        match record:
            case PartBegan(number=number, of=of):
                self._lines.append(f"  {'part':<10} {number} of {of}")
            case PartServes(workers=workers, slots=slots) if self._committed_at is not None:
                self._parted = record
                took = told.at - self._committed_at
                line = _phase("commit", self._count(Mark.ACTIVE), workers, took)
                self._lines.append(f"{line}   slots {', '.join(map(str, slots))}")
                self._over = True
            case PartsReverting(reason=reason):
                self._lines.append(f"  {'reverting':<10} {reason}")
                self._reverts = True
            case PartsReverted():
                self._parted, self._reverts = None, False

    def _left_in_parts(self, completed: CutoverCompleted) -> PartServes | None:
        """What is known of parts once all others serve `completed`: on the way back, that is their number."""
        if self._parted is None or not self._reverts:
            return None
        return msgspec.structs.replace(self._parted, others=completed.epoch)

    def _begin(self, record: CutoverBegan, at: float) -> None:
        self._began, self._at, self._committed_at, self._marks, self._gone = record, at, None, {}, set()
        self._over, self._step, self._asked, self._workers = False, None, False, record.workers
        self._migrated, self._stateless = (), {}
        self._lines.append(
            f"{self._name}  epoch {succession(record)}  {by_strategy(record)}   {changes(record.summary)}"
        )
        if record.memory is not None:
            self._lines.append(f"  {'memory':<10} {extra_memory(record.memory)}")

    def _turn(self, step: Step | None, at: float) -> None:
        """Another step begins, or workers are asked; a rehearsal that is preloaded for again has lost its zygote."""
        if self._step is Step.PRELOAD:
            self._lines.append(_apart(self._step, f"done in {self._lasted(at)}"))
        elif self._step is Step.PREFLIGHT and step is Step.PRELOAD:
            self._lines.append(_apart(self._step, f"lost its zygote after {self._lasted(at)}"))
        self._step, self._asked, self._at = step, step is None, at

    def _lasted(self, now: float) -> str:
        return seconds(max(now - self._at, 0.0))

    def _count(self, *marks: Mark) -> int:
        return sum(mark in marks for mark in self._marks.values())

    @property
    def _rolls(self) -> bool:
        return self._began is not None and self._began.strategy is Strategy.ROLL

    def _under_way(self, now: float) -> tuple[str, ...]:
        return (self._phase_line(now),) if self._step else (self._phase_line(now), self._workers_line())

    def _phase_line(self, now: float) -> str:
        if self._step is not None:
            return _apart(self._step, f"...  {self._lasted(now)}")
        if self._committed_at is not None:
            return _phase("commit", self._count(Mark.ACTIVE), self._workers, now - self._committed_at)
        return _phase("prepare", self._count(Mark.PREPARED, Mark.ACTIVE), self._workers, now - self._at)

    def _refused_line(self, slot: int, at: float) -> str:
        done = _of(self._count(Mark.PREPARED), self._workers)
        return f"  {'prepare':<10} {done}  slot {slot} REFUSED after {seconds(at - self._at)}"

    def _workers_line(self) -> str:
        marks = [f"{slot}{mark.value}" for slot, mark in sorted(self._marks.items())]
        answered = self._count(Mark.PREPARED, Mark.ACTIVE, Mark.REFUSED)
        return "  workers    " + " ".join([*marks, *[WAITED_FOR] * (self._workers - answered)])


def _phase(name: str, done: int, of: int, took: float) -> str:
    return f"  {name:<10} {_of(done, of)}  {seconds(max(took, 0.0))}"


def _of(done: int, of: int) -> str:
    """So many of so many; a worker that nobody waits for any more is none of them."""
    return f"{min(done, of)}/{of}"


def _apart(step: Step, how: str) -> str:
    return f"  {step.value:<10} {how}"


def _migration(what: str) -> str:
    return f"  {'migrate':<10} {what}"
