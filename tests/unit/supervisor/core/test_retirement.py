import pytest

from changeover.supervisor.core import effects, events
from changeover.supervisor.core.entries import Retired
from changeover.supervisor.core.events import Timer, TimerKind
from changeover.supervisor.core.records.retirement import EpochRetired
from changeover.workers.protocol import messages
from tests.machines import RELOAD, Bench, snapshot, unit

OLD, KEPT, NEW = unit("pricing", 1), unit("geo", 1), unit("pricing", 2)


@pytest.fixture
def bench() -> Bench:
    """Epoch 2 replaced `pricing` and kept `geo`."""
    bench = Bench()
    bench.boot()
    bench.find(snapshot(1, OLD, KEPT))
    bench.greet_all()
    bench.prepare(1)
    bench.activate(1)
    bench.feed(events.CutoverRequested(1, RELOAD))
    bench.find(snapshot(2, NEW, KEPT))
    bench.prepare(2)
    bench.activate(2, OLD)
    bench.forget()
    return bench


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
