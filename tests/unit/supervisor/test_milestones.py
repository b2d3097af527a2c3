"""A cutover is active once all follow, drained once no request is on what it replaced, retired once that is gone."""

import pytest
from msgspec.structs import replace

from changeover.supervisor.control import Milestone
from changeover.supervisor.core import events
from changeover.supervisor.milestones import reached
from changeover.workers.protocol import messages
from changeover.workers.protocol.identity import WorkerId
from tests.machines import RELOAD, Bench, snapshot, unit

OLD = unit("pricing", 1)


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.come_up()
    return bench


def come_so_far(bench: Bench, epoch: int) -> list[Milestone]:
    return [milestone for milestone in Milestone if reached(bench.view, epoch, milestone)]


def replace_content(bench: Bench) -> None:
    """Both workers have prepared another version, and it is committed."""
    bench.feed(events.CutoverRequested(1, RELOAD))
    bench.find(snapshot(2))
    bench.prepare(2)


def roll_the_same(bench: Bench) -> list[WorkerId]:
    """New processes serve the same content; those that hand over."""
    old = bench.living()
    bench.feed(events.CutoverRequested(1, replace(RELOAD, force=True)))
    bench.find(snapshot(2, OLD, rolled=2))
    new = [worker for worker in bench.living() if worker not in old]
    for worker in new:
        bench.greet(worker)
    bench.prepare(2)
    for worker in new:
        bench.hear(worker, messages.Activated, 2)
    return old


def test_the_first_epoch_replaces_nothing(bench: Bench) -> None:
    assert come_so_far(bench, 1) == list(Milestone)


def test_a_commit_that_a_worker_has_not_followed_yet_has_reached_nothing(bench: Bench) -> None:
    replace_content(bench)
    first, second = bench.workers
    bench.hear(first, messages.Activated, 2, 0, (OLD,))
    assert come_so_far(bench, 2) == []
    bench.hear(second, messages.Activated, 2, 0, (OLD,))
    assert come_so_far(bench, 2) == [Milestone.ACTIVE]


def test_a_swap_is_drained_when_no_worker_uses_what_it_replaced_and_retired_when_none_has_it(bench: Bench) -> None:
    replace_content(bench)
    bench.activate(2, OLD)
    first, second = bench.workers
    bench.hear(first, messages.Drained, 2, (OLD,))
    assert come_so_far(bench, 2) == [Milestone.ACTIVE]
    bench.hear(second, messages.Drained, 2, (OLD,))
    assert come_so_far(bench, 2) == [Milestone.ACTIVE, Milestone.DRAINED]
    for worker in (first, second):
        bench.hear(worker, messages.Retired, 2, (OLD,))
    assert come_so_far(bench, 2) == list(Milestone)


def test_a_roll_of_the_same_content_is_drained_when_the_last_worker_that_it_replaced_is_gone(bench: Bench) -> None:
    first, second = roll_the_same(bench)
    assert come_so_far(bench, 2) == [Milestone.ACTIVE]
    bench.feed(events.WorkerExited(first, 0))
    assert come_so_far(bench, 2) == [Milestone.ACTIVE]
    bench.feed(events.WorkerExited(second, 0))
    assert come_so_far(bench, 2) == list(Milestone)


def test_what_a_later_swap_leaves_behind_is_not_waited_for(bench: Bench) -> None:
    replace_content(bench)
    bench.activate(2)
    assert come_so_far(bench, 2) == list(Milestone)
    bench.feed(events.CutoverRequested(2, RELOAD))
    bench.find(snapshot(3))
    bench.prepare(3)
    bench.activate(3, unit("pricing", 2))
    assert (come_so_far(bench, 2), come_so_far(bench, 3)) == (list(Milestone), [Milestone.ACTIVE])
