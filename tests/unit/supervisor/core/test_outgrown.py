"""A limit below what a fresh worker comes to replaces less and less often, and not so a leak."""

from collections.abc import Callable

from changeover.supervisor.core.outbox import Outbox
from changeover.supervisor.core.outgrown import Outgrown
from changeover.supervisor.core.roster import Member, Slot
from changeover.workers.protocol.epoch import Stamp
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.messages import Beat
from tests.machines import JOURNAL

LIMIT = 200
MIB = 1 << 20


def replaced(held: Callable[[int], float], hours: int = 1) -> list[tuple[int, int]]:
    """How old each worker was that was replaced, and how many MiB it held; each is followed by one like it.

    Args:
        held: How many MiB a worker holds at an age in seconds.
        hours: For how long it is looked at, every second.
    """
    out, seen = Outbox(), []
    outgrown = Outgrown(LIMIT * MIB, out)
    slot = Slot(0, 1, member=born(1, 0.0))
    for second in range(1, hours * 3600 + 1):
        out.now, worker = float(second), slot.member
        assert worker is not None
        age = second - int(worker.since)
        worker.beat = Beat(Stamp(JOURNAL, 1, 1), worker.worker, 0, rss=int(held(age) * MIB))
        outgrown.look([slot])
        if outgrown.due(worker) is not None:
            outgrown.replaced(worker)
            seen.append((age, int(held(age))))
            slot.member = born(worker.incarnation + 1, out.now)
    return seen


def born(incarnation: int, since: float) -> Member:
    return Member(WorkerId(1, 0, incarnation), incarnation, since, 1)


def test_an_application_that_warms_up_to_far_more_than_the_limit_is_replaced_less_and_less_often() -> None:
    ages = [age for age, _ in replaced(lambda age: min(350, 150 + 5 * age))]
    assert ages == [10, 60, 120, 240, 480, 960]


def test_so_is_one_that_its_users_have_grow_for_minutes() -> None:
    ages = [age for age, _ in replaced(lambda age: min(450, 190 + age / 2), hours=4)]
    assert ages == [20, 60, 120, 240, 480, 960, 1920, 3600, 3600]


def test_a_leak_is_replaced_in_spite_of_the_pause_once_it_has_grown_by_half() -> None:
    seen = replaced(lambda age: 150 + 10 * age, hours=6)
    assert seen[:2] == [(5, 200), (60, 750)]
    assert {held for _, held in seen[2:]} == {1130}


def test_a_slow_leak_does_not_come_to_more_and_more_from_worker_to_worker() -> None:
    seen = replaced(lambda age: 150 + age, hours=12)
    assert max(held for _, held in seen) == 585
