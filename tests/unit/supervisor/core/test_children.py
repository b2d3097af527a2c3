import pytest

from changeover.supervisor.core import effects, events
from changeover.supervisor.core.child import State
from changeover.supervisor.core.effects import ProcessSignal
from changeover.supervisor.core.events import Timer, TimerKind
from changeover.supervisor.core.records.staffing import LastSlotWaits, SlotParked, SlotWaits
from changeover.supervisor.core.records.worker import WorkerKilled
from changeover.supervisor.telemetry.wording import word
from changeover.workers.protocol import messages
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from tests.machines import Bench

SLOT_0 = Timer(TimerKind.CHILD, 0)


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.come_up()
    return bench


def signals(bench: Bench) -> list[ProcessSignal]:
    return [effect.signal for effect in bench.all(effects.Signal)]


def state(bench: Bench, number: int = 0) -> State:
    return bench.view.slots[number].state


def test_a_dead_worker_is_replaced_at_once_the_first_time(bench: Bench) -> None:
    bench.feed(events.WorkerExited(bench.workers[0], -11))
    assert bench.told(SlotWaits)[0].seconds == 0.0
    bench.fire(SLOT_0)
    assert [fork.worker.slot for fork in bench.all(effects.Fork)] == [0]


def test_a_slot_whose_workers_keep_dying_is_parked_with_the_last_cause(bench: Bench) -> None:
    for _ in range(5):
        bench.now += 1.0
        bench.feed(events.WorkerExited(bench.workers[-1] if bench.all(effects.Fork) else bench.workers[0], -11))
        if state(bench) is State.BACKOFF:
            bench.fire(SLOT_0)
    assert state(bench) is State.PARKED
    assert bench.told(SlotParked)[0].reason == "5 exits in 60 s (was ended by signal 11)"
    bench.fire(SLOT_0)
    assert state(bench) is State.FORKING


def lose(bench: Bench, number: int, times: int, *, serves: bool = True) -> None:
    """Let workers of a slot die, each as soon as it is there, or serves."""
    for _ in range(times):
        bench.now += 1.0
        if state(bench, number) is State.BACKOFF:
            bench.fire(Timer(TimerKind.CHILD, number))
            bench.be_born()
        [worker] = [worker for worker in bench.living() if worker.slot == number]
        bench.greet(worker)
        if serves:
            bench.hear(worker, messages.Prepared, 1)
            bench.hear(worker, messages.Activated, 1)
        bench.feed(events.WorkerExited(worker, -11))


def states(bench: Bench) -> list[State]:
    return [slot.state for slot in bench.view.slots]


def test_the_last_slot_is_never_parked_and_comes_back_within_seconds(bench: Bench) -> None:
    for number in (0, 1):
        lose(bench, number, 5)
    lose(bench, 1, 5)
    assert states(bench) == [State.PARKED, State.BACKOFF]
    assert [record.seconds for record in bench.told(LastSlotWaits)] == [4.0] * 6
    assert bench.told(LastSlotWaits)[0] == LastSlotWaits(1, "5 exits in 60 s (was ended by signal 11)", 4.0)
    assert bench.view.slots[1].note.endswith("; not parked, because no other slot could serve")


def test_a_single_slot_is_the_last_one() -> None:
    bench = Bench()
    bench.come_up(slots=1)
    lose(bench, 0, 8)
    assert states(bench) == [State.BACKOFF]


def test_what_does_not_even_come_up_is_tried_on_as_well(bench: Bench) -> None:
    lose(bench, 0, 5)
    lose(bench, 1, 8, serves=False)
    assert [record.seconds for record in bench.told(LastSlotWaits)] == [4.0] * 4


def test_the_last_slot_is_parked_once_another_serves_and_it_crashes_on(bench: Bench) -> None:
    for number in (0, 1):
        lose(bench, number, 5)
    bench.fire(SLOT_0)
    bench.be_born()
    lose(bench, 1, 1)
    assert states(bench) == [State.BOOTING, State.PARKED]


def test_of_fewer_slots_the_one_stays_that_is_not_parked(bench: Bench) -> None:
    lose(bench, 1, 5)
    lose(bench, 0, 5)
    assert states(bench) == [State.BACKOFF, State.PARKED]
    bench.feed(events.ScaleRequested(1))
    assert states(bench) == [State.BACKOFF]


def test_a_worker_that_is_one_too_many_hands_over_to_the_others(bench: Bench) -> None:
    bench.feed(events.ScaleRequested(1))
    assert bench.said(messages.HandOver)[0].successors == (bench.workers[1],)
    assert signals(bench) == []
    bench.forget()
    bench.fire(Timer(TimerKind.REPEAT))
    assert len(bench.said(messages.HandOver)) == 1
    bench.hear(bench.workers[0], messages.Yielding, 1)
    bench.forget()
    bench.fire(Timer(TimerKind.REPEAT))
    assert len(bench.said(messages.HandOver)) == 1, "who takes over from it may have changed"
    bench.feed(events.WorkerExited(bench.workers[0], 0))
    assert [slot.slot for slot in bench.view.slots] == [1]


def test_a_worker_does_not_leave_before_one_that_stays_serves(bench: Bench) -> None:
    bench.feed(events.WorkerExited(bench.workers[1], -11))
    bench.fire(Timer(TimerKind.CHILD, 1))
    bench.feed(events.ScaleRequested(1))
    assert not signals(bench)
    replacement = bench.workers[-1]
    bench.greet(replacement)
    bench.hear(replacement, messages.Prepared, 1)
    bench.hear(replacement, messages.Activated, 1)
    bench.fire(Timer(TimerKind.HEARTBEAT))
    assert bench.said(messages.HandOver)[0].successors == (replacement,)
    assert not signals(bench)


def test_a_worker_that_has_not_begun_to_hand_over_stays_while_nobody_could_take_over(bench: Bench) -> None:
    bench.feed(events.ScaleRequested(1))
    bench.feed(events.WorkerExited(bench.workers[1], -11))
    bench.forget()
    bench.fire(Timer(TimerKind.REPEAT))
    assert not bench.said(messages.HandOver)
    assert not signals(bench)
    bench.fire(Timer(TimerKind.CHILD, 1))
    replacement = bench.workers[-1]
    bench.greet(replacement)
    bench.hear(replacement, messages.Prepared, 1)
    bench.hear(replacement, messages.Activated, 1)
    bench.fire(Timer(TimerKind.REPEAT))
    assert bench.said(messages.HandOver)[-1].successors == (replacement,)
    assert not signals(bench)


def test_a_worker_that_is_about_to_serve_and_one_too_many_leaves_once_it_can_hand_over(bench: Bench) -> None:
    for number in (0, 1):
        bench.feed(events.WorkerExited(bench.workers[number], -11))
        bench.fire(Timer(TimerKind.CHILD, number))
    older, younger = bench.workers[-2:]
    for worker in (older, younger):
        bench.greet(worker)
        bench.hear(worker, messages.Prepared, 1)
    bench.hear(younger, messages.Activated, 1)
    bench.feed(events.ScaleRequested(1))
    assert not signals(bench)
    bench.hear(older, messages.Activated, 1)
    bench.fire(Timer(TimerKind.HEARTBEAT))
    assert bench.said(messages.HandOver)[0].successors == (younger,)


def test_where_nobody_serves_yet_whoever_is_too_many_leaves_at_once(bench: Bench) -> None:
    for number in (0, 1):
        bench.feed(events.WorkerExited(bench.workers[number], -11))
        bench.fire(Timer(TimerKind.CHILD, number))
    bench.be_born()
    bench.feed(events.ScaleRequested(1))
    assert signals(bench) == [ProcessSignal.TERM]


def test_the_last_worker_is_told_to_leave_because_nobody_could_take_over(bench: Bench) -> None:
    bench.feed(events.ScaleRequested(0))
    assert signals(bench) == [ProcessSignal.TERM, ProcessSignal.TERM]
    assert not bench.said(messages.HandOver)


def test_a_worker_told_to_leave_is_pressed_harder_each_time(bench: Bench) -> None:
    bench.feed(events.ScaleRequested(1))
    for _ in range(4):
        bench.fire(SLOT_0)
    assert signals(bench) == [ProcessSignal.TERM, ProcessSignal.QUIT, ProcessSignal.KILL]
    assert bench.view.slots[0].state is State.KILLING
    bench.feed(events.WorkerExited(bench.workers[0], -9))
    assert [slot.slot for slot in bench.view.slots] == [1]


def test_stacks_are_written_down_before_a_kill(bench: Bench) -> None:
    bench.feed(events.ScaleRequested(1))
    for _ in range(3):
        bench.fire(SLOT_0)
    bench.feed(events.StacksDumped(bench.workers[0], "in a loop"))
    assert [killed.stacks for killed in bench.told(WorkerKilled)] == ["in a loop"]
    order = [type(effect) for effect in bench.wanted if isinstance(effect, effects.DumpStacks | effects.Signal)]
    assert order[-2:] == [effects.DumpStacks, effects.Signal]


def test_a_worker_that_is_killed_still_fills_its_slot_until_it_is_confirmed_dead(bench: Bench) -> None:
    bench.feed(events.WorkerExited(bench.workers[0], 1))
    bench.fire(SLOT_0)
    bench.be_born()
    bench.fire(SLOT_0)
    assert bench.view.slots[0].state is State.KILLING
    assert len(bench.all(effects.Fork)) == 1


def test_a_worker_born_after_it_was_given_up_is_killed(bench: Bench) -> None:
    bench.feed(events.WorkerExited(bench.workers[0], 1))
    bench.fire(SLOT_0)
    late = bench.workers[-1]
    bench.fire(SLOT_0)
    bench.forget()
    bench.feed(events.WorkerForked(late, 5))
    assert bench.all(effects.Signal) == [effects.Signal(late, ProcessSignal.KILL)]


def condemned(bench: Bench) -> WorkerId:
    """A worker that is to be killed once its stacks are there."""
    bench.feed(events.ScaleRequested(1))
    for _ in range(3):
        bench.fire(SLOT_0)
    return bench.workers[0]


def test_a_kill_without_stacks_says_why_there_are_none(bench: Bench) -> None:
    bench.feed(events.StacksDumped(condemned(bench), "", missing="it is stopped"))
    [killed] = bench.told(WorkerKilled)
    assert (killed.stacks, killed.no_stacks) == ("", "it is stopped")
    assert word(killed).line.endswith("(pid 100) is killed: did not leave within 5 s; no stacks: it is stopped")


def test_stacks_that_nobody_has_in_time_are_not_waited_for(bench: Bench) -> None:
    condemned(bench)
    bench.fire(SLOT_0)
    [killed] = bench.told(WorkerKilled)
    assert killed.no_stacks == "nobody had them within 2 s"


def test_a_kill_with_stacks_says_nothing_of_that(bench: Bench) -> None:
    bench.feed(events.StacksDumped(condemned(bench), "in a loop"))
    assert word(bench.told(WorkerKilled)[0]).line.endswith("is killed: did not leave within 5 s")


def test_a_hello_may_overtake_the_news_of_the_fork(bench: Bench) -> None:
    bench.feed(events.ScaleRequested(3))
    worker = bench.workers[-1]
    bench.greet(worker)
    assert bench.view.slots[2].state is State.JOINING
    bench.feed(events.WorkerForked(worker, 55))
    assert bench.view.slots[2].pid == 55


def test_a_joiner_that_cannot_serve_what_is_committed_is_replaced_after_a_pause(bench: Bench) -> None:
    bench.feed(events.ScaleRequested(3))
    bench.be_born()
    worker = bench.workers[-1]
    bench.greet(worker)
    bench.hear(worker, messages.Refused, 1, Refusal(Stage.LOAD, Fault.RESOURCE, "out of memory"))
    bench.feed(events.StacksDumped(worker, ""))
    assert bench.told(WorkerKilled)[0].reason == "cannot serve epoch 1: out of memory"
    bench.feed(events.WorkerExited(worker, -9))
    assert bench.view.slots[2].state is State.BACKOFF


def test_workers_outlive_their_zygote_and_the_next_cohort_fills_the_gaps(bench: Bench) -> None:
    bench.feed(events.ZygoteLost(1, "was killed"))
    bench.feed(events.WorkerExited(bench.workers[0], 1))
    bench.fire(SLOT_0)
    assert not bench.all(effects.Fork)
    bench.fire(Timer(TimerKind.ZYGOTE, 1))
    bench.feed(events.ZygoteReady(2))
    assert [(fork.worker.cohort, fork.worker.slot) for fork in bench.all(effects.Fork)] == [(2, 0)]


def test_more_workers_fill_the_lowest_free_numbers(bench: Bench) -> None:
    bench.feed(events.ScaleRequested(1))
    bench.feed(events.WorkerExited(bench.workers[0], 0))
    bench.feed(events.ScaleRequested(3))
    assert [slot.slot for slot in bench.view.slots] == [0, 1, 2]
