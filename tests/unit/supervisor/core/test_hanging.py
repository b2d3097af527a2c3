"""A worker that owes a response for too long is replaced; when all do, one by one and ever more slowly."""

import itertools

import pytest

from changeover.supervisor.core import effects, events
from changeover.supervisor.core.child import State
from changeover.supervisor.core.events import Timer, TimerKind
from changeover.supervisor.core.policy import Limits, Policy
from changeover.supervisor.core.records.worker import WorkerHangs
from changeover.workers.protocol import messages
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.messages import OwedResponse
from tests.machines import RELOAD, Bench

HEARTBEAT = Timer(TimerKind.HEARTBEAT)
DEADLINE = 60.0


@pytest.fixture
def bench() -> Bench:
    """Two workers that may owe a response for a minute."""
    bench = Bench(Policy(limits=Limits(request=DEADLINE)))
    bench.come_up()
    return bench


def owes(bench: Bench, worker: WorkerId, age: float = DEADLINE + 1) -> None:
    """A worker beats, and says how old its oldest request is."""
    bench.hear(worker, messages.Beat, 1, 0, None, {}, 1, 1, 0, OwedResponse("/report", 1, age))


def is_well(bench: Bench, worker: WorkerId) -> None:
    bench.hear(worker, messages.Beat, 1, 0)


def asked(bench: Bench) -> list[WorkerId]:
    return [effect.worker for effect in bench.all(effects.DumpStacks)]


def beat(bench: Bench, times: int = 1) -> None:
    for _ in range(times):
        bench.now += 1.0
        bench.fire(HEARTBEAT)


def answer(bench: Bench) -> None:
    """Every worker that was asked what it does says so."""
    for worker in dict.fromkeys(asked(bench)):
        bench.feed(events.StacksDumped(worker, "in report"))


def replaced(bench: Bench) -> list[WorkerId]:
    """Let whoever takes a place serve, and see who was told to hand over."""
    bench.be_born()
    for slot in bench.view.slots:
        if slot.worker is not None and slot.state is not State.STOPPING and slot.epoch == 0:
            bench.greet(slot.worker)
            bench.hear(slot.worker, messages.Activated, 1)
    beat(bench)
    return [effect.worker for effect in bench.all(effects.Unicast) if isinstance(effect.message, messages.HandOver)]


def test_it_is_asked_what_it_does_and_operators_hear_before_anything_is_done(bench: Bench) -> None:
    stuck, _ = bench.workers
    owes(bench, stuck)
    beat(bench)
    assert asked(bench) == [stuck]
    assert not bench.all(effects.Fork)
    answer(bench)
    beat(bench)
    request = OwedResponse("/report", 1, DEADLINE + 1)
    assert bench.told(WorkerHangs) == [WorkerHangs(stuck, 100, request, "in report")]
    assert bench.view.slots[0].note == "/report is without a response for over 60 s"


def test_another_one_serves_before_it_hands_over_and_nobody_is_killed(bench: Bench) -> None:
    stuck, _ = bench.workers
    owes(bench, stuck)
    beat(bench)
    answer(bench)
    beat(bench)
    assert [fork.worker.slot for fork in bench.all(effects.Fork)] == [2]
    assert not bench.said(messages.HandOver)
    assert replaced(bench) == [stuck]
    assert not bench.all(effects.Signal)


def test_stacks_that_cannot_be_had_hold_nothing_up(bench: Bench) -> None:
    owes(bench, bench.workers[0])
    beat(bench, 3)
    assert [record.stacks for record in bench.told(WorkerHangs)] == [""]
    assert replaced(bench) == [bench.workers[0]]


def test_a_request_that_ends_after_all_is_nobody_s_business_any_more(bench: Bench) -> None:
    owes(bench, bench.workers[0])
    beat(bench)
    is_well(bench, bench.workers[0])
    answer(bench)
    beat(bench, 5)
    assert not bench.told(WorkerHangs)
    assert not bench.all(effects.Fork)


def test_what_it_did_at_an_earlier_request_is_not_told_of_a_later_one(bench: Bench) -> None:
    stuck, _ = bench.workers
    owes(bench, stuck)
    beat(bench)
    answer(bench)
    is_well(bench, stuck)
    beat(bench)
    owes(bench, stuck)
    beat(bench, 2)
    assert asked(bench) == [stuck, stuck]
    assert not bench.told(WorkerHangs)


def test_one_that_is_killed_later_is_asked_anew_what_it_does(bench: Bench) -> None:
    stuck, other = bench.workers
    owes(bench, stuck)
    beat(bench)
    answer(bench)
    is_well(bench, stuck)
    beat(bench)
    for _ in range(70):
        is_well(bench, other)
        beat(bench)
    assert asked(bench) == [stuck, stuck]


def test_a_younger_request_is_waited_for(bench: Bench) -> None:
    owes(bench, bench.workers[0], DEADLINE - 1)
    beat(bench, 5)
    assert not asked(bench)


def test_without_a_deadline_nobody_is_asked() -> None:
    bench = Bench()
    bench.come_up()
    owes(bench, bench.workers[0], 1e6)
    beat(bench, 5)
    assert not asked(bench)


def test_nobody_is_replaced_while_a_cutover_runs(bench: Bench) -> None:
    owes(bench, bench.workers[0])
    bench.feed(events.CutoverRequested(1, RELOAD))
    beat(bench, 5)
    assert not asked(bench)


def replacements(bench: Bench, seconds: int) -> list[float]:
    """When workers are replaced while every request hangs, as soon as it is old enough."""
    since: dict[WorkerId, float] = {}
    found: list[float] = []
    for _ in range(seconds):
        before = len(bench.workers)
        for worker in bench.living():
            owes(bench, worker, bench.now - since.setdefault(worker, bench.now))
        bench.forget()
        beat(bench)
        answer(bench)
        for worker in replaced(bench):
            bench.feed(events.WorkerExited(worker, 0))
        found += [bench.now] * (len(bench.workers) - before)
    return found


def test_when_every_worker_hangs_they_are_replaced_one_by_one_and_ever_more_slowly(bench: Bench) -> None:
    times = replacements(bench, 4000)
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    for pause, least in zip(pauses, (30, 60, 120, 240, 480, 960, 1920, 3600), strict=False):
        assert pause >= least
    assert 6 <= len(times) <= 9


def test_one_that_hangs_long_after_the_last_is_replaced_at_once(bench: Bench) -> None:
    bench.now = 10_000.0
    for _ in range(3):
        stuck = next(slot.worker for slot in bench.view.slots if slot.worker and slot.state is State.SERVING)
        owes(bench, stuck)
        bench.forget()
        beat(bench)
        answer(bench)
        beat(bench)
        assert replaced(bench) == [stuck]
        bench.feed(events.WorkerExited(stuck, 0))
        bench.now += 30.0 + 2 * DEADLINE + 1
