"""A rollback that comes to nothing leaves the zygote that it recalled where it was: kept, for the rest of its time."""

import msgspec
import pytest

from changeover.supervisor.core import effects, events
from changeover.supervisor.core.entries import Aborted, Recovered, SlotRefusal
from changeover.supervisor.core.events import Timer, TimerKind, ZygoteFound
from changeover.supervisor.core.outcome import Action, Committed, Refused
from changeover.supervisor.core.policy import Deadlines, Policy
from changeover.supervisor.core.records.part import PartsReverted
from changeover.supervisor.core.records.rescue import RescueBegan, RescueFailed
from changeover.supervisor.core.view import ZygotePicture
from changeover.supervisor.core.zygote import State
from changeover.workers.protocol import messages
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from tests.machines import JOURNAL, RELOAD, SECRET, Bench, snapshot
from tests.unit.supervisor.core.test_rescue import back, come_up, crash, crash_all, crew, rolled, wished

RESCUE = Deadlines().rescue
KEPT = ZygotePicture(1, State.KEPT, 1, RESCUE)
NO = Refusal(Stage.LOAD, Fault.CONTRACT, "the database has moved on")
BACK = msgspec.structs.replace(RELOAD, action=Action.ROLLBACK, to=1)


@pytest.fixture
def bench() -> Bench:
    """Epoch 2 serves, and the zygote of epoch 1 is kept."""
    return rolled()


def go_back(bench: Bench, epoch: int) -> None:
    """Somebody asks for what served before; its workers live."""
    bench.feed(events.CutoverRequested(epoch, BACK))
    bench.feed(events.Scanned(epoch, back(epoch)))
    bench.be_born()


def refuse(bench: Bench, epoch: int) -> None:
    """The first worker that the rollback made says no, and all of them leave."""
    made = crew(bench, epoch)
    bench.greet(made[0])
    bench.hear(made[0], messages.Refused, epoch, NO)
    assert isinstance(bench.outcomes()[epoch], Refused)
    for worker in made:
        bench.feed(events.WorkerExited(worker, 0))


def crash_where_they_are(bench: Bench) -> None:
    """Every worker crashes, and so does the one that takes its place."""
    slots = [slot.slot for slot in bench.view.slots]
    for _ in range(2):
        crash(bench, *slots)


def test_a_rollback_that_a_worker_refuses_leaves_the_way_back_open(bench: Bench) -> None:
    go_back(bench, 3)
    refuse(bench, 3)
    assert bench.view.zygotes[0] == KEPT
    crash_all(bench)
    assert len(bench.told(RescueBegan)) == 1
    bench.feed(events.Scanned(4, back(4)))
    assert [fork.worker.cohort for fork in bench.all(effects.Fork) if fork.rolled == 4] == [1, 1]
    assert not bench.all(effects.StartZygote)
    assert not bench.all(effects.StopZygote)


def test_so_does_one_that_its_rehearsal_refuses() -> None:
    bench = Bench(Policy(preflight=True))
    bench.come_up()
    bench.feed(events.CutoverRequested(1, RELOAD))
    bench.find(snapshot(2, rolled=2))
    bench.feed(events.PreflightPassed(2))
    bench.be_born()
    come_up(bench, 2)
    for worker in crew(bench, 1):
        bench.feed(events.WorkerExited(worker, 0))
    bench.feed(events.CutoverRequested(3, BACK))
    bench.feed(events.Scanned(3, back(3)))
    assert [rehearsal.cohort for rehearsal in bench.all(effects.Preflight)] == [2, 1]
    bench.forget()
    bench.feed(events.PreflightRefused(3, (SlotRefusal(-1, 0, NO),)))
    assert isinstance(bench.outcomes()[3], Refused)
    assert bench.view.zygotes[0] == KEPT
    crash_all(bench)
    assert [wish.to for wish in wished(bench)] == [1]
    assert not bench.all(effects.StopZygote)


def test_it_ends_when_it_would_have_ended_without_the_rollback(bench: Bench) -> None:
    bench.now += 100.0
    go_back(bench, 3)
    bench.now += 20.0
    bench.forget()
    refuse(bench, 3)
    timer = Timer(TimerKind.ZYGOTE, 1)
    assert effects.SetTimer(timer, RESCUE - 120.0) in bench.wanted
    assert bench.view.zygotes[0] == KEPT
    bench.fire(timer)
    assert bench.all(effects.StopZygote) == [effects.StopZygote(1)]


def test_it_ends_with_the_rollback_when_its_time_has_passed_meanwhile(bench: Bench) -> None:
    go_back(bench, 3)
    bench.now += RESCUE
    refuse(bench, 3)
    assert bench.all(effects.StopZygote) == [effects.StopZygote(1)]
    bench.feed(events.ZygoteLost(1, "it was told to leave"))
    assert [zygote.cohort for zygote in bench.view.zygotes] == [2]


def test_it_can_be_recalled_again_and_again_and_has_no_longer_for_that(bench: Bench) -> None:
    for epoch in (3, 4):
        go_back(bench, epoch)
        assert bench.view.zygotes[0] == ZygotePicture(1, State.READY, epoch, 0.0)
        bench.now += 50.0
        refuse(bench, epoch)
        assert bench.view.zygotes[0] == KEPT
    go_back(bench, 5)
    come_up(bench, 5)
    assert isinstance(bench.outcomes()[5], Committed)
    assert not bench.all(effects.StartZygote)
    assert bench.all(effects.StopZygote) == [effects.StopZygote(2)]
    assert bench.view.zygotes[0] == ZygotePicture(1, State.READY, 5, 0.0)


def test_one_that_died_for_the_rollback_is_gone_with_the_way_back(bench: Bench) -> None:
    go_back(bench, 3)
    bench.feed(events.ZygoteLost(1, "was killed"))
    assert isinstance(bench.outcomes()[3], Refused)
    for worker in crew(bench, 3):
        bench.feed(events.WorkerExited(worker, 0))
    assert [zygote.cohort for zygote in bench.view.zygotes] == [2]
    assert not bench.all(effects.StartZygote)
    bench.forget()
    crash_all(bench)
    assert wished(bench) == []


def test_one_that_dies_when_it_is_kept_again_is_gone_as_well(bench: Bench) -> None:
    go_back(bench, 3)
    refuse(bench, 3)
    bench.feed(events.ZygoteLost(1, "was killed"))
    assert [zygote.cohort for zygote in bench.view.zygotes] == [2]
    bench.forget()
    crash_all(bench)
    assert wished(bench) == []


def test_a_roll_that_is_committed_later_lets_go_of_it(bench: Bench) -> None:
    go_back(bench, 3)
    refuse(bench, 3)
    bench.feed(events.CutoverRequested(4, RELOAD))
    bench.find_only(snapshot(4, rolled=4))
    bench.feed(events.ZygoteReady(3))
    bench.be_born()
    come_up(bench, 4)
    for worker in crew(bench, 2):
        bench.feed(events.WorkerExited(worker, 0))
    assert [zygote.state for zygote in bench.view.zygotes] == [State.SUPERSEDED, State.KEPT, State.READY]
    bench.forget()
    crash_where_they_are(bench)
    assert [wish.to for wish in wished(bench)] == [2]


def test_workers_that_crash_while_the_rollback_is_tried_are_rescued_when_it_is_refused(bench: Bench) -> None:
    go_back(bench, 3)
    made = crew(bench, 3)
    crash_all(bench)
    assert not bench.told(RescueBegan)
    bench.greet(made[0])
    bench.hear(made[0], messages.Refused, 3, NO)
    assert len(bench.told(RescueBegan)) == 1


def test_a_rescue_that_workers_refuse_is_not_tried_again(bench: Bench) -> None:
    crash_all(bench)
    bench.feed(events.Scanned(3, back(3)))
    bench.be_born()
    made = crew(bench, 3)
    bench.greet(made[0])
    bench.hear(made[0], messages.Refused, 3, NO)
    assert len(bench.told(RescueFailed)) == 1
    assert bench.view.zygotes[0] == KEPT
    for worker in made:
        bench.feed(events.WorkerExited(worker, 0))
    bench.forget()
    crash_all(bench)
    assert wished(bench) == []


def test_while_the_journal_is_in_doubt_nobody_knows_what_becomes_of_it(bench: Bench) -> None:
    go_back(bench, 3)
    for worker in crew(bench, 3):
        bench.greet(worker)
        bench.hear(worker, messages.Prepared, 3)
    bench.writes = False
    bench.prepare(3)
    bench.feed(events.PersistFailed(bench.all(effects.Persist)[-1].ticket, "no space"))
    assert bench.view.zygotes[0] == ZygotePicture(1, State.READY, 3, 0.0)
    bench.feed(events.Reread(3, Aborted(3, "no space", ())))
    assert bench.view.zygotes[0] == KEPT


def test_a_stop_during_the_rollback_ends_it(bench: Bench) -> None:
    go_back(bench, 3)
    bench.feed(events.StopRequested())
    for worker in bench.living():
        bench.feed(events.WorkerExited(worker, 0))
    assert {stop.cohort for stop in bench.all(effects.StopZygote)} == {1, 2}


def test_a_rollback_in_parts_that_is_reverted_leaves_it_kept(bench: Bench) -> None:
    bench.feed(events.CutoverRequested(3, msgspec.structs.replace(BACK, surge=1, allow_partial=True)))
    bench.feed(events.Scanned(3, back(3)))
    bench.be_born()
    [new], [replaced, *_] = crew(bench, 3), crew(bench, 2)
    bench.greet(new)
    bench.hear(new, messages.Prepared, 3)
    bench.hear(replaced, messages.Prepared, 3)
    bench.hear(new, messages.Activated, 3)
    bench.feed(events.WorkerExited(replaced, 0))
    advance(bench)
    [refusing] = [worker for worker in crew(bench, 3) if worker != new]
    bench.greet(refusing)
    bench.hear(refusing, messages.Refused, 4, NO)
    bench.feed(events.WorkerExited(refusing, 0))
    assert bench.view.zygotes[0] == ZygotePicture(1, State.READY, 3, 0.0)
    advance(bench)
    revert(bench, 5, new)
    assert bench.told(PartsReverted) == [PartsReverted(3, 5)]
    assert bench.view.zygotes[0] == KEPT


def advance(bench: Bench) -> None:
    """Let the next step of a roll in parts begin; the workers that it needs live."""
    bench.fire(Timer(TimerKind.HEARTBEAT))
    bench.be_born()


def revert(bench: Bench, epoch: int, leaving: WorkerId) -> None:
    """All serve again what they served first, under a later number; the worker of the part leaves."""
    for worker in crew(bench, 2):
        bench.greet(worker)
        bench.hear(worker, messages.Prepared, epoch)
        bench.hear(worker, messages.Activated, epoch)
    for _ in range(2):
        advance(bench)
        for worker in crew(bench, 2):
            bench.greet(worker)
            bench.hear(worker, messages.Activated, epoch)
    bench.feed(events.WorkerExited(leaving, 0))
    advance(bench)


def test_a_later_supervisor_lets_go_of_the_one_that_a_rollback_had_recalled_when_its_supervisor_died() -> None:
    bench = Bench()
    recovered = Recovered(JOURNAL, epoch=3, committed=snapshot(2, rolled=2), undecided=3)
    found = (ZygoteFound(1, 3), ZygoteFound(2, 2))
    bench.feed(events.Booted(recovered, 2, SECRET, 2, found))
    for each in found:
        bench.feed(events.ZygoteReady(each.cohort))
    assert bench.all(effects.StopZygote) == [effects.StopZygote(1)]
    assert ZygotePicture(2, State.READY, 2, 0.0) in bench.view.zygotes
