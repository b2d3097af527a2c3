import pytest
from msgspec.structs import replace

from changeover.supervisor.core import effects, events
from changeover.supervisor.core.entries import Retired
from changeover.supervisor.core.events import Timer, TimerKind
from changeover.supervisor.core.records.retirement import EpochRetired
from changeover.workers.protocol import messages
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.snapshot import UnitKey
from tests.machines import KEPT, NEW, OLD, RELOAD, Bench, replaced, replacing, snapshot, unit

LATER = unit("pricing", 3)


@pytest.fixture
def bench() -> Bench:
    return replaced()


def retire_orders(bench: Bench) -> list[int]:
    return [e.worker.slot for e in bench.all(effects.Unicast) if isinstance(e.message, messages.Retire)]


def test_only_what_the_new_epoch_lacks_is_left_over(bench: Bench) -> None:
    assert [leftover.unit for leftover in bench.view.leftovers] == [OLD]


def test_a_unit_goes_when_the_last_worker_has_drained_it(bench: Bench) -> None:
    bench.hear(bench.workers[0], messages.Drained, 2, (OLD,))
    assert retire_orders(bench) == []
    bench.hear(bench.workers[1], messages.Drained, 2, (OLD,))
    assert retire_orders(bench) == [0, 1]


def test_an_epoch_is_retired_when_the_last_worker_has_released(bench: Bench) -> None:
    for worker in bench.workers:
        bench.hear(worker, messages.Drained, 2, (OLD,))
    bench.hear(bench.workers[0], messages.Retired, 2, (OLD,))
    assert bench.entries() == []
    bench.hear(bench.workers[1], messages.Retired, 2, (OLD,))
    assert bench.entries() == [Retired(1)]
    assert [record.epoch for record in bench.told(EpochRetired)] == [1]


def test_a_dead_worker_holds_nothing(bench: Bench) -> None:
    bench.hear(bench.workers[0], messages.Drained, 2, (OLD,))
    bench.feed(events.WorkerExited(bench.workers[1], -9))
    assert retire_orders(bench) == [0]


def test_an_unanswered_order_is_repeated_to_those_who_owe_an_answer(bench: Bench) -> None:
    for worker in bench.workers:
        bench.hear(worker, messages.Drained, 2, (OLD,))
    bench.hear(bench.workers[0], messages.Retired, 2, (OLD,))
    bench.forget()
    bench.fire(Timer(TimerKind.REPEAT))
    assert retire_orders(bench) == [1]


def test_the_next_cutover_does_not_wait_for_a_drain(bench: Bench) -> None:
    bench.feed(events.CutoverRequested(2, RELOAD))
    bench.find(snapshot(3, unit("pricing", 3), KEPT))
    bench.prepare(3)
    bench.activate(3, OLD, NEW)
    assert bench.view.epoch == 3
    assert [leftover.unit for leftover in bench.view.leftovers] == [OLD, NEW]
    for worker in bench.workers:
        bench.hear(worker, messages.Drained, 3, (NEW,))
        bench.hear(worker, messages.Retired, 3, (NEW,))
    assert bench.entries()[-1] == Retired(2)
    assert bench.view.unretired == (1,)


def test_a_retirement_that_cannot_be_written_is_written_later(bench: Bench) -> None:
    bench.writes = False
    for worker in bench.workers:
        bench.hear(worker, messages.Drained, 2, (OLD,))
        bench.hear(worker, messages.Retired, 2, (OLD,))
    bench.feed(events.PersistFailed(bench.all(effects.Persist)[-1].ticket, "full"))
    bench.writes = True
    bench.fire(Timer(TimerKind.REWRITE))
    assert [record.epoch for record in bench.told(EpochRetired)] == [1]


# ---- workers that leave ----


@pytest.fixture
def rolled() -> Bench:
    """A roll kept `geo` and replaced `pricing`; the two old workers hand over for as long as their clients like."""
    bench = replacing()
    bench.find(snapshot(2, NEW, KEPT, rolled=2))
    for worker in cohort(bench, 2):
        bench.greet(worker)
    bench.prepare(2)
    for worker in cohort(bench, 2):
        bench.hear(worker, messages.Activated, 2)
    for worker in cohort(bench, 1):
        bench.hear(worker, messages.Yielding, 2)
    bench.forget()
    return bench


def cohort(bench: Bench, number: int) -> list[WorkerId]:
    return [worker for worker in bench.living() if worker.cohort == number]


def swap(bench: Bench, epoch: int, *units: UnitKey, drains: UnitKey) -> None:
    """The workers that stay serve another epoch, and say that they use `drains` no more."""
    bench.feed(events.CutoverRequested(epoch, RELOAD))
    bench.find(snapshot(epoch, *units, rolled=2))
    for worker in cohort(bench, 2):
        bench.hear(worker, messages.Prepared, epoch)
    for worker in cohort(bench, 2):
        bench.hear(worker, messages.Activated, epoch, 0, (drains,))
    bench.forget()
    for worker in cohort(bench, 2):
        bench.hear(worker, messages.Drained, epoch, (drains,))


def test_what_came_after_a_roll_goes_though_old_workers_stay_for_long(rolled: Bench) -> None:
    swap(rolled, 3, LATER, KEPT, drains=NEW)
    assert retire_orders(rolled) == [2, 3]
    for worker in cohort(rolled, 2):
        rolled.hear(worker, messages.Retired, 3, (NEW,))
    assert rolled.entries() == [Retired(2)]
    assert rolled.view.unretired == (1,)


def test_what_old_workers_serve_goes_in_those_who_stay_and_is_gone_with_the_old_ones(rolled: Bench) -> None:
    swap(rolled, 3, NEW, unit("geo", 3), drains=KEPT)
    assert retire_orders(rolled) == [2, 3]
    for worker in cohort(rolled, 2):
        rolled.hear(worker, messages.Retired, 3, (KEPT,))
    assert [(each.unit, each.held_by) for each in rolled.view.leftovers] == [(OLD, (0, 1)), (KEPT, (0, 1))]
    assert rolled.entries() == []
    for worker in cohort(rolled, 1):
        rolled.feed(events.WorkerExited(worker, 0))
    assert rolled.entries() == [Retired(1), Retired(2)]


def test_a_roll_of_the_same_content_retires_nothing_before_the_old_workers_are_gone() -> None:
    bench = Bench()
    bench.come_up()
    bench.feed(events.CutoverRequested(1, replace(RELOAD, force=True)))
    bench.find(snapshot(2, unit("pricing", 1), rolled=2))
    for worker in cohort(bench, 2):
        bench.greet(worker)
    bench.prepare(2)
    for worker in cohort(bench, 2):
        bench.hear(worker, messages.Activated, 2)
    assert [(each.epoch, each.by, each.served_by) for each in bench.view.superseded] == [(1, 2, (0, 1))]
    for worker in cohort(bench, 1):
        assert Retired(1) not in bench.entries()
        bench.feed(events.WorkerExited(worker, 0))
    assert bench.entries()[-1] == Retired(1)


def test_one_worker_too_many_that_hands_over_holds_nothing_of_what_comes_then(bench: Bench) -> None:
    for worker in bench.workers:
        bench.hear(worker, messages.Drained, 2, (OLD,))
        bench.hear(worker, messages.Retired, 2, (OLD,))
    bench.feed(events.ScaleRequested(1))
    leaving, staying = bench.workers
    bench.hear(leaving, messages.Yielding, 2)
    for epoch, before in ((3, NEW), (4, LATER)):
        bench.feed(events.CutoverRequested(epoch, RELOAD))
        bench.find(snapshot(epoch, unit("pricing", epoch), KEPT))
        bench.hear(staying, messages.Prepared, epoch)
        bench.hear(staying, messages.Activated, epoch, 0, (before,))
        bench.forget()
        bench.hear(staying, messages.Drained, epoch, (before,))
        assert retire_orders(bench) == [staying.slot]
        bench.hear(staying, messages.Retired, epoch, (before,))
    assert bench.entries() == [Retired(3)]
    assert bench.view.unretired == (2,)


def test_a_worker_that_leaves_releases_what_is_drained_in_it_though_others_use_it(bench: Bench) -> None:
    bench.feed(events.ScaleRequested(1))
    leaving, staying = bench.workers
    bench.hear(leaving, messages.Yielding, 2)
    bench.forget()
    bench.hear(leaving, messages.Drained, 2, (OLD,))
    assert retire_orders(bench) == [leaving.slot]
    bench.hear(leaving, messages.Retired, 2, (OLD,))
    assert [each.held_by for each in bench.view.leftovers] == [(staying.slot,)]


def test_who_begins_to_leave_with_an_open_stream_is_not_waited_for_any_more(bench: Bench) -> None:
    _, staying = bench.workers
    bench.hear(staying, messages.Drained, 2, (OLD,))
    assert retire_orders(bench) == []
    bench.feed(events.ScaleRequested(1))
    bench.fire(Timer(TimerKind.REPEAT))
    assert set(retire_orders(bench)) == {staying.slot}
