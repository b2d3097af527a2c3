"""One swap by SIGHUP with new content, and when each step of it happened."""

import time
from collections.abc import Iterator

import msgspec

from benchmarks.subject import Subject, SubjectBroken, until
from changeover.supervisor.core.records.cutover import CutoverCompleted, WorkerActivated
from changeover.supervisor.telemetry.shell import CellStored
from changeover.supervisor.telemetry.stream import Told

DEADLINE = 60.0
"""Seconds until a swap has its outcome."""
REFUSALS = frozenset({"CutoverAborted", "RequestRefused", "NothingChanged", "RollNeeded"})


class Store(msgspec.Struct, frozen=True):
    """A swap whose commit cell was stored, as an observer of the cell sees it.

    Attributes:
        epoch: Its number.
        marker: What the new content calls itself.
        asked: Right before SIGHUP was sent; CLOCK_MONOTONIC in nanoseconds.
        seen: When the new value had been seen in the cell: the store was earlier.
    """

    epoch: int
    marker: str
    asked: int
    seen: int


class Swap(msgspec.Struct, frozen=True):
    """When each step of one swap happened; CLOCK_MONOTONIC in nanoseconds.

    Attributes:
        epoch: Its number.
        marker: What the new content calls itself.
        asked: Right before SIGHUP was sent.
        stored: Right after the store into the commit cell, by the supervisor's clock.
        activated: Slot -> when its worker's pointer changed.
        prepare: Seconds from the first Prepare to the last answer.
        commit: Seconds from the commit to the last Activated, as the supervisor hears it.
        total: Seconds from the request to the outcome.
        preflight: Seconds that the candidate was rehearsed; 0 where it was not.
    """

    epoch: int
    marker: str
    asked: int
    stored: int
    activated: dict[int, int]
    prepare: float
    commit: float
    total: float
    preflight: float = 0.0

    @property
    def ended(self) -> int:
        """When the last worker's pointer changed: the end of the window."""
        return max(self.activated.values())


class Swapper:
    """Swaps a subject's content, once per call, and reads the times afterwards: nobody follows while it happens.

    Args:
        subject: The server.
        settle: Seconds from the store to the first look at what was told.
    """

    def __init__(self, subject: Subject, settle: float = 0.02) -> None:
        self._subject = subject
        self._settle = settle
        self._heard = 0

    def swap(self) -> Swap:
        """Put new content on disk, hang up, and wait for the outcome.

        Raises:
            SubjectBroken: It was refused, or has no outcome in time.
        """
        store = self.store()
        time.sleep(self._settle)
        return self.timeline(store)

    def store(self, pause: float = 0.002) -> Store:
        """Put new content on disk, hang up, and return once the commit cell was stored.

        Args:
            pause: Seconds between two looks at the cell; 0 looks all the time.
        """
        marker = self._subject.contents.renew()
        before = self._subject.cell.read()
        asked = time.monotonic_ns()
        self._subject.hang_up()
        until(lambda: self._subject.cell.read() != before, DEADLINE, self._silence, pause)
        return Store(self._subject.cell.read(), marker, asked, time.monotonic_ns())

    def timeline(self, store: Store) -> Swap:
        """Wait for the outcome, and read when each step happened."""
        epoch = store.epoch
        stored, activated = 0, dict[int, int]()
        for told in self._told():
            if told.type == "CellStored":
                record = msgspec.json.decode(told.record, type=CellStored)
                stored = record.at if record.epoch == epoch else stored
            elif told.type == "WorkerActivated":
                worker = msgspec.json.decode(told.record, type=WorkerActivated)
                activated |= {worker.worker.slot: worker.at} if worker.epoch == epoch else {}
            elif told.type == "CutoverCompleted":
                done = msgspec.json.decode(told.record, type=CutoverCompleted)
                if done.epoch == epoch:
                    times = (done.prepare, done.commit, done.total, done.preflight)
                    return Swap(epoch, store.marker, store.asked, stored, activated, *times)
            elif told.type in REFUSALS:
                raise SubjectBroken(told.line)
        raise SubjectBroken(f"what is told ended before epoch {epoch} was completed")

    def _told(self) -> Iterator[Told]:
        for event in self._subject.control.stream("GET", f"/v1/events?after={self._heard}", seconds=DEADLINE):
            if event.event == "told":
                told = msgspec.json.decode(event.data, type=Told)
                self._heard = told.sequence
                yield told

    def _silence(self) -> str:
        return f"no commit\n{self._subject.words()}"
