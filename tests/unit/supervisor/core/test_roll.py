import msgspec
import pytest
from msgspec.structs import replace

from changeover.supervisor.core import effects, events
from changeover.supervisor.core.child import State as ChildState
from changeover.supervisor.core.effects import ProcessSignal
from changeover.supervisor.core.events import Timer, TimerKind
from changeover.supervisor.core.outcome import Candidate, Committed, ExtraMemory, Refused
from changeover.supervisor.core.records.cutover import CutoverBegan
from changeover.supervisor.core.records.request import RequestRefused
from changeover.supervisor.core.records.staffing import ZygoteLost, ZygoteStarted
from changeover.workers.protocol import messages
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from changeover.workers.protocol.snapshot import Interpreter, Snapshot
from tests.machines import RELOAD, Bench, snapshot

NO = Refusal(Stage.LOAD, Fault.CONTRACT, "does not import")


@pytest.fixture
def bench() -> Bench:
    """Two workers serve epoch 1, and somebody asked for what only new processes can serve."""
    bench = Bench()
    bench.come_up()
    bench.feed(events.CutoverRequested(1, RELOAD))
    return bench


def old(bench: Bench) -> list[WorkerId]:
    return [worker for worker in bench.living() if worker.cohort == 1]


def new(bench: Bench) -> list[WorkerId]:
    return [worker for worker in bench.living() if worker.cohort != 1]


def stands(bench: Bench) -> str:
    return bench.view.cutover.value


def staff(bench: Bench) -> None:
    """The new workers live and have prepared."""
    bench.find(snapshot(2, rolled=2))
    for worker in new(bench):
        bench.greet(worker)
        bench.hear(worker, messages.Prepared, 2)


def agree(bench: Bench) -> None:
    """The old workers agreed."""
    for worker in old(bench):
        bench.hear(worker, messages.Prepared, 2)


def roll(bench: Bench) -> None:
    """Epoch 2 serves in new workers."""
    staff(bench)
    agree(bench)
    for worker in new(bench):
        bench.hear(worker, messages.Activated, 2)


def asked(bench: Bench) -> dict[WorkerId, tuple[WorkerId, ...]]:
    told = [each for each in bench.all(effects.Unicast) if isinstance(each.message, messages.Prepare)]
    return {each.worker: each.message.successors for each in told if isinstance(each.message, messages.Prepare)}


def test_a_roll_makes_as_many_workers_beside_those_that_serve(bench: Bench) -> None:
    bench.find(snapshot(2, rolled=2))
    assert [start.cohort for start in bench.all(effects.StartZygote)] == [2]
    assert [(worker.slot, worker.cohort) for worker in new(bench)] == [(2, 2), (3, 2)]
    assert len(old(bench)) == 2


def test_new_workers_are_told_of_the_candidate_and_old_ones_are_not_asked_before_those_have_prepared(
    bench: Bench,
) -> None:
    bench.find(snapshot(2, rolled=2))
    bench.greet(new(bench)[0])
    bench.hear(new(bench)[0], messages.Prepared, 2)
    assert bench.said(messages.Welcome)[-1].candidate == snapshot(2, rolled=2)
    assert not asked(bench)
    assert stands(bench) == "preparing"
    bench.greet(new(bench)[1])
    bench.hear(new(bench)[1], messages.Prepared, 2)
    assert asked(bench) == dict(zip(old(bench), [tuple(new(bench)), tuple(reversed(new(bench)))], strict=True))
    assert stands(bench) == "agreeing"


def test_nothing_is_decided_before_every_old_worker_agreed(bench: Bench) -> None:
    staff(bench)
    bench.hear(old(bench)[0], messages.Prepared, 2)
    assert not bench.all(effects.StoreCell)
    bench.hear(old(bench)[1], messages.Prepared, 2)
    assert bench.all(effects.StoreCell) == [effects.StoreCell(2)]
    assert bench.said(messages.Commit)[-1].successors == tuple(new(bench))


def test_the_outcome_waits_for_the_new_workers_only_and_the_old_ones_are_left_to_hand_over(bench: Bench) -> None:
    roll(bench)
    outcome = bench.outcomes()[1]
    assert isinstance(outcome, Committed)
    assert (outcome.previous, outcome.workers) == (1, 2)
    assert not bench.all(effects.Signal)
    assert [slot.state for slot in bench.view.slots] == [ChildState.STOPPING] * 2 + [ChildState.SERVING] * 2


def test_successors_that_waited_long_for_the_others_have_their_whole_time_to_follow(bench: Bench) -> None:
    staff(bench)
    bench.now += 89.0
    bench.forget()
    agree(bench)
    for worker in new(bench):
        assert effects.SetTimer(Timer(TimerKind.CHILD, worker.slot), 90.0) in bench.wanted


def test_the_zygote_that_is_replaced_idles_for_a_while_and_ends(bench: Bench) -> None:
    roll(bench)
    kept = Timer(TimerKind.ZYGOTE, 1)
    assert not bench.all(effects.StopZygote)
    assert effects.SetTimer(kept, 300.0) in bench.wanted
    bench.fire(kept)
    assert [stop.cohort for stop in bench.all(effects.StopZygote)] == [1]


def test_an_old_worker_that_left_is_not_replaced_and_its_epoch_is_retired(bench: Bench) -> None:
    roll(bench)
    for worker in old(bench):
        bench.feed(events.WorkerExited(worker, 0))
    assert [slot.slot for slot in bench.view.slots] == [2, 3]
    assert bench.view.unretired == ()


def test_an_old_worker_that_does_not_leave_is_pressed_more_and_more(bench: Bench) -> None:
    roll(bench)
    for _ in range(3):
        bench.fire(Timer(TimerKind.CHILD, 0))
    bench.feed(events.StacksDumped(old(bench)[0], ""))
    told = [effect.signal for effect in bench.all(effects.Signal)]
    assert told == [ProcessSignal.TERM, ProcessSignal.QUIT, ProcessSignal.KILL]


def test_one_new_worker_that_refuses_leaves_the_old_ones_serving_all_of_them(bench: Bench) -> None:
    bench.find(snapshot(2, rolled=2))
    bench.greet(new(bench)[0])
    bench.hear(new(bench)[0], messages.Refused, 2, NO)
    outcome = bench.outcomes()[1]
    assert isinstance(outcome, Refused)
    assert [each.refusal for each in outcome.refusals] == [NO]
    assert {effect.worker for effect in bench.all(effects.Signal)} == set(new(bench))
    for worker in new(bench):
        bench.feed(events.WorkerExited(worker, 0))
    assert [slot.state for slot in bench.view.slots] == [ChildState.SERVING] * 2
    assert [stop.cohort for stop in bench.all(effects.StopZygote)] == [2]


def test_a_new_worker_that_dies_before_it_could_speak_is_a_refusal(bench: Bench) -> None:
    bench.find(snapshot(2, rolled=2))
    bench.feed(events.WorkerExited(new(bench)[0], -11))
    outcome = bench.outcomes()[1]
    assert isinstance(outcome, Refused)
    assert outcome.reason == "slot 2: was ended by signal 11"


def test_code_that_cannot_be_preloaded_is_a_refusal_with_its_traceback(bench: Bench) -> None:
    bench.find_only(snapshot(2, rolled=2))
    bench.feed(events.ZygoteLost(2, "exited", NO))
    outcome = bench.outcomes()[1]
    assert isinstance(outcome, Refused)
    assert [each.refusal for each in outcome.refusals] == [NO]
    assert [lost.refuses for lost in bench.told(ZygoteLost)] == [True]
    assert not bench.all(effects.Exit)
    assert old(bench) == bench.living()


def test_an_old_worker_that_dies_meanwhile_is_nobodys_refusal_and_is_replaced_for_as_long_as_the_old_serve(
    bench: Bench,
) -> None:
    bench.find(snapshot(2, rolled=2))
    gone = old(bench)[0]
    bench.feed(events.WorkerExited(gone, -11))
    bench.fire(Timer(TimerKind.CHILD, 0))
    assert stands(bench) == "preparing"
    assert [(worker.slot, worker.cohort) for worker in old(bench)] == [(0, 1), (1, 1)]
    assert old(bench)[0] != gone


def test_an_old_worker_that_is_silent_when_asked_aborts_the_roll(bench: Bench) -> None:
    staff(bench)
    bench.hear(old(bench)[0], messages.Prepared, 2)
    bench.fire(Timer(TimerKind.PREPARE, 2))
    bench.feed(events.StacksDumped(old(bench)[1], "in a loop"))
    outcome = bench.outcomes()[1]
    assert isinstance(outcome, Refused)
    assert outcome.refusals[0].refusal.traceback == "in a loop"


def test_an_old_worker_that_leaves_during_the_next_cutover_is_no_loss_to_it(bench: Bench) -> None:
    roll(bench)
    bench.feed(events.CutoverRequested(2, RELOAD))
    bench.find(snapshot(3, rolled=2))
    for worker in old(bench):
        bench.feed(events.WorkerExited(worker, 0))
    for worker in new(bench):
        bench.hear(worker, messages.Prepared, 3)
    for worker in new(bench):
        bench.hear(worker, messages.Activated, 3)
    outcome = bench.outcomes()[2]
    assert isinstance(outcome, Committed)
    assert outcome.lost == ()


def test_a_swap_that_follows_needs_no_word_of_those_that_were_replaced(bench: Bench) -> None:
    roll(bench)
    bench.feed(events.CutoverRequested(2, RELOAD))
    bench.find(snapshot(3, rolled=2))
    for worker in new(bench):
        bench.hear(worker, messages.Prepared, 3)
    assert bench.all(effects.StoreCell)[-1] == effects.StoreCell(3)


def test_who_is_replaced_is_told_again_who_takes_over(bench: Bench) -> None:
    roll(bench)
    lost = new(bench)[0]
    bench.feed(events.WorkerExited(lost, -11))
    bench.forget()
    bench.fire(Timer(TimerKind.REPEAT))
    told = [each for each in bench.all(effects.Unicast) if isinstance(each.message, messages.Commit)]
    assert {each.worker: each.message.successors for each in told if isinstance(each.message, messages.Commit)} == (
        dict.fromkeys(old(bench), (new(bench)[-1],))
    )


def test_a_new_worker_that_dies_after_the_commit_is_replaced_from_the_new_zygote(bench: Bench) -> None:
    roll(bench)
    bench.feed(events.WorkerExited(new(bench)[0], -11))
    bench.fire(Timer(TimerKind.CHILD, 2))
    assert [(worker.slot, worker.cohort) for worker in new(bench)] == [(2, 2), (3, 2)]


def test_a_candidate_that_no_process_could_serve_is_refused(bench: Bench) -> None:
    bench.find_only(snapshot(2, rolled=0))
    outcome = bench.outcomes()[1]
    assert isinstance(outcome, Refused)
    assert "no process can serve" in outcome.reason


def test_scaling_meanwhile_counts_once_the_new_workers_serve(bench: Bench) -> None:
    staff(bench)
    bench.feed(events.ScaleRequested(3))
    bench.be_born()
    bench.greet(old(bench)[-1], epoch=1)
    agree(bench)
    for worker in new(bench):
        bench.hear(worker, messages.Activated, 2)
    assert len([slot for slot in bench.view.slots if slot.rolled == 2]) == 3


def test_a_shutdown_in_the_middle_ends_both_cohorts(bench: Bench) -> None:
    staff(bench)
    bench.feed(events.StopRequested())
    assert {effect.worker for effect in bench.all(effects.Signal)} == {*old(bench), *new(bench)}
    for worker in bench.living():
        bench.feed(events.WorkerExited(worker, 0))
    assert {stop.cohort for stop in bench.all(effects.StopZygote)} == {1, 2}
    for cohort in (1, 2):
        bench.feed(events.ZygoteLost(cohort, "left"))
    assert bench.all(effects.Exit)
    assert not bench.told(RequestRefused)


def test_how_many_workers_are_wanted_is_not_how_many_there_are_in_a_roll(bench: Bench) -> None:
    staff(bench)
    assert len(bench.view.slots) == 4
    assert bench.view.wanted == 2


def test_a_roll_to_no_workers_is_decided_no_sooner_than_its_zygote_has_loaded_it(bench: Bench) -> None:
    bench.feed(events.ScaleRequested(0))
    for worker in old(bench):
        bench.feed(events.WorkerExited(worker, 0))
    bench.find_only(snapshot(2, rolled=2))
    assert not bench.all(effects.StoreCell)
    bench.feed(events.ZygoteReady(2))
    assert bench.all(effects.StoreCell) == [effects.StoreCell(2)]


def test_a_zygote_that_is_given_up_has_no_say_any_more(bench: Bench) -> None:
    staff(bench)
    bench.hear(old(bench)[0], messages.Refused, 2, NO)
    bench.feed(events.ZygoteLost(2, "it was told to leave before it was ready", NO))
    assert not bench.all(effects.Exit)
    assert not any(lost.refuses for lost in bench.told(ZygoteLost))
    assert stands(bench) == "idle"


def test_a_successor_that_is_prepared_and_does_not_follow_is_killed_in_time(bench: Bench) -> None:
    staff(bench)
    agree(bench)
    bench.hear(new(bench)[0], messages.Activated, 2)
    bench.fire(Timer(TimerKind.ACTIVATE, 2))
    assert bench.all(effects.DumpStacks) == [effects.DumpStacks(new(bench)[1])]
    bench.feed(events.StacksDumped(new(bench)[1], "it hangs"))
    assert bench.all(effects.Signal) == [effects.Signal(new(bench)[1], ProcessSignal.KILL)]


def test_the_zygote_of_a_roll_is_executed_by_the_interpreter_that_its_generation_has(bench: Bench) -> None:
    other = Interpreter("/other/bin/python", "3.12.1")
    bench.forget()
    bench.find_only(msgspec.structs.replace(snapshot(2, rolled=2), interpreter=other))
    [start] = bench.all(effects.StartZygote)
    assert start.interpreter == other
    bench.feed(events.ZygoteLost(2, "died"))
    assert isinstance(bench.outcomes()[1], Refused)


def test_who_comes_after_a_lost_zygote_is_executed_by_the_same_interpreter(bench: Bench) -> None:
    other = Interpreter("/other/bin/python", "3.12.1")
    bench.find(msgspec.structs.replace(snapshot(2, rolled=2), interpreter=other))
    for worker in new(bench):
        bench.greet(worker)
        bench.hear(worker, messages.Prepared, 2)
    agree(bench)
    bench.forget()
    bench.feed(events.ZygoteLost(2, "died"))
    bench.fire(Timer(TimerKind.ZYGOTE, 2))
    assert [start.interpreter for start in bench.all(effects.StartZygote)] == [other]


def test_content_whose_zygote_the_system_could_not_execute_may_be_tried_again_by_itself(bench: Bench) -> None:
    bench.find_only(snapshot(2, rolled=2))
    lost = Refusal(Stage.PREPARE, Fault.RESOURCE, "python /other cannot be executed: Cannot allocate memory")
    bench.feed(events.ZygoteLost(2, lost.summary, lost))
    outcome = bench.outcomes()[1]
    assert isinstance(outcome, Refused)
    assert outcome.reason == lost.summary
    assert not bench.view.quarantine


def test_what_a_roll_needs_is_said_as_it_begins_and_with_its_outcome(bench: Bench) -> None:
    needs = ExtraMemory(2, 40 << 20, available=100 << 20)
    bench.feed(events.Scanned(2, Candidate(snapshot(2, rolled=2), memory=needs)))
    [began] = bench.told(CutoverBegan)[-1:]
    assert began.memory == needs
    bench.preload()
    for worker in new(bench):
        bench.greet(worker)
        bench.hear(worker, messages.Prepared, 2)
    agree(bench)
    for worker in new(bench):
        bench.hear(worker, messages.Activated, 2)
    outcome = bench.outcomes()[1]
    assert isinstance(outcome, Committed)
    assert outcome.memory == needs


def test_a_zygote_that_found_threads_says_so(bench: Bench) -> None:
    bench.find_only(snapshot(2, rolled=2))
    bench.feed(events.ZygoteReady(2, threads=("numpy",)))
    assert bench.told(ZygoteStarted)[-1] == ZygoteStarted(2, False, ("numpy",))


@pytest.mark.parametrize(
    ("status", "fault"),
    [(-11, Fault.CRASH), (3, Fault.CRASH), (-9, Fault.RESOURCE)],
)
def test_a_new_worker_that_is_killed_by_nobody_we_know_may_come_up_another_time_and_one_that_crashes_will_not(
    bench: Bench, status: int, fault: Fault
) -> None:
    bench.find(snapshot(2, rolled=2))
    bench.feed(events.WorkerExited(new(bench)[0], status))
    refused = bench.outcomes()[1]
    assert isinstance(refused, Refused)
    assert [each.refusal.fault for each in refused.refusals] == [fault]
    assert bool(bench.view.quarantine) is not fault.transient


def test_a_new_worker_that_does_not_come_up_in_time_is_no_reason_against_its_content(bench: Bench) -> None:
    bench.find(snapshot(2, rolled=2))
    late = new(bench)[0]
    bench.fire(Timer(TimerKind.CHILD, late.slot))
    bench.feed(events.StacksDumped(late, "importing"), events.WorkerExited(late, -9))
    refused = bench.outcomes()[1]
    assert isinstance(refused, Refused)
    [refusal] = [each.refusal for each in refused.refusals]
    assert (refusal.fault, refusal.traceback) == (Fault.TIMEOUT, "importing")
    assert bench.view.quarantine == ()


def test_a_roll_that_waited_for_nobody_but_its_zygote_says_so(bench: Bench) -> None:
    bench.find_only(snapshot(2, rolled=2))
    for _ in ("asks what they do", "does without them"):
        bench.fire(Timer(TimerKind.PREPARE, 2))
    refused = bench.outcomes()[1]
    assert isinstance(refused, Refused)
    assert refused.reason == "0 of 2 workers came up within 210 s: no zygote was ready for them"
    assert [each.refusal.fault for each in refused.refusals] == [Fault.TIMEOUT]


def moved(epoch: int, *listen: str) -> Snapshot:
    return replace(snapshot(epoch, rolled=epoch), listen=listen)


@pytest.fixture
def placed() -> Bench:
    """Two workers serve epoch 1 at `shop:1`, and somebody asked for another address."""
    bench = Bench()
    bench.boot()
    bench.find(moved(1, "shop:1"))
    bench.greet_all()
    bench.prepare(1)
    bench.activate(1)
    bench.forget()
    bench.feed(events.CutoverRequested(1, RELOAD))
    bench.find_only(moved(2, "shop:1", "shop:2"))
    return bench


def test_new_addresses_are_bound_before_a_process_is_made(placed: Bench) -> None:
    assert placed.all(effects.Bind) == [effects.Bind(2, ("shop:1", "shop:2"))]
    assert not placed.all(effects.StartZygote)
    placed.feed(events.Bound(2))
    assert [start.cohort for start in placed.all(effects.StartZygote)] == [2]
    assert not placed.all(effects.Listen)


def test_an_address_that_cannot_be_had_refuses_the_roll(placed: Bench) -> None:
    refusal = Refusal(Stage.PREPARE, Fault.RESOURCE, "cannot listen on shop:2: in use")
    placed.feed(events.BindRefused(2, refusal))
    outcome = placed.outcomes()[1]
    assert isinstance(outcome, Refused)
    assert outcome.reason == "cannot listen on shop:2: in use"
    assert placed.all(effects.Unbind)
    placed.feed(events.Bound(2))
    assert not placed.all(effects.StartZygote)


def test_what_is_listened_on_follows_the_commit(placed: Bench) -> None:
    placed.feed(events.Bound(2))
    placed.preload()
    for worker in new(placed):
        placed.greet(worker)
        placed.hear(worker, messages.Prepared, 2)
    agree(placed)
    wanted = [type(effect) for effect in placed.wanted]
    assert wanted.index(effects.StoreCell) < wanted.index(effects.Listen)
    assert placed.all(effects.Listen) == [effects.Listen(("shop:1", "shop:2"))]
    assert not placed.all(effects.Unbind)


def test_a_roll_at_the_same_addresses_binds_nothing(bench: Bench) -> None:
    bench.find_only(snapshot(2, rolled=2))
    assert not bench.all(effects.Bind)
    assert bench.all(effects.StartZygote)


def test_of_new_workers_one_too_many_leaves_once_the_others_can_take_its_connections(bench: Bench) -> None:
    staff(bench)
    bench.feed(events.ScaleRequested(1))
    bench.forget()
    agree(bench)
    first, second = new(bench)
    assert not {each.worker for each in bench.all(effects.Signal)} & {first, second}
    bench.hear(first, messages.Activated, 2)
    assert not bench.all(effects.Signal)
    bench.hear(second, messages.Activated, 2)
    bench.fire(Timer(TimerKind.HEARTBEAT))
    told = bench.said(messages.HandOver)
    assert [each.successors for each in told] == [(second,)]
    assert first in {each.worker for each in bench.all(effects.Unicast) if each.message in told}
