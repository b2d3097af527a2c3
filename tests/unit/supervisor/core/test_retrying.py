"""Workers died of what serves: what is asked for next has all slots filled at once."""

import pytest

from changeover.supervisor.core import effects, events
from changeover.supervisor.core.events import Timer, TimerKind
from changeover.supervisor.core.outcome import Committed, MissingWorker, Refused
from changeover.supervisor.core.policy import Limits, Policy, Restarts
from changeover.supervisor.core.records.cutover import CutoverCompleted
from changeover.supervisor.core.records.staffing import LastSlotWaits
from changeover.workers.protocol import messages
from changeover.workers.protocol.refusal import Fault
from tests.machines import RELOAD, Bench, snapshot


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.come_up()
    return bench


def park(bench: Bench, number: int) -> None:
    """Let so many workers of a slot die that it is parked, or would be if it was not the last."""
    for left in reversed(range(Restarts().intensity)):
        bench.now += 1.0
        [worker] = [worker for worker in bench.living() if worker.slot == number]
        bench.feed(events.WorkerExited(worker, -11))
        if left:
            bench.fire(Timer(TimerKind.CHILD, number))
            bench.be_born()


def ask(bench: Bench) -> None:
    bench.feed(events.CutoverRequested(1, RELOAD))
    bench.find(snapshot(2))


def agree(bench: Bench, number: int) -> None:
    """Let the new worker of a slot prepare epoch 2, of which alone it is told."""
    [worker] = [worker for worker in bench.living() if worker.slot == number]
    bench.greet(worker)
    assert (bench.said(messages.Welcome)[-1].current, bench.said(messages.Welcome)[-1].candidate) == (None, snapshot(2))
    bench.hear(worker, messages.Prepared, 2)


def serve(bench: Bench, number: int) -> None:
    """Let the new worker of a slot come to serve epoch 2."""
    [worker] = [worker for worker in bench.living() if worker.slot == number]
    bench.greet(worker)
    bench.hear(worker, messages.Prepared, 2)
    bench.hear(worker, messages.Activated, 2)


def test_where_nobody_lives_workers_come_for_what_is_asked_and_it_is_committed_when_all_have_prepared(
    bench: Bench,
) -> None:
    for number in (0, 1):
        park(bench, number)
    bench.forget()
    ask(bench)
    assert {fork.worker.slot for fork in bench.all(effects.Fork)} == {0, 1}
    bench.be_born()
    agree(bench, 0)
    assert not bench.all(effects.StoreCell)
    agree(bench, 1)
    assert bench.all(effects.StoreCell) == [effects.StoreCell(2)]
    bench.activate(2)
    assert [done.workers for done in bench.told(CutoverCompleted)] == [2]


def test_a_slot_whose_workers_died_is_filled_where_others_prepare_and_has_a_vote(bench: Bench) -> None:
    park(bench, 0)
    bench.forget()
    ask(bench)
    assert [fork.worker.slot for fork in bench.all(effects.Fork)] == [0]
    bench.be_born()
    [other] = [worker for worker in bench.living() if worker.slot == 1]
    bench.hear(other, messages.Prepared, 2)
    assert not bench.all(effects.StoreCell)
    agree(bench, 0)
    assert bench.all(effects.StoreCell) == [effects.StoreCell(2)]


def test_of_slots_that_do_not_serve_yet_the_outcome_says_which_and_why(bench: Bench) -> None:
    ask(bench)
    bench.prepare(2)
    lost, other = bench.living()
    bench.feed(events.WorkerExited(lost, -11))
    bench.hear(other, messages.Activated, 2)
    [ended] = bench.all(effects.Resolve)
    assert isinstance(ended.outcome, Committed)
    [missing] = ended.outcome.missing
    assert isinstance(missing, MissingWorker)
    assert (ended.outcome.workers, missing.slot) == (1, lost.slot)
    assert str(missing) == "slot 0 is waiting for its next worker: was ended by signal 11"
    assert [done.missing for done in bench.told(CutoverCompleted)] == [ended.outcome.missing]


def test_who_is_to_take_the_place_of_one_that_serves_is_not_missing() -> None:
    bench = Bench(Policy(limits=Limits(requests=100)))
    bench.come_up()
    worn, other = bench.workers
    bench.hear(worn, messages.Beat, 1, 0, None, {}, 0, 100)
    bench.fire(Timer(TimerKind.HEARTBEAT))
    bench.be_born()
    assert len(bench.living()) == 3
    bench.feed(events.WorkerExited(bench.workers[-1], -11))
    ask(bench)
    bench.prepare(2)
    bench.be_born()
    relief = bench.living()[-1]
    bench.greet(relief)
    bench.hear(relief, messages.Prepared, 2)
    bench.feed(events.WorkerExited(relief, -11))
    for worker in (worn, other):
        bench.hear(worker, messages.Activated, 2)
    [done] = bench.told(CutoverCompleted)
    assert (done.workers, done.missing) == (2, ())


def test_where_they_die_of_that_as_well_it_is_refused(bench: Bench) -> None:
    for number in (0, 1):
        park(bench, number)
    bench.forget()
    ask(bench)
    bench.be_born()
    for worker in bench.living():
        bench.greet(worker)
    bench.feed(events.WorkerExited(bench.living()[0], -11))
    [ended] = bench.all(effects.Resolve)
    assert isinstance(ended.outcome, Refused)
    assert [(no.slot, no.refusal.fault) for no in ended.outcome.refusals] == [(0, Fault.CRASH)]


def test_where_they_die_before_they_are_asked_it_is_refused_and_says_how(bench: Bench) -> None:
    for number in (0, 1):
        park(bench, number)
    bench.forget()
    ask(bench)
    bench.be_born()
    for number in (0, 1):
        park(bench, number)
    [ended] = bench.all(effects.Resolve)
    assert isinstance(ended.outcome, Refused)
    assert ended.outcome.reason == "no worker came up to try it: slot 1: was ended by signal 11"


def test_where_all_who_follow_die_again_and_again_it_says_so(bench: Bench) -> None:
    ask(bench)
    bench.prepare(2)
    for number in (0, 1):
        park(bench, number)
    assert [record.slot for record in bench.told(LastSlotWaits)] == [1]
    [done] = bench.told(CutoverCompleted)
    assert (done.workers, [missing.why for missing in done.missing]) == (
        0,
        [
            "parked: 5 exits in 60 s (was ended by signal 11)",
            "waiting for its next worker: 5 exits in 60 s (was ended by signal 11); "
            "not parked, because no other slot could serve",
        ],
    )


def test_it_does_not_wait_for_them_for_ever(bench: Bench) -> None:
    for number in (0, 1):
        park(bench, number)
    bench.feed(events.ZygoteLost(1, "was killed"))
    ask(bench)
    bench.forget()
    bench.fire(Timer(TimerKind.PREPARE, 2))
    bench.fire(Timer(TimerKind.PREPARE, 2))
    [ended] = bench.all(effects.Resolve)
    assert isinstance(ended.outcome, Refused)
    assert ended.outcome.refusals[0].refusal.summary.startswith("0 of 2 workers came up within 60 s")


def test_where_all_who_follow_die_it_waits_for_those_who_come_in_their_place(bench: Bench) -> None:
    ask(bench)
    bench.prepare(2)
    for worker in bench.living():
        bench.feed(events.WorkerExited(worker, -11))
    assert not bench.told(CutoverCompleted)
    for number in (0, 1):
        bench.fire(Timer(TimerKind.CHILD, number))
        bench.be_born()
        serve(bench, number)
    assert [done.workers for done in bench.told(CutoverCompleted)] == [2]
