import msgspec
import pytest

from changeover.supervisor.core import boot, effects, events
from changeover.supervisor.core.children import nonce
from changeover.supervisor.core.entries import Aborted, Recovered, Retired, TermBegun, Trigger
from changeover.supervisor.core.events import Child, Timer, TimerKind, ZygoteFound
from changeover.supervisor.core.outcome import Refused
from changeover.supervisor.core.policy import Boot, Policy, Restarts
from changeover.supervisor.core.records.boot import BootFellBack, StartCompleted
from changeover.supervisor.core.records.cutover import CutoverCompleted
from changeover.supervisor.core.records.staffing import SlotParked, ZygoteLost
from changeover.supervisor.core.records.worker import WorkerAdopted
from changeover.workers.protocol import messages
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.messages import PROTOCOL_VERSION
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from changeover.workers.protocol.snapshot import Interpreter
from tests.machines import JOURNAL, RELOAD, SECRET, Bench, snapshot, unit

SERVED = Recovered(JOURNAL, term=1, epoch=7, committed=snapshot(7))
ORPHAN = WorkerId(1, 0, 1_000_001)
LIVING = (ZygoteFound(1, 1),)


def refuse(bench: Bench, epoch: int, stage: Stage = Stage.LOAD) -> None:
    bench.find(snapshot(epoch, rolled=epoch))
    bench.greet_all()
    bench.hear(bench.workers[0], messages.Refused, epoch, Refusal(stage, Fault.CONTRACT, "does not load"))


def start(bench: Bench) -> boot.State:
    return bench.view.start


def leave(bench: Bench) -> effects.Exit:
    for worker in bench.living():
        bench.feed(events.WorkerExited(worker, 0))
    for cohort in bench.cohorts:
        bench.feed(events.ZygoteLost(cohort, "ended"))
    return bench.all(effects.Exit)[0]


def test_a_zygote_of_what_was_never_committed_is_nobody_who_serves() -> None:
    recovered = msgspec.structs.replace(SERVED, epoch=8)
    for rolled, scans in ((1, 0), (8, 1)):
        bench = Bench()
        bench.feed(events.Booted(recovered, 2, SECRET, zygotes=(ZygoteFound(1, rolled),)))
        bench.feed(events.ZygoteReady(1))
        assert len(bench.all(effects.Scan)) == scans


def test_workers_of_what_was_never_committed_serve_nobody_and_are_told_to_leave() -> None:
    recovered = msgspec.structs.replace(SERVED, epoch=8)
    for rolled, scans, signals in ((1, 0, []), (8, 1, [ORPHAN])):
        bench = Bench()
        bench.feed(events.Booted(recovered, 2, SECRET, 1, living=(Child(ORPHAN, 77, rolled),)))
        assert len(bench.all(effects.Scan)) == scans
        assert [each.worker for each in bench.all(effects.Signal)] == signals


def test_workers_of_an_earlier_roll_served_until_the_last_one_replaced_them() -> None:
    recovered = msgspec.structs.replace(SERVED, epoch=8, committed=snapshot(8, rolled=8))
    bench = Bench()
    bench.feed(events.Booted(recovered, 2, SECRET, 1, living=(Child(ORPHAN, 77, 1),)))
    assert not bench.all(effects.Scan)


def test_the_new_term_is_on_disk_before_anything_else_happens() -> None:
    bench = Bench()
    bench.writes = False
    bench.feed(events.Booted(SERVED, 2, SECRET))
    assert [effect.entry for effect in bench.all(effects.Persist)] == [TermBegun(2)]
    assert not bench.all(effects.StartZygote)


def test_a_cold_start_makes_what_is_on_disk_the_candidate() -> None:
    bench = Bench()
    bench.boot(SERVED)
    assert [(scan.epoch, scan.request.origin.trigger) for scan in bench.all(effects.Scan)] == [(8, Trigger.BOOT)]
    assert not bench.all(effects.StoreCell)


def test_refused_at_a_cold_start_the_last_committed_content_serves_loudly() -> None:
    bench = Bench()
    bench.boot(SERVED)
    refuse(bench, 8)
    assert [record.serving for record in bench.told(BootFellBack)] == [7]
    assert bench.all(effects.StoreCell) == [effects.StoreCell(7)]
    assert bench.said(messages.Welcome)[-1].current == snapshot(7)


def test_once_what_was_committed_before_serves_everywhere_again_that_is_told() -> None:
    bench = Bench(Policy(boot=Boot.LAST))
    bench.boot(SERVED)
    first, second = bench.workers
    bench.greet(first)
    bench.hear(first, messages.Activated, 7, 0, ())
    assert not bench.told(StartCompleted)
    bench.greet(second)
    bench.hear(second, messages.Activated, 7, 0, ())
    bench.hear(second, messages.Activated, 7, 0, ())
    assert bench.told(StartCompleted) == [StartCompleted(7, 2)]


def test_workers_that_were_adopted_serve_again_as_well() -> None:
    bench = Bench()
    bench.feed(events.Booted(SERVED, 1, SECRET, 1, LIVING, (Child(ORPHAN, 77, 1),)))
    bench.feed(events.ZygoteReady(1, (Child(ORPHAN, 77, 1),)))
    assert not bench.told(StartCompleted)
    bench.greet(ORPHAN, epoch=7)
    assert bench.told(StartCompleted) == [StartCompleted(7, 1)]


def test_of_new_content_at_a_start_its_cutover_tells_alone() -> None:
    bench = Bench()
    bench.boot()
    bench.find(snapshot(1))
    bench.greet_all()
    bench.prepare(1)
    bench.activate(1)
    assert bench.told(CutoverCompleted)
    assert not bench.told(StartCompleted)


def test_told_to_boot_the_last_nothing_is_scanned() -> None:
    bench = Bench(Policy(boot=Boot.LAST))
    bench.boot(SERVED)
    assert not bench.all(effects.Scan)
    assert bench.all(effects.StoreCell) == [effects.StoreCell(7)]


def test_told_to_boot_the_disk_a_refusal_ends_the_service() -> None:
    bench = Bench(Policy(boot=Boot.DISK))
    bench.boot(SERVED)
    refuse(bench, 8)
    assert leave(bench).code == boot.APP_FAILED


@pytest.mark.parametrize(("stage", "code"), [(Stage.LOAD, boot.APP_FAILED), (Stage.PREPARE, boot.WORKER_FAILED)])
def test_a_first_start_that_is_refused_ends_with_the_reason(stage: Stage, code: int) -> None:
    bench = Bench()
    bench.boot()
    refuse(bench, 1, stage)
    end = leave(bench)
    assert end.code == code
    assert "does not load" in end.reason


def test_a_preload_that_fails_at_the_start_ends_the_service() -> None:
    bench = Bench()
    bench.feed(events.Booted(Recovered(JOURNAL), 2, SECRET))
    bench.find_only(snapshot(1))
    bench.feed(events.ZygoteLost(1, "exited", Refusal(Stage.LOAD, Fault.CONTRACT, "no module named shop")))
    end = bench.all(effects.Exit)[0]
    assert (end.code, end.reason) == (boot.APP_FAILED, "no module named shop")
    [lost] = bench.told(ZygoteLost)
    assert lost.refusal is not None
    assert (lost.expected, lost.refuses) == (False, True)


def test_a_zygote_that_dies_without_a_word_is_tried_again_before_the_service_ends_with_status_3() -> None:
    bench = Bench()
    bench.feed(events.Booted(Recovered(JOURNAL), 2, SECRET))
    bench.find_only(snapshot(1))
    mute = Refusal(Stage.PREPARE, Fault.CRASH, "ended with status -11 while it was preloaded")
    cohorts = 0
    while not bench.all(effects.Exit):
        cohorts += 1
        assert cohorts < 10
        bench.feed(events.ZygoteLost(cohorts, "ended with status -11", mute))
        if not bench.all(effects.Exit):
            bench.fire(Timer(TimerKind.ZYGOTE, cohorts))
    assert cohorts == 5
    assert bench.all(effects.Exit)[0].code == boot.WORKER_FAILED


def test_a_zygote_that_the_system_does_not_execute_is_tried_again_before_the_service_ends_with_status_1() -> None:
    bench = Bench()
    bench.feed(events.Booted(Recovered(JOURNAL), 2, SECRET))
    bench.find_only(snapshot(1))
    refused = Refusal(Stage.PREPARE, Fault.RESOURCE, "cannot start the zygote: too many open files")
    for cohort in range(1, 6):
        assert not bench.all(effects.Exit)
        bench.feed(events.ZygoteLost(cohort, refused.summary, refused))
        bench.fire(Timer(TimerKind.ZYGOTE, cohort))
    [end] = bench.all(effects.Exit)
    assert (end.code, end.reason) == (boot.CANNOT, refused.summary)


def test_the_interpreter_of_the_last_committed_content_executes_it_again() -> None:
    other = Interpreter("/other/bin/python", "3.12.1")
    committed = msgspec.structs.replace(snapshot(7), interpreter=other)
    bench = Bench(Policy(boot=Boot.LAST))
    bench.feed(events.Booted(msgspec.structs.replace(SERVED, committed=committed), 2, SECRET))
    assert [start.interpreter for start in bench.all(effects.StartZygote)] == [other]


def test_a_first_start_whose_journal_cannot_be_written_is_nobodys_fault_but_the_disks() -> None:
    bench = Bench()
    bench.writes = False
    bench.feed(events.Booted(Recovered(JOURNAL), 1, SECRET), events.PersistFailed(1, "read-only file system"))
    assert leave(bench).code == boot.CANNOT


def test_a_first_start_at_which_a_worker_dies_without_a_word_ends_with_status_3() -> None:
    bench = Bench()
    bench.boot()
    bench.find(snapshot(1))
    bench.greet_all()
    bench.feed(events.WorkerExited(bench.workers[0], -11))
    assert leave(bench).code == boot.WORKER_FAILED


def test_a_start_at_which_no_worker_comes_to_serve_parks_every_slot_and_ends_with_status_3() -> None:
    bench = Bench(Policy(boot=Boot.LAST))
    bench.boot(SERVED)
    for number in (0, 1):
        for _ in range(Restarts().intensity):
            bench.fire(Timer(TimerKind.CHILD, number))
            bench.be_born()
            [worker] = [worker for worker in bench.living() if worker.slot == number]
            bench.feed(events.WorkerExited(worker, -11))
    assert {record.slot for record in bench.told(SlotParked)} == {0, 1}
    assert leave(bench).code == boot.WORKER_FAILED


def test_living_workers_are_adopted_and_go_on_serving_what_is_committed() -> None:
    bench = Bench()
    bench.feed(events.Booted(SERVED, 1, SECRET, 1, LIVING, (Child(ORPHAN, 77, 1),)))
    assert not bench.all(effects.Scan)
    assert bench.all(effects.StoreCell) == [effects.StoreCell(7), effects.StoreCell(7, 1)]
    assert bench.all(effects.AdoptZygote) == [effects.AdoptZygote(1)]
    bench.feed(events.ZygoteReady(1, (Child(ORPHAN, 77, 1),)))
    bench.greet(ORPHAN, epoch=7)
    assert [record.epoch for record in bench.told(WorkerAdopted)] == [7]
    assert not bench.all(effects.Fork)


def test_an_adopted_worker_was_born_before_us() -> None:
    bench = Bench()
    bench.feed(events.Booted(SERVED, 1, SECRET, 1, LIVING, (Child(ORPHAN, 77, 1, age=40.0),)))
    bench.feed(events.ZygoteReady(1, (Child(ORPHAN, 77, 1, age=40.1),)))
    [slot] = bench.view.slots
    assert slot.born == bench.now - 40.0


@pytest.mark.parametrize("overtaken", [False, True])
def test_an_adopted_worker_holds_what_its_hello_says_unless_it_said_meanwhile_that_it_let_go(overtaken: bool) -> None:
    bench = Bench()
    bench.feed(events.Booted(SERVED, 1, SECRET, 1, LIVING, (Child(ORPHAN, 77, 1),)))
    bench.feed(events.ZygoteReady(1, (Child(ORPHAN, 77, 1),)))
    old = unit("pricing", 6)
    if overtaken:
        bench.hear(ORPHAN, messages.Retired, 7, (old,))
    bench.hear(ORPHAN, messages.Hello, 7, PROTOCOL_VERSION, nonce(SECRET, ORPHAN), 77, None, (old,))
    assert [leftover.unit for leftover in bench.view.leftovers] == ([] if overtaken else [old])


def test_what_an_adopted_worker_let_go_of_unheard_is_known_from_what_it_says_of_the_committed_epoch() -> None:
    bench = Bench()
    bench.feed(events.Booted(SERVED, 1, SECRET, 1, LIVING, (Child(ORPHAN, 77, 1),)))
    bench.feed(events.ZygoteReady(1, (Child(ORPHAN, 77, 1),)))
    old = unit("pricing", 6)
    bench.hear(ORPHAN, messages.Hello, 7, PROTOCOL_VERSION, nonce(SECRET, ORPHAN), 77, None, (old,), 1)
    bench.hear(ORPHAN, messages.Activated, 7, 0, ())
    assert bench.view.leftovers == ()


def adopted(bench: Bench, slots: int, *workers: WorkerId) -> None:
    children = tuple(Child(worker, 70 + worker.slot, 1) for worker in workers)
    bench.feed(events.Booted(SERVED, slots, SECRET, 1, LIVING, children))
    bench.feed(events.ZygoteReady(1, children))


def test_one_that_is_too_many_hands_over_once_all_that_were_adopted_could_take_over() -> None:
    bench, crew = Bench(), [WorkerId(1, slot, 1_000_001 + slot) for slot in range(3)]
    adopted(bench, 2, *crew)
    for worker in crew:
        bench.fire(Timer(TimerKind.HEARTBEAT))
        assert not bench.said(messages.HandOver)
        bench.greet(worker, epoch=7)
    bench.fire(Timer(TimerKind.HEARTBEAT))
    assert [message.successors for message in bench.said(messages.HandOver)] == [(crew[2], crew[1])]
    assert not bench.all(effects.Signal)


def test_one_that_was_told_to_hand_over_by_the_supervisor_before_is_not_counted_on() -> None:
    bench, crew = Bench(), [WorkerId(1, slot, 1_000_001 + slot) for slot in range(3)]
    adopted(bench, 2, *crew)
    for worker in crew:
        bench.greet(worker, epoch=7)
    bench.hear(crew[1], messages.Yielding, 0)
    bench.fire(Timer(TimerKind.HEARTBEAT))
    assert not bench.said(messages.HandOver)
    bench.fire(Timer(TimerKind.REPEAT))
    assert [message.successors for message in bench.said(messages.HandOver)] == [(crew[2], crew[0])]
    bench.feed(events.WorkerExited(crew[1], 0))
    assert bench.living() == [crew[0], crew[2]]
    assert not bench.all(effects.Signal)
    assert not bench.all(effects.Fork)


def test_one_that_hands_over_since_the_supervisor_before_is_replaced_when_it_is_missing() -> None:
    bench, crew = Bench(), [WorkerId(1, slot, 1_000_001 + slot) for slot in range(2)]
    adopted(bench, 2, *crew)
    for worker in crew:
        bench.greet(worker, epoch=7)
    bench.hear(crew[0], messages.Yielding, 0)
    assert [fork.worker.slot for fork in bench.all(effects.Fork)] == [2]


def test_nothing_is_retired_while_a_worker_may_live_whose_zygote_died_before_it_could_tell_of_it() -> None:
    bench, found = Bench(), (ZygoteFound(1, 1), ZygoteFound(2, 2))
    serves = Recovered(JOURNAL, 1, 2, snapshot(2, rolled=2), unretired=(1,))
    successor = WorkerId(2, 1, 1_000_002)
    bench.feed(events.Booted(serves, 1, SECRET, 2, found, ()))
    bench.feed(events.ZygoteLost(1, "is gone"), events.ZygoteReady(2, (Child(successor, 78, 2),)))
    bench.hear(successor, messages.Hello, 2, PROTOCOL_VERSION, nonce(SECRET, successor), 78, None, (), 2)
    assert Retired(1) not in bench.entries()
    bench.hear(ORPHAN, messages.Hello, 2, PROTOCOL_VERSION, nonce(SECRET, ORPHAN), 77, None, (unit("pricing", 1),), 1)
    bench.fire(Timer(TimerKind.ADOPTION))
    assert Retired(1) not in bench.entries()
    bench.feed(events.WorkerExited(ORPHAN, 0))
    assert Retired(1) in bench.entries()


def test_what_was_undecided_is_aborted_before_anything_new() -> None:
    bench = Bench()
    bench.feed(
        events.Booted(Recovered(JOURNAL, 1, 8, snapshot(7), undecided=8), 1, SECRET, 1, LIVING, (Child(ORPHAN, 7, 1),))
    )
    aborted = bench.entries()[1]
    assert isinstance(aborted, Aborted)
    assert aborted.epoch == 8


def test_who_was_made_for_a_roll_that_is_aborted_has_time_to_undo_what_it_migrated() -> None:
    bench, fresh = Bench(), WorkerId(2, 1, 1_000_002)
    recovered = Recovered(JOURNAL, 1, 8, snapshot(7), undecided=8)
    bench.feed(events.Booted(recovered, 1, SECRET, 1, LIVING, (Child(ORPHAN, 7, 1), Child(fresh, 78, 8))))
    assert bench.all(effects.Signal) == [effects.Signal(fresh, effects.ProcessSignal.TERM)]


def test_a_journal_that_cannot_be_written_is_supervised_read_only_and_tried_again() -> None:
    bench = Bench()
    bench.writes = False
    bench.feed(events.Booted(SERVED, 1, SECRET, 1, LIVING, (Child(ORPHAN, 7, 1),)))
    bench.feed(events.PersistFailed(1, "read-only file system"))
    bench.feed(events.CutoverRequested(1, RELOAD))
    outcome = bench.outcomes()[1]
    assert isinstance(outcome, Refused)
    assert "read-only file system" in outcome.reason
    assert start(bench) is boot.State.READ_ONLY
    bench.greet(ORPHAN, epoch=7)
    assert bench.said(messages.Welcome)
    bench.writes = True
    bench.fire(Timer(TimerKind.REWRITE))
    assert start(bench) is boot.State.OPEN
    assert bench.view.obstacle is None


def test_a_stop_that_comes_before_it_is_known_who_lives_waits_for_that() -> None:
    bench = Bench()
    bench.writes = False
    bench.feed(events.Booted(SERVED, 1, SECRET, 1, LIVING, (Child(ORPHAN, 7, 1),)))
    bench.feed(events.StopRequested())
    assert not bench.all(effects.Exit)
    bench.writes = True
    bench.feed(events.Persisted(1))
    assert [signal.worker for signal in bench.all(effects.Signal)] == [ORPHAN]


def test_a_scale_that_comes_before_it_is_known_who_lives_is_not_forgotten() -> None:
    bench = Bench()
    bench.writes = False
    bench.feed(events.Booted(Recovered(JOURNAL), 2, SECRET), events.ScaleRequested(5))
    bench.writes = True
    bench.feed(events.Persisted(1))
    bench.find(snapshot(1))
    assert len(bench.view.slots) == 5


def test_an_adopted_worker_hears_of_the_new_term_as_soon_as_it_listens() -> None:
    bench = Bench()
    bench.feed(events.Booted(SERVED, 2, SECRET, 1, LIVING), events.ZygoteReady(1, (Child(ORPHAN, 100, 1),)))
    bench.forget()
    bench.feed(events.Subscribed(ORPHAN))
    [told] = bench.all(effects.Unicast)
    assert (told.worker, told.message.stamp.term) == (ORPHAN, 2)
    assert isinstance(told.message, messages.Pulse)
    bench.greet(ORPHAN, 7)
    bench.forget()
    bench.feed(events.Subscribed(ORPHAN))
    assert bench.said(messages.Welcome)
    assert not bench.said(messages.Pulse)


def test_no_slot_is_filled_that_may_be_that_of_a_worker_whose_zygote_is_still_to_be_heard() -> None:
    bench = Bench()
    rolled, leaving = WorkerId(2, 2, 1_000_003), WorkerId(1, 1, 1_000_002)
    recovered = Recovered(JOURNAL, 1, 2, snapshot(2, rolled=2))
    bench.feed(events.Booted(recovered, 2, SECRET, 2, (ZygoteFound(1, 1), ZygoteFound(2, 2))))
    bench.feed(events.ZygoteReady(2, (Child(rolled, 102, 2),)))
    assert not bench.all(effects.Fork)
    bench.feed(events.ZygoteReady(1, (Child(leaving, 101, 1),)))
    assert not bench.all(effects.Signal)
    assert set(bench.living()) >= {rolled, leaving}
    assert [effect.worker.slot for effect in bench.all(effects.Fork)] == [0]


def test_slots_are_filled_once_a_zygote_that_was_to_be_heard_is_gone() -> None:
    bench = Bench()
    recovered = Recovered(JOURNAL, 1, 2, snapshot(2, rolled=2))
    bench.feed(events.Booted(recovered, 1, SECRET, 2, (ZygoteFound(1, 1), ZygoteFound(2, 2))))
    bench.feed(events.ZygoteReady(2))
    assert not bench.all(effects.Fork)
    bench.feed(events.ZygoteLost(1, "killed"))
    assert [effect.worker.cohort for effect in bench.all(effects.Fork)] == [2]


def test_a_worker_that_is_heard_when_its_slot_is_filled_ends_what_it_has_begun_and_leaves() -> None:
    bench = Bench()
    bench.feed(events.Booted(SERVED, 1, SECRET, 1, LIVING), events.ZygoteReady(1))
    [fresh] = bench.living()
    bench.greet(ORPHAN, epoch=7)
    assert bench.all(effects.Hold) == [effects.Hold(ORPHAN, 100)]
    assert bench.all(effects.Signal) == [effects.Signal(ORPHAN, effects.ProcessSignal.TERM)]
    bench.feed(events.WorkerExited(ORPHAN, None))
    bench.forget()
    bench.greet(ORPHAN, epoch=7)
    assert not bench.all(effects.Hold)
    assert bench.living() == [fresh]


def test_no_epoch_is_retired_before_those_who_leave_without_a_zygote_had_time_to_say_what_they_hold() -> None:
    bench = Bench()
    rolled, leaving = WorkerId(2, 2, 1_000_003), WorkerId(1, 1, 1_000_002)
    recovered = Recovered(JOURNAL, 1, 2, snapshot(2, rolled=2), unretired=(1,))
    bench.feed(events.Booted(recovered, 1, SECRET, 2, (ZygoteFound(2, 2),)))
    bench.feed(events.ZygoteReady(2, (Child(rolled, 102, 2),)))
    bench.greet(rolled, epoch=2)
    assert Retired(1) not in bench.entries()
    old = unit("pricing", 1)
    bench.hear(leaving, messages.Hello, 1, PROTOCOL_VERSION, nonce(SECRET, leaving), 101, None, (old,), 1)
    bench.now += 60
    bench.fire(Timer(TimerKind.REPEAT))
    assert Retired(1) not in bench.entries()
    bench.feed(events.WorkerExited(leaving, 0))
    assert Retired(1) in bench.entries()
