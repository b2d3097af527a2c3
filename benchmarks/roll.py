"""One roll by SIGHUP with new application code, and when each step of it happened."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TypeVar

import msgspec

from benchmarks.subject import Subject, SubjectBroken
from benchmarks.swap import DEADLINE, REFUSALS, Store, Swapper
from changeover.supervisor.api.client import WaitEnded
from changeover.supervisor.core.records.cutover import CutoverCompleted, WorkerAgreed, WorkerPrepared
from changeover.supervisor.core.records.worker import WorkerExited, WorkerYields
from changeover.supervisor.telemetry.shell import CellStored
from changeover.supervisor.telemetry.stream import Told
from changeover.workers.protocol.identity import WorkerId

AFTERWARDS = 250_000_000
"""Nanoseconds after the outcome that still belong to a roll: connections are being handed over."""
T = TypeVar("T")

LEFT = 60.0
"""Seconds until the processes that were replaced are gone."""


class Roll(msgspec.Struct, frozen=True):
    """When each step of one roll happened; CLOCK_MONOTONIC in nanoseconds, and seconds.

    Attributes:
        epoch: Its number.
        marker: What the new content calls itself.
        asked: Right before SIGHUP was sent.
        stored: Right after the store into the commit cell, by the supervisor's clock.
        outcome: When the supervisor told the outcome.
        boot: Seconds from SIGHUP until every successor had prepared.
        agree: Seconds from then until every worker that is replaced had agreed.
        commit: Seconds from then to the outcome.
        total: Seconds from SIGHUP to the outcome.
    """

    epoch: int
    marker: str
    asked: int
    stored: int
    outcome: int
    boot: float
    agree: float
    commit: float
    total: float

    @property
    def ended(self) -> int:
        """The end of the window."""
        return self.outcome + AFTERWARDS


class Roller:
    """Rolls a subject's application, once per call, and reads the times afterwards: nobody follows while it happens.

    Args:
        subject: The server.
        settle: Seconds from the store to the first look at what was told.
    """

    def __init__(self, subject: Subject, settle: float = 0.2) -> None:
        self._subject = subject
        self._swapper = Swapper(subject)
        self._settle = settle
        self._heard = 0
        self._replaced = 0
        self._decided = 0.0
        self._yielding: dict[WorkerId, float] = {}
        self._lived: list[float] = []

    def roll(self) -> Roll:
        """Put new code on disk, hang up, and wait for the outcome.

        Raises:
            SubjectBroken: It was refused, or has no outcome in time.
        """
        store = self._swapper.store(pause=0.01)
        time.sleep(self._settle)
        steps = _Steps(store)
        for told in self._told(DEADLINE):
            if told.type in REFUSALS:
                raise SubjectBroken(told.line)
            if outcome := steps.take(told):
                self._replaced += self._subject.count
                return outcome
        raise SubjectBroken(f"what is told ended before epoch {store.epoch} was completed")

    def lived(self) -> list[float]:
        """Wait until every process that was replaced is gone, and say how many seconds each lived on.

        Raises:
            SubjectBroken: One does not leave.
        """
        end = time.monotonic() + LEFT
        while len(self._lived) < self._replaced:
            if time.monotonic() > end:
                left = self._replaced - len(self._lived)
                raise SubjectBroken(f"{left} replaced processes did not leave within {LEFT:g} s")
            with suppress(WaitEnded):
                for _ in self._told(1.0):
                    if len(self._lived) == self._replaced:
                        break
        return self._lived

    def _told(self, seconds: float) -> Iterator[Told]:
        for event in self._subject.control.stream("GET", f"/v1/events?after={self._heard}", seconds=seconds):
            if event.event == "told":
                told = msgspec.json.decode(event.data, type=Told)
                self._heard = told.sequence
                self._follow(told)
                yield told

    def _follow(self, told: Told) -> None:
        """Keep when processes that are replaced begin to hand over, and when they are gone.

        One that has nothing to hand over may be gone before its word arrives: it lives on from the decision.
        """
        if told.type == "CommitDecided":
            self._decided = told.at
        elif told.type == "WorkerYields":
            self._yielding[_record(told, WorkerYields).worker] = told.at
        elif told.type == "WorkerExited":
            began = self._yielding.pop(_record(told, WorkerExited).worker, self._decided)
            self._lived.append(told.at - began)


class _Steps:
    """Puts what is told of one epoch together."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stored = 0
        self._last = {"WorkerPrepared": 0.0, "WorkerAgreed": 0.0}
        self._acts: dict[str, Callable[[Told], bool]] = {
            "CellStored": self._cell,
            "WorkerPrepared": lambda told: self._vote(told, WorkerPrepared),
            "WorkerAgreed": lambda told: self._vote(told, WorkerAgreed),
            "CutoverCompleted": lambda told: _record(told, CutoverCompleted).epoch == self._store.epoch,
        }

    def take(self, told: Told) -> Roll | None:
        """The whole roll, once its outcome is told."""
        act = self._acts.get(told.type)
        return self._whole(told) if act and act(told) else None

    def _cell(self, told: Told) -> bool:
        stored = _record(told, CellStored)
        self._stored = stored.at if stored.epoch == self._store.epoch else self._stored
        return False

    def _vote(self, told: Told, shape: "type[WorkerPrepared | WorkerAgreed]") -> bool:
        if _record(told, shape).epoch == self._store.epoch:
            self._last[told.type] = told.at
        return False

    def _whole(self, told: Told) -> Roll:
        wall = time.time() - time.monotonic()
        asked = self._store.asked / 1e9 + wall
        prepared, agreed = self._last.values()
        return Roll(
            *(self._store.epoch, self._store.marker, self._store.asked, self._stored, int((told.at - wall) * 1e9)),
            *(prepared - asked, agreed - prepared, told.at - agreed, told.at - asked),
        )


def _record(told: Told, shape: type[T]) -> T:
    return msgspec.json.decode(told.record, type=shape)
