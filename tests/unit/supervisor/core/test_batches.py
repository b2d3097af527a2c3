from collections.abc import Callable

import msgspec
import pytest

from changeover.supervisor.core import effects, events
from changeover.supervisor.core.events import Timer, TimerKind
from changeover.supervisor.core.outcome import Committed, CutoverRequest, Planned, Refused
from changeover.supervisor.core.policy import Deadlines, Policy
from changeover.workers.protocol import messages
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.refusal import Fault
from tests.machines import RELOAD, Bench, snapshot

Asking = Callable[..., Bench]


@pytest.fixture
def asking() -> Asking:
    """Four workers serve epoch 1, and somebody asks for a roll under terms of his own."""

    def ask(slots: int = 4, policy: Policy | None = None, **terms: object) -> Bench:
        bench = Bench(policy)
        bench.come_up(slots)
        request: CutoverRequest = msgspec.structs.replace(RELOAD, **terms)
        bench.feed(events.CutoverRequested(1, request))
        return bench

    return ask


def new(bench: Bench) -> list[WorkerId]:
    return [worker for worker in bench.living() if worker.cohort != 1]


def prepare(bench: Bench, worker: WorkerId) -> None:
    bench.greet(worker)
    bench.hear(worker, messages.Prepared, 2)
    bench.be_born()


def test_not_more_than_a_batch_boots_at_once_and_the_next_comes_when_one_has_prepared(asking: Asking) -> None:
    bench = asking(batch=2)
    bench.find(snapshot(2, rolled=2))
    assert len(new(bench)) == 2
    bench.greet(new(bench)[0])
    assert len(new(bench)) == 2
    prepare(bench, new(bench)[0])
    assert len(new(bench)) == 3
    prepare(bench, new(bench)[1])
    assert len(new(bench)) == 4


def test_more_workers_that_are_wanted_meanwhile_are_made_and_prepare_before_anybody_is_replaced(asking: Asking) -> None:
    bench = asking(slots=2, batch=1)
    bench.find(snapshot(2, rolled=2))
    bench.feed(events.ScaleRequested(3))
    for number in range(3):
        assert bench.view.cutover.value == "preparing"
        prepare(bench, new(bench)[number])
    assert bench.view.cutover.value == "agreeing"
    assert len(new(bench)) == 3


def test_nobody_is_asked_to_hand_over_before_the_last_batch_has_prepared(asking: Asking) -> None:
    bench = asking(batch=1)
    bench.find(snapshot(2, rolled=2))
    for number in range(4):
        assert bench.view.cutover.value == "preparing"
        prepare(bench, new(bench)[number])
    assert bench.view.cutover.value == "agreeing"
    for worker in bench.living():
        if worker not in new(bench):
            bench.hear(worker, messages.Prepared, 2)
    for worker in new(bench):
        bench.hear(worker, messages.Activated, 2)
    assert isinstance(bench.outcomes()[1], Committed)


def test_a_heartbeat_that_says_so_counts_as_prepared(asking: Asking) -> None:
    bench = asking(batch=1)
    bench.find(snapshot(2, rolled=2))
    bench.greet(new(bench)[0])
    bench.hear(new(bench)[0], messages.Beat, 0, 0, 2)
    assert len(new(bench)) == 2


def test_each_batch_has_the_time_that_a_boot_may_take(asking: Asking) -> None:
    bench = asking(batch=3, policy=Policy(deadlines=Deadlines(zygote=100.0, boot=10.0)))
    bench.find(snapshot(2, rolled=2))
    waits = [each.after for each in bench.all(effects.SetTimer) if each.timer == Timer(TimerKind.PREPARE, 2)]
    assert waits == [120.0]


def test_slots_that_are_filled_again_after_the_roll_need_no_batch(asking: Asking) -> None:
    bench = asking(batch=1)
    bench.find(snapshot(2, rolled=2))
    for number in range(4):
        prepare(bench, new(bench)[number])
    for worker in bench.living():
        bench.hear(worker, messages.Prepared, 2)
    dead = new(bench)[:2]
    for worker in dead:
        bench.feed(events.WorkerExited(worker, -9))
        bench.fire(Timer(TimerKind.CHILD, worker.slot))
    assert len(new(bench)) == 4
    assert not set(dead) & set(new(bench))


def test_a_surge_below_what_a_roll_needs_is_refused_before_anything_happens(asking: Asking) -> None:
    bench = asking(surge=3)
    bench.find(snapshot(2, rolled=2))
    outcome = bench.outcomes()[1]
    assert isinstance(outcome, Refused)
    assert "as many extra workers as there are: 4, where 3 are allowed" in outcome.reason
    assert (outcome.epoch, outcome.refusals[0].refusal.fault) == (None, Fault.CONFIG)
    assert not bench.entries()
    assert bench.cohorts == [1]


def test_without_an_extra_worker_there_are_no_parts_and_what_is_advised_is_one(asking: Asking) -> None:
    bench = asking(surge=0, allow_partial=True)
    bench.find(snapshot(2, rolled=2))
    outcome = bench.outcomes()[1]
    assert isinstance(outcome, Refused)
    assert outcome.reason.endswith("or allow 1 and let parts of them serve one after the other (--allow-partial)")


def test_a_surge_that_is_large_enough_and_one_in_a_swap_are_no_matter(asking: Asking) -> None:
    bench = asking(surge=4)
    bench.find(snapshot(2, rolled=2))
    assert len(new(bench)) == 4
    swap = asking(surge=0)
    swap.find(snapshot(2))
    swap.prepare(2)
    swap.activate(2)
    assert isinstance(swap.outcomes()[1], Committed)


def test_a_dry_run_says_of_a_roll_that_it_would_be_refused(asking: Asking) -> None:
    bench = asking(surge=3, dry_run=True)
    bench.find(snapshot(2, rolled=2))
    assert isinstance(bench.outcomes()[1], Refused)
    fine = asking(surge=4, dry_run=True)
    fine.find(snapshot(2, rolled=2))
    assert isinstance(fine.outcomes()[1], Planned)


def test_a_roll_that_would_need_more_slot_numbers_than_there_are_is_refused_before_anything_happens(
    asking: Asking,
) -> None:
    bench = asking(policy=Policy(numbers=7))
    bench.find(snapshot(2, rolled=2))
    outcome = bench.outcomes()[1]
    assert isinstance(outcome, Refused)
    assert "a roll starts 4 workers beside those that are there, and 3 slot numbers are free" in outcome.reason
    assert outcome.refusals[0].refusal.fault is Fault.RESOURCE
    assert not bench.entries()


def test_a_roll_for_which_the_numbers_are_just_enough_is_done(asking: Asking) -> None:
    bench = asking(policy=Policy(numbers=8))
    bench.find(snapshot(2, rolled=2))
    assert [worker.slot for worker in new(bench)] == [4, 5, 6, 7]
