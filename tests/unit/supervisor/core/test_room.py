import pytest

from changeover.supervisor.core import events
from changeover.supervisor.core.events import Timer, TimerKind
from changeover.supervisor.core.policy import Limits, Policy
from changeover.supervisor.core.records.staffing import Scaled, ScaleRefused
from changeover.supervisor.core.records.worker import ReliefWaits, WorkerTired
from changeover.supervisor.core.room import most
from changeover.supervisor.core.unstaffed import RELIEF_WAITS
from changeover.workers.protocol import messages
from tests.machines import RELOAD, Bench, snapshot

HEARTBEAT = Timer(TimerKind.HEARTBEAT)


@pytest.mark.parametrize(
    ("free", "staffs", "expected"),
    [
        (5, [3], 8),
        (0, [3], 3),
        (4, [3, 3], 5),
        (5, [3, 3], 5),
        (5, [0, 10], 5),
        (30, [0, 10], 20),
    ],
)
def test_room_is_shared_by_all_who_need_it(free: int, staffs: list[int], expected: int) -> None:
    assert most(free, staffs) == expected
    assert sum(max(0, expected - each) for each in staffs) <= free
    assert sum(max(0, expected + 1 - each) for each in staffs) > free


def test_more_workers_than_there_are_numbers_for_are_refused_in_clear_words() -> None:
    bench = Bench(Policy(numbers=3))
    bench.come_up()
    bench.feed(events.ScaleRequested(4))
    [refused] = bench.told(ScaleRefused)
    assert (refused.slots, bench.view.wanted, bench.view.most) == (4, 2, 3)
    assert "4 workers would need more slot numbers than there are" in refused.reason
    assert "there is room for 3 now" in refused.reason
    assert not bench.told(Scaled)
    bench.feed(events.ScaleRequested(3))
    assert bench.view.wanted == 3


def test_while_a_roll_is_under_way_both_its_staffs_count() -> None:
    bench = Bench(Policy(numbers=5))
    bench.come_up()
    bench.feed(events.CutoverRequested(1, RELOAD))
    bench.find(snapshot(2, rolled=2))
    assert bench.view.most == 2
    bench.feed(events.ScaleRequested(3))
    assert bench.told(ScaleRefused)
    bench.feed(events.ScaleRequested(1))
    assert bench.view.wanted == 1


def test_a_tired_worker_for_whose_relief_there_is_no_number_waits_and_that_is_told_once() -> None:
    bench = Bench(Policy(numbers=2, limits=Limits(requests=100)))
    bench.come_up()
    worn = bench.workers[0]
    bench.hear(worn, messages.Beat, 1, 0, None, {}, 0, 100)
    bench.fire(HEARTBEAT)
    bench.fire(HEARTBEAT)
    assert [(record.worker, record.reason) for record in bench.told(ReliefWaits)] == [(worn, RELIEF_WAITS)]
    assert bench.view.slots[0].note == RELIEF_WAITS
    assert not bench.told(WorkerTired)
    assert len(bench.workers) == 2


def test_a_worker_that_hangs_waits_for_a_number_as_well() -> None:
    bench = Bench(Policy(numbers=2, limits=Limits(request=60.0)))
    bench.come_up()
    stuck = bench.workers[0]
    bench.hear(stuck, messages.Beat, 1, 0, None, {}, 1, 1, 0, messages.OwedResponse("/report", 1, 61.0))
    for _ in range(2):
        bench.now += 1.0
        bench.fire(HEARTBEAT)
        bench.feed(events.StacksDumped(stuck, "in report"))
    bench.fire(HEARTBEAT)
    assert {record.worker for record in bench.told(ReliefWaits)} == {stuck}
    assert len(bench.workers) == 2
