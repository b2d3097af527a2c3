"""A roll whose workers all crash is taken back, once, by the zygote that it replaced."""

import msgspec
import pytest

from changeover.supervisor.core import effects, events
from changeover.supervisor.core.child import State
from changeover.supervisor.core.effects import ProcessSignal
from changeover.supervisor.core.entries import EpochGiven, Origin, SlotRefusal, Trigger
from changeover.supervisor.core.events import Timer, TimerKind
from changeover.supervisor.core.outcome import (
    Action,
    Candidate,
    CutoverRequest,
    ScanRefused,
    SilentWorkers,
    Strategy,
)
from changeover.supervisor.core.policy import Deadlines, Policy
from changeover.supervisor.core.records.rescue import RescueBegan, RescueFailed
from changeover.supervisor.core.view import ZygotePicture
from changeover.supervisor.core.zygote import State as ZygoteState
from changeover.workers.protocol import messages
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from changeover.workers.protocol.snapshot import ApplicationSpec, Interpreter, UnitKey, UnitKind, UnitRef
from tests.machines import RELOAD, Bench, snapshot

SEGFAULT = -11
HEARTBEAT = Timer(TimerKind.HEARTBEAT)


def rolled(policy: Policy | None = None) -> Bench:
    """Two workers serve epoch 2, which replaced epoch 1; the old workers are gone."""
    bench = Bench(policy)
    bench.come_up()
    bench.feed(events.CutoverRequested(1, RELOAD))
    bench.find(snapshot(2, rolled=2))
    come_up(bench, 2)
    for worker in crew(bench, 1):
        bench.feed(events.WorkerExited(worker, 0))
    bench.forget()
    return bench


@pytest.fixture
def bench() -> Bench:
    return rolled()


def crew(bench: Bench, rolled: int) -> list[WorkerId]:
    slots = [slot for slot in bench.view.slots if slot.rolled == rolled]
    return [slot.worker for slot in slots if slot.worker is not None]


def come_up(bench: Bench, epoch: int) -> None:
    """The workers of a roll prepare, those that live agree, and all of the roll follow."""
    for worker in crew(bench, epoch):
        bench.greet(worker)
        bench.hear(worker, messages.Prepared, epoch)
    bench.prepare(epoch)
    for worker in crew(bench, epoch):
        bench.hear(worker, messages.Activated, epoch)


def crash(bench: Bench, *slots: int, status: int = SEGFAULT) -> None:
    """The workers in these slots die, and others take their places and serve."""
    for worker in [worker for worker in bench.living() if worker.slot in slots]:
        bench.feed(events.WorkerExited(worker, status))
    for slot in slots:
        bench.fire(Timer(TimerKind.CHILD, slot))
    bench.be_born()
    for worker in [worker for worker in bench.living() if worker.slot in slots]:
        bench.greet(worker)
        bench.hear(worker, messages.Activated, bench.view.epoch)


def crash_all(bench: Bench) -> None:
    """Every worker crashes, and so does the one that takes its place."""
    for _ in range(2):
        crash(bench, 2, 3)


def wished(bench: Bench) -> list[CutoverRequest]:
    return [scan.request for scan in bench.all(effects.Scan)]


def back(epoch: int) -> Candidate:
    return Candidate(msgspec.structs.replace(snapshot(epoch, rolled=epoch), digest="pricing1"), ("back",), restores=1)


def test_one_crash_of_each_worker_is_an_accident(bench: Bench) -> None:
    crash(bench, 2, 3)
    assert wished(bench) == []


def test_a_second_crash_of_each_takes_what_served_before_back_and_says_so(bench: Bench) -> None:
    crash_all(bench)
    why = "slot 2 was ended by signal 11"
    assert bench.told(RescueBegan) == [RescueBegan(2, 1, why)]
    origin = Origin(Trigger.RESCUE, label=f"all workers of epoch 2 crashed: {why}")
    assert wished(bench) == [CutoverRequest(origin, Action.ROLLBACK, to=1, strategy=Strategy.ROLL)]


def test_one_worker_that_goes_on_serving_is_enough_to_stay(bench: Bench) -> None:
    for _ in range(6):
        crash(bench, 2)
    assert wished(bench) == []


def test_the_kept_zygote_makes_the_workers_and_nothing_is_imported(bench: Bench) -> None:
    crash_all(bench)
    bench.forget()
    bench.feed(events.Scanned(3, back(3)))
    assert not bench.all(effects.StartZygote)
    assert [(fork.worker.cohort, fork.rolled) for fork in bench.all(effects.Fork)] == [(1, 3), (1, 3)]
    bench.be_born()
    come_up(bench, 3)
    assert bench.all(effects.StoreCell) == [effects.StoreCell(3)]
    assert [stop.cohort for stop in bench.all(effects.StopZygote)] == [2]


def test_a_zygote_of_another_interpreter_is_not_the_one_that_is_wanted(bench: Bench) -> None:
    crash_all(bench)
    bench.forget()
    other = Interpreter("/other/bin/python", "3.12.1")
    found = back(3)
    candidate = msgspec.structs.replace(found.snapshot, interpreter=other)
    bench.feed(events.Scanned(3, msgspec.structs.replace(found, snapshot=candidate)))
    assert [start.interpreter for start in bench.all(effects.StartZygote)] == [other]


def with_packages(found: Candidate, record: str) -> Candidate:
    """The same with an application that is taken with other packages."""
    key = UnitKey(UnitRef(UnitKind.APPLICATION, "app"), record, 1)
    app = ApplicationSpec(key, "shop:app", "/srv/shop", artifact="code", distributions=record)
    made = msgspec.structs.replace(found.snapshot, units=(*found.snapshot.units, app), digest=f"app with {record}")
    return msgspec.structs.replace(found, snapshot=made)


def replaced(bench: Bench, *threads: str) -> None:
    """Epoch 3, with an application and its packages of then, is replaced by a roll."""
    for epoch, record in ((3, "foo 1.1"), (4, "foo 1.2")):
        bench.feed(events.CutoverRequested(epoch, RELOAD))
        bench.find_only(with_packages(back(epoch), record).snapshot)
        bench.feed(events.ZygoteReady(bench.cohorts[-1], threads=threads))
        bench.be_born()
        come_up(bench, epoch)
        for worker in crew(bench, epoch - 1):
            bench.feed(events.WorkerExited(worker, 0))
    bench.forget()


def crash_of(bench: Bench, epoch: int) -> None:
    slots = [worker.slot for worker in crew(bench, epoch)]
    for _ in range(2):
        crash(bench, *slots)


def test_the_kept_zygote_makes_the_workers_also_where_other_packages_are_installed_now(bench: Bench) -> None:
    replaced(bench)
    [kept] = [each.cohort for each in bench.view.zygotes if each.state is ZygoteState.KEPT]
    crash_of(bench, 4)
    bench.forget()
    bench.feed(events.Scanned(5, with_packages(back(5), "foo 1.2")))
    assert not bench.all(effects.StartZygote)
    assert {fork.worker.cohort for fork in bench.all(effects.Fork)} == {kept}


def test_one_that_is_lost_after_that_is_followed_by_one_that_imports_with_the_packages_of_now(bench: Bench) -> None:
    replaced(bench)
    [kept] = [each.cohort for each in bench.view.zygotes if each.state is ZygoteState.KEPT]
    crash_of(bench, 4)
    bench.feed(events.Scanned(5, with_packages(back(5), "foo 1.2")))
    bench.be_born()
    come_up(bench, 5)
    bench.forget()
    bench.feed(events.ZygoteLost(kept, "was ended by signal 9"))
    bench.fire(Timer(TimerKind.ZYGOTE, kept))
    [started] = bench.all(effects.StartZygote)
    assert started.application is not None
    assert started.application.distributions == "foo 1.2"


def test_a_rollback_that_somebody_asks_for_does_not_mix_packages(bench: Bench) -> None:
    replaced(bench)
    bench.feed(events.CutoverRequested(5, msgspec.structs.replace(RELOAD, action=Action.ROLLBACK, to=3)))
    bench.feed(events.Scanned(5, with_packages(back(5), "foo 1.3")))
    assert len(bench.all(effects.StartZygote)) == 1


def test_what_crashed_is_held(bench: Bench) -> None:
    crash_all(bench)
    bench.forget()
    bench.feed(events.Scanned(3, back(3)))
    [given] = [entry for entry in bench.entries() if isinstance(entry, EpochGiven)]
    assert [held.ref.name for held in given.held] == ["pricing"]


def test_it_is_done_once(bench: Bench) -> None:
    crash_all(bench)
    bench.feed(events.Scanned(3, back(3)))
    bench.be_born()
    come_up(bench, 3)
    bench.forget()
    slots = [worker.slot for worker in crew(bench, 3)]
    for _ in range(6):
        crash(bench, *slots)
    assert wished(bench) == []


def test_what_somebody_rolled_back_is_not_taken_again_when_what_serves_instead_crashes(bench: Bench) -> None:
    bench.feed(events.CutoverRequested(2, msgspec.structs.replace(RELOAD, action=Action.ROLLBACK, to=1)))
    bench.find_only(back(3).snapshot)
    bench.preload()
    come_up(bench, 3)
    for worker in crew(bench, 2):
        bench.feed(events.WorkerExited(worker, 0))
    bench.forget()
    slots = [worker.slot for worker in crew(bench, 3)]
    for _ in range(2):
        crash(bench, *slots)
    assert wished(bench) == []


def rolled_out_of_a_crash() -> Bench:
    """Every slot of epoch 1 crashed, so somebody rolled to epoch 2, whose workers serve alone now."""
    bench = Bench()
    bench.come_up()
    for _ in range(2):
        crash(bench, 0, 1)
    bench.feed(events.CutoverRequested(1, msgspec.structs.replace(RELOAD, strategy=Strategy.ROLL)))
    bench.find(snapshot(2, rolled=2))
    come_up(bench, 2)
    for worker in crew(bench, 1):
        bench.feed(events.WorkerExited(worker, 0))
    bench.forget()
    return bench


def test_what_crashed_itself_is_no_way_back_and_that_is_told_once() -> None:
    bench = rolled_out_of_a_crash()
    for _ in range(2):
        crash_all(bench)
    assert wished(bench) == []
    assert bench.told(RescueFailed) == [RescueFailed(2, "epoch 1, which it replaced, crashed as well")]
    assert {slot.state for slot in bench.view.slots} == {State.SERVING}


@pytest.mark.parametrize("pause", [0.0, 86400.0])
def test_what_lost_workers_long_ago_or_now_and_then_is_a_way_back(pause: float) -> None:
    bench = Bench()
    bench.come_up()
    for _ in range(2):
        bench.now += pause
        crash(bench, 0, 1, status=-9)
    bench.now += 86400.0
    bench.feed(events.CutoverRequested(1, msgspec.structs.replace(RELOAD, strategy=Strategy.ROLL)))
    bench.find(snapshot(2, rolled=2))
    come_up(bench, 2)
    for worker in crew(bench, 1):
        bench.feed(events.WorkerExited(worker, 0))
    crash_all(bench)
    assert [wish.to for wish in wished(bench) if wish.origin.trigger is Trigger.RESCUE] == [1]


def test_what_crashed_is_a_way_back_for_who_asks() -> None:
    bench = rolled_out_of_a_crash()
    bench.feed(events.CutoverRequested(2, msgspec.structs.replace(RELOAD, action=Action.ROLLBACK, to=1)))
    bench.find_only(back(3).snapshot)
    assert not bench.all(effects.StartZygote)
    bench.preload()
    come_up(bench, 3)
    assert bench.all(effects.StoreCell) == [effects.StoreCell(3)]


def test_what_was_mended_by_a_swap_since_is_a_way_back() -> None:
    bench = Bench()
    bench.come_up()
    for _ in range(2):
        crash(bench, 0, 1)
    bench.feed(events.CutoverRequested(1, RELOAD))
    bench.find(snapshot(2))
    bench.prepare(2)
    bench.activate(2)
    bench.feed(events.CutoverRequested(2, RELOAD))
    bench.find(snapshot(3, rolled=3))
    come_up(bench, 3)
    for worker in crew(bench, 1):
        bench.feed(events.WorkerExited(worker, 0))
    bench.forget()
    crash_all(bench)
    assert [wish.to for wish in wished(bench)] == [2]


def test_a_way_back_that_is_refused_is_not_tried_again_and_its_reason_is_told(bench: Bench) -> None:
    crash_all(bench)
    gone = (SlotRefusal(-1, 0, Refusal(Stage.SCAN, Fault.RESOURCE, "epoch 1 is not kept")),)
    bench.feed(events.Scanned(3, ScanRefused(gone)))
    assert bench.told(RescueFailed) == [RescueFailed(2, "epoch 1 is not kept", gone)]
    bench.forget()
    crash_all(bench)
    assert wished(bench) == []


def test_the_zygote_that_no_rescue_could_use_is_there_for_who_asks_for_the_rest_of_its_time() -> None:
    bench = rolled_out_of_a_crash()
    for _ in range(2):
        crash_all(bench)
    assert bench.told(RescueFailed)
    assert bench.view.zygotes[0] == ZygotePicture(1, ZygoteState.KEPT, 1, Deadlines().rescue)
    bench.forget()
    bench.feed(events.CutoverRequested(2, msgspec.structs.replace(RELOAD, action=Action.ROLLBACK, to=1)))
    bench.feed(events.Scanned(3, back(3)))
    assert not bench.all(effects.StartZygote)
    assert {fork.worker.cohort for fork in bench.all(effects.Fork)} == {1}


def test_a_later_roll_has_its_own_way_back(bench: Bench) -> None:
    crash_all(bench)
    bench.feed(events.Scanned(3, ScanRefused(())))
    roll_again(bench)
    roll_again(bench, 4)
    bench.forget()
    crash_all(bench)
    assert [wish.to for wish in wished(bench)] == [3]


def kill_in_prepare(bench: Bench, epoch: int, slot: int) -> None:
    """A candidate is asked for, and kills the workers in a slot, one by one, until it is refused."""
    bench.feed(events.CutoverRequested(epoch, RELOAD))
    bench.find_only(snapshot(epoch, rolled=2))
    while epoch not in bench.outcomes():
        [worker] = [worker for worker in bench.living() if worker.slot == slot]
        bench.greet(worker)
        bench.feed(events.WorkerExited(worker, SEGFAULT))
        bench.be_born()
    [worker] = [worker for worker in bench.living() if worker.slot == slot]
    bench.greet(worker)
    bench.hear(worker, messages.Activated, 2)


def test_workers_that_candidates_killed_did_not_crash_of_what_serves(bench: Bench) -> None:
    for epoch, slot in enumerate((2, 3) * 4, start=3):
        kill_in_prepare(bench, epoch, slot)
    assert not bench.told(RescueBegan)
    crash(bench, 2, 3)
    assert not bench.told(RescueBegan)
    crash(bench, 2, 3)
    assert len(bench.told(RescueBegan)) == 1


KILL = msgspec.structs.replace(RELOAD, on_silent_workers=SilentWorkers.KILL)


def kill_silent(bench: Bench, *slots: int) -> None:
    """Those that are to be killed in these slots die of that, and others take their places and serve."""
    for worker in [worker for worker in bench.living() if worker.slot in slots]:
        bench.feed(events.StacksDumped(worker, "it waits"))
    crash(bench, *slots, status=-9)


def hang_in_prepare(bench: Bench, epoch: int) -> None:
    """A candidate is asked for in whose prepare every worker hangs; they are killed for that, and it is refused."""
    bench.feed(events.CutoverRequested(epoch, KILL))
    bench.find_only(snapshot(epoch, rolled=2))
    bench.now += Deadlines().prepare
    bench.fire(Timer(TimerKind.PREPARE, epoch))
    kill_silent(bench, 2, 3)
    bench.fire(Timer(TimerKind.PREPARE, epoch))
    assert epoch in bench.outcomes()


def test_workers_that_hang_in_a_candidate_and_are_killed_did_not_crash_of_what_serves(bench: Bench) -> None:
    for epoch in (3, 4, 5):
        hang_in_prepare(bench, epoch)
    assert not bench.told(RescueBegan)
    assert {slot.state for slot in bench.view.slots} == {State.SERVING}


def test_nor_do_those_whose_loops_it_blocks_until_after_it_was_refused(bench: Bench) -> None:
    for epoch in (3, 4):
        bench.feed(events.CutoverRequested(epoch, RELOAD))
        bench.find_only(snapshot(epoch, rolled=2))
        for _ in range(2):
            bench.now += 1.0
            bench.fire(Timer(TimerKind.PREPARE, epoch))
        assert epoch in bench.outcomes()
        be_hung(bench)
    assert not bench.told(RescueBegan)


def be_hung(bench: Bench) -> None:
    """No loop is heard for so long that all workers are killed, and others take their places and serve."""
    bench.fire(HEARTBEAT)
    while not any(slot.state is State.KILLING for slot in bench.view.slots):
        bench.now += 1.0
        bench.fire(HEARTBEAT)
    kill_silent(bench, 2, 3)


def test_those_that_hang_while_nothing_is_tried_do(bench: Bench) -> None:
    hang_in_prepare(bench, 3)
    for worker in bench.living():
        bench.now += 1.0
        bench.hear(worker, messages.Activated, 2)
    for _ in range(2):
        be_hung(bench)
    assert len(bench.told(RescueBegan)) == 1


def test_what_lost_workers_to_candidates_alone_is_a_way_back(bench: Bench) -> None:
    for epoch, slot in enumerate((2, 3) * 2, start=3):
        kill_in_prepare(bench, epoch, slot)
    bench.feed(events.CutoverRequested(7, msgspec.structs.replace(RELOAD, strategy=Strategy.ROLL)))
    bench.find_only(snapshot(7, rolled=7))
    bench.preload()
    come_up(bench, 7)
    for worker in crew(bench, 2):
        bench.feed(events.WorkerExited(worker, 0))
    crash_of(bench, 7)
    assert [wish.to for wish in wished(bench) if wish.origin.trigger is Trigger.RESCUE] == [2]


def test_workers_that_are_told_to_leave_did_not_crash(bench: Bench) -> None:
    bench.feed(events.ScaleRequested(0))
    for worker in bench.living():
        bench.feed(events.WorkerExited(worker, 0))
    assert wished(bench) == []


def test_workers_that_cannot_be_forked_did_not_crash(bench: Bench) -> None:
    for worker in bench.living():
        bench.feed(events.WorkerExited(worker, SEGFAULT))
    for slot in (2, 3) * 4:
        bench.fire(Timer(TimerKind.CHILD, slot))
        for each in bench.view.slots:
            if each.slot == slot and each.worker is not None:
                bench.feed(events.ForkFailed(each.worker, "no memory"))
    assert [slot.state for slot in bench.view.slots] == [State.PARKED, State.BACKOFF]
    assert wished(bench) == []


def test_crashes_before_the_last_commit_are_nothing_against_it(bench: Bench) -> None:
    crash(bench, 2, 3)
    bench.feed(events.CutoverRequested(2, RELOAD))
    bench.find(snapshot(3, rolled=2))
    bench.prepare(3)
    bench.activate(3)
    crash(bench, 2, 3)
    assert len(wished(bench)) == 1


def test_a_cutover_that_runs_is_not_disturbed(bench: Bench) -> None:
    bench.feed(events.CutoverRequested(2, RELOAD))
    crash_all(bench)
    assert len(wished(bench)) == 1
    bench.feed(events.Scanned(3, ScanRefused(())))
    assert [request.origin.trigger for request in wished(bench)] == [Trigger.COMMAND, Trigger.RESCUE]


def test_nothing_is_taken_back_once_the_service_stops(bench: Bench) -> None:
    bench.feed(events.StopRequested())
    for worker in bench.living():
        bench.feed(events.WorkerExited(worker, SEGFAULT))
    assert wished(bench) == []


def test_the_picture_names_the_zygote_that_is_kept_and_until_when(bench: Bench) -> None:
    ready = ZygotePicture(2, ZygoteState.READY, 2, 0.0)
    assert list(bench.view.zygotes) == [ZygotePicture(1, ZygoteState.KEPT, 1, Deadlines().rescue), ready]
    bench.fire(Timer(TimerKind.ZYGOTE, 1))
    assert list(bench.view.zygotes) == [ZygotePicture(1, ZygoteState.STOPPING, 1, 0.0), ready]
    bench.feed(events.ZygoteLost(1, "it was told to leave"))
    assert list(bench.view.zygotes) == [ready]


def roll_again(bench: Bench, epoch: int = 3) -> None:
    bench.feed(events.CutoverRequested(epoch, RELOAD))
    bench.find_only(snapshot(epoch, rolled=epoch))
    bench.feed(events.ZygoteReady(bench.cohorts[-1]))
    bench.be_born()
    come_up(bench, epoch)
    for worker in crew(bench, epoch - 1):
        bench.feed(events.WorkerExited(worker, 0))


def test_one_in_whose_place_another_is_kept_ends_only_once_connections_have_been_handed_over(bench: Bench) -> None:
    roll_again(bench)
    assert not bench.all(effects.StopZygote)
    assert [zygote.state for zygote in bench.view.zygotes[:2]] == [ZygoteState.SUPERSEDED, ZygoteState.KEPT]
    bench.fire(Timer(TimerKind.ZYGOTE, 1))
    assert bench.all(effects.StopZygote) == [effects.StopZygote(1)]


def test_the_way_back_is_to_what_was_replaced_last(bench: Bench) -> None:
    roll_again(bench)
    bench.forget()
    for _ in range(2):
        crash(bench, 0, 1)
    assert [wish.to for wish in wished(bench)] == [2]


def test_the_end_of_the_service_ends_it_at_once(bench: Bench) -> None:
    roll_again(bench)
    bench.feed(events.StopRequested())
    for worker in bench.living():
        bench.feed(events.WorkerExited(worker, 0))
    assert [stop.cohort for stop in bench.all(effects.StopZygote)] == [1, 2, 3]


def test_one_that_is_taken_over_is_not_kept_any_more(bench: Bench) -> None:
    crash_all(bench)
    bench.feed(events.Scanned(3, back(3)))
    assert bench.view.zygotes[0] == ZygotePicture(1, ZygoteState.READY, 3, 0.0)


def test_after_the_time_it_is_left_to_people(bench: Bench) -> None:
    bench.fire(Timer(TimerKind.ZYGOTE, 1))
    crash_all(bench)
    assert wished(bench) == []


def test_without_a_time_nothing_is_kept() -> None:
    bench = rolled(Policy(deadlines=Deadlines(rescue=0.0)))
    crash_all(bench)
    assert wished(bench) == []


def test_a_kept_zygote_that_dies_is_gone_with_the_way_back(bench: Bench) -> None:
    bench.feed(events.ZygoteLost(1, "was killed"))
    assert not bench.all(effects.StartZygote)
    crash_all(bench)
    assert wished(bench) == []


def test_the_end_of_the_service_ends_the_kept_zygote_too(bench: Bench) -> None:
    bench.feed(events.StopRequested())
    assert {signal.signal for signal in bench.all(effects.Signal)} == {ProcessSignal.TERM}
    for worker in bench.living():
        bench.feed(events.WorkerExited(worker, 0))
    assert [stop.cohort for stop in bench.all(effects.StopZygote)] == [1, 2]


def move(*addresses: str) -> Bench:
    """One roll after the other, each to other addresses, whoever is replaced leaves."""
    bench = Bench()
    bench.boot()
    for epoch, address in enumerate(addresses, 1):
        if epoch > 1:
            bench.feed(events.CutoverRequested(epoch, RELOAD))
        bench.find_only(msgspec.structs.replace(snapshot(epoch, rolled=epoch), listen=(address,)))
        bench.feed(events.Bound(epoch))
        bench.preload()
        come_up(bench, epoch)
        for worker in crew(bench, epoch - 1):
            bench.feed(events.WorkerExited(worker, 0))
    return bench


def moved_back(epoch: int) -> Candidate:
    found = back(epoch)
    return msgspec.structs.replace(found, snapshot=msgspec.structs.replace(found.snapshot, listen=("shop:1",)))


def test_a_zygote_that_inherited_other_sockets_is_not_the_one_that_is_wanted() -> None:
    bench = move("shop:1", "shop:2")
    crash_all(bench)
    bench.forget()
    bench.feed(events.Scanned(3, moved_back(3)))
    assert bench.all(effects.Bind) == [effects.Bind(3, ("shop:1",))]
    bench.feed(events.Bound(3))
    assert [start.rolled for start in bench.all(effects.StartZygote)] == [3]


def test_nor_is_it_when_what_serves_is_where_the_content_that_is_wanted_back_was() -> None:
    bench = move("shop:1", "shop:2", "shop:1")
    bench.feed(events.CutoverRequested(9, msgspec.structs.replace(RELOAD, action=Action.ROLLBACK, to=1)))
    bench.forget()
    bench.feed(events.Scanned(4, moved_back(4)))
    assert not bench.all(effects.Bind)
    assert [start.rolled for start in bench.all(effects.StartZygote)] == [4]
