"""What a service manager is told, in the lines of `sd_notify`: records go in, notices come out. Pure.

Ready means that every slot serves, or is parked beside one that does. From then on a cutover that has a number is
a reload: `RELOADING` when it begins, `READY` after the last Activated or the refusal. Whatever is worth a person's
attention goes into `STATUS`, behind what serves.
"""

import enum

from changeover.supervisor.core.records.boot import BootFellBack
from changeover.supervisor.core.records.cutover import (
    CommitDecided,
    CutoverAborted,
    CutoverBegan,
    CutoverCompleted,
    DoubtSettled,
    InDoubt,
)
from changeover.supervisor.core.records.record import Record
from changeover.supervisor.core.records.request import NothingChanged, RequestRefused, RollNeeded
from changeover.supervisor.core.records.rescue import RescueBegan, RescueFailed
from changeover.supervisor.core.records.service import ReadOnly, StopBegan, TermBegan
from changeover.supervisor.core.records.staffing import LastSlotWaits, Scaled, SlotParked
from changeover.supervisor.core.records.worker import WorkerExited, WorkerHangs, WorkerServing, WorkerStopping
from changeover.supervisor.telemetry.shell import Finished
from changeover.supervisor.telemetry.wording import word
from changeover.workers.protocol.identity import WorkerId

MOST_STATUS = 500
"""Characters of a status: one line that `systemctl status` shows."""

TOLD = (
    ReadOnly,
    CutoverCompleted,
    CutoverAborted,
    RequestRefused,
    NothingChanged,
    RollNeeded,
    InDoubt,
    DoubtSettled,
    BootFellBack,
    WorkerHangs,
    RescueBegan,
    RescueFailed,
    SlotParked,
    LastSlotWaits,
)
"""Records that a status names, until the next of them."""


class State(enum.Enum):
    """What the service manager takes us for."""

    STARTING = enum.auto()
    READY = enum.auto()
    RELOADING = enum.auto()
    STOPPING = enum.auto()


class Notices:
    """Hears every record and says what the service manager has to know of it.

    Args:
        slots: How many slots are wanted at the start.
        pid: The supervisor's process.

    Attributes:
        state: What the service manager takes us for.
    """

    def __init__(self, slots: int, pid: int) -> None:
        self.state = State.STARTING
        self._wanted = slots
        self._pid = pid
        self._serving: set[WorkerId] = set()
        self._parked: set[int] = set()
        self._cutting_over = False
        self._epoch = 0
        self._last = ""

    def hear(self, record: Record, now: int) -> str:
        """Take note of a record.

        Args:
            record: What happened.
            now: CLOCK_MONOTONIC, microseconds.

        Returns:
            What to send, empty when the service manager need not know.
        """
        before = self._status()
        self._note(record)
        if isinstance(record, TOLD):
            self._last = word(record).line
        lines = list(self._moved(record, now))
        if lines or self._status() != before:
            lines.append(f"STATUS={self._status()}")
        return "\n".join(lines)

    def _note(self, record: Record) -> None:
        match record:
            case WorkerServing(worker=worker):
                self._serving.add(worker)
                self._parked.discard(worker.slot)
            case WorkerStopping(worker=worker) | WorkerExited(worker=worker):
                self._serving.discard(worker)
            case SlotParked(slot=slot):
                self._parked.add(slot)
            case Scaled(slots=slots):
                self._wanted = slots
            case TermBegan(committed=epoch) | CommitDecided(epoch=epoch):
                self._epoch = epoch
            case CutoverBegan():
                self._cutting_over = True
            case CutoverCompleted() | CutoverAborted():
                self._cutting_over = False

    def _moved(self, record: Record, now: int) -> tuple[str, ...]:
        if isinstance(record, StopBegan | Finished):
            return self._enter(State.STOPPING, "STOPPING=1")
        match self.state:
            case State.STARTING if not self._cutting_over and self._all_up():
                return self._enter(State.READY, "READY=1", f"MAINPID={self._pid}")
            case State.READY if self._cutting_over:
                return self._enter(State.RELOADING, "RELOADING=1", f"MONOTONIC_USEC={now}")
            case State.RELOADING if not self._cutting_over:
                return self._enter(State.READY, "READY=1")
        return ()

    def _enter(self, state: State, *lines: str) -> tuple[str, ...]:
        told = () if self.state is state else lines
        self.state = state
        return told

    def _all_up(self) -> bool:
        return bool(self._serving) and len(self._serving) + len(self._parked) >= self._wanted

    def _status(self) -> str:
        serve = f"{min(len(self._serving), self._wanted)} of {self._wanted} slots serve"
        known = (f"epoch {self._epoch}" if self._epoch else "nothing is committed yet", serve)
        line = ", ".join(known) + (f"; {self._last}" if self._last else "")
        return line if len(line) <= MOST_STATUS else f"{line[: MOST_STATUS - 3]}..."
