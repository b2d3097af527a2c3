"""What a service manager is told, record by record."""

from changeover.supervisor.core.entries import Origin, Trigger
from changeover.supervisor.core.records.cutover import (
    CommitDecided,
    CutoverAborted,
    CutoverBegan,
    CutoverCompleted,
    DoubtSettled,
    InDoubt,
    PhaseBegan,
)
from changeover.supervisor.core.records.record import Record
from changeover.supervisor.core.records.request import RequestRefused
from changeover.supervisor.core.records.service import StopBegan, TermBegan
from changeover.supervisor.core.records.staffing import LastSlotWaits, Scaled, SlotParked
from changeover.supervisor.core.records.worker import WorkerExited, WorkerServing
from changeover.supervisor.telemetry.notices import MOST_STATUS, Notices, State
from changeover.supervisor.telemetry.shell import Finished
from changeover.workers.protocol.identity import WorkerId
from tests.fake_control import DEPLOY, SUMMARY

FIRST = CutoverBegan(1, Origin(Trigger.BOOT), ("shop 1.0.0",), 0, 0)
FIRST_DONE = CutoverCompleted(1, 0, Origin(Trigger.BOOT), 2, ("shop 1.0.0",), 0.1, 0.01, 0.2)
BEGAN = CutoverBegan(8, DEPLOY, SUMMARY, 7, 2)
DONE = CutoverCompleted(8, 7, DEPLOY, 2, SUMMARY, 0.1, 0.01, 0.2)
REFUSED = CutoverAborted(8, "slot 1 refused", (), DEPLOY, 7)


class Heard:
    """What comes of records, one after the other."""

    def __init__(self, slots: int = 2) -> None:
        self.notices = Notices(slots, pid=811)
        self.now = 0

    def of(self, *told: Record) -> list[str]:
        """The lines of all of them."""
        lines: list[str] = []
        for record in told:
            self.now += 1000
            notice = self.notices.hear(record, self.now)
            lines += notice.split("\n") if notice else []
        return lines

    def ready(self) -> "Heard":
        self.of(TermBegan(1, 7), serves(0), serves(1))
        assert self.notices.state is State.READY
        return self


def serves(slot: int, incarnation: int | None = None) -> WorkerServing:
    return WorkerServing(WorkerId(1, slot, slot + 1 if incarnation is None else incarnation), 41, 7)


def commands(lines: list[str]) -> list[str]:
    return [line for line in lines if not line.startswith("STATUS=")]


def test_a_first_start_is_ready_when_every_slot_serves_and_its_epoch_is_active() -> None:
    heard = Heard()
    assert commands(heard.of(TermBegan(1, 0), FIRST, CommitDecided(1, 0), serves(0), serves(1))) == []
    lines = heard.of(FIRST_DONE)
    assert commands(lines) == ["READY=1", "MAINPID=811"]
    assert lines[-1].startswith("STATUS=epoch 1, 2 of 2 slots serve; epoch 1 serves in all 2 workers")


def test_a_later_start_is_ready_without_a_cutover() -> None:
    heard = Heard()
    assert commands(heard.of(TermBegan(2, 7), serves(0))) == []
    assert commands(heard.of(serves(1))) == ["READY=1", "MAINPID=811"]


def test_a_slot_that_is_parked_beside_one_that_serves_is_not_waited_for_and_named() -> None:
    heard = Heard()
    assert commands(heard.of(SlotParked(1, "5 exits in 60 s", 300.0))) == []
    lines = heard.of(serves(0))
    assert commands(lines) == ["READY=1", "MAINPID=811"]
    assert "1 of 2 slots serve; slot 1 is PARKED: 5 exits in 60 s" in lines[-1]
    assert "slot 0 gets its next worker in 4.00 s" in heard.of(LastSlotWaits(0, "6 exits in 60 s", 4.0))[-1]


def test_a_cutover_is_a_reload_from_its_number_to_the_last_activated() -> None:
    heard = Heard().ready()
    now = heard.now + 1000
    assert commands(heard.of(BEGAN)) == ["RELOADING=1", f"MONOTONIC_USEC={now}"]
    assert commands(heard.of(CommitDecided(8, 7), PhaseBegan(8, "activating"))) == []
    lines = heard.of(DONE)
    assert commands(lines) == ["READY=1"]
    assert lines[-1].startswith("STATUS=epoch 8, 2 of 2 slots serve; epoch 8 serves in all 2 workers")


def test_a_refusal_ends_the_reload_and_says_why() -> None:
    heard = Heard().ready()
    heard.of(BEGAN)
    lines = heard.of(REFUSED)
    assert commands(lines) == ["READY=1"]
    assert lines[-1].startswith("STATUS=epoch 7, 2 of 2 slots serve; epoch 8 refused: slot 1 refused")


def test_a_reload_that_is_in_doubt_stays_one_until_that_is_settled() -> None:
    heard = Heard().ready()
    assert commands(heard.of(BEGAN, InDoubt(8, "the disk hangs")))[:1] == ["RELOADING=1"]
    assert heard.notices.state is State.RELOADING
    assert commands(heard.of(DoubtSettled(8, True), DONE)) == ["READY=1"]


def test_what_never_had_a_number_is_no_reload_and_still_told() -> None:
    heard = Heard().ready()
    lines = heard.of(RequestRefused(Origin(Trigger.HUP), "no such folder"))
    assert lines == ["STATUS=epoch 7, 2 of 2 slots serve; refused, asked for by HUP: no such folder; nothing changed"]


def test_deaths_and_scaling_show_in_the_status_and_are_no_reload() -> None:
    heard = Heard().ready()
    assert heard.of(WorkerExited(serves(0).worker, 41, -9, False)) == ["STATUS=epoch 7, 1 of 2 slots serve"]
    assert heard.of(Scaled(2, 1)) == ["STATUS=epoch 7, 1 of 1 slots serve"]
    assert heard.of(serves(0, incarnation=9)) == []


def test_a_stop_is_told_once() -> None:
    heard = Heard().ready()
    heard.of(BEGAN)
    stopping = heard.of(StopBegan("graceful", 2), StopBegan("quick", 2), Finished("asked to stop"))
    assert commands(stopping) == ["STOPPING=1"]
    assert commands(heard.of(REFUSED)) == []


def test_a_status_is_one_line_that_fits() -> None:
    heard = Heard().ready()
    [line] = heard.of(RequestRefused(Origin(Trigger.HUP), "x" * 10_000))
    assert len(line) == len("STATUS=") + MOST_STATUS
    assert line.endswith("...")
