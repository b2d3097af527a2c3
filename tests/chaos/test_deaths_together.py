"""Several deaths at once, and deaths while workers come and go for other reasons than a cutover."""

import os
import signal
import time

import pytest
from benchmarks.killing.moments import Moment, Side
from benchmarks.killing.premises import zygotes
from benchmarks.killing.trial import arm
from benchmarks.subject import Kind, parent, until

from tests.chaos.ordeal import PATIENCE, ordeal

STORM, SECONDS = 50, 5.0


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [Kind.PLUGIN, pytest.param(Kind.APPLICATION, marks=pytest.mark.every_moment)],
    ids=lambda kind: kind.value,
)
def test_zygote_and_supervisor_killed_together_cost_no_worker(kind: Kind) -> None:
    with ordeal(kind=kind) as service:
        workers = service.workers
        for zygote in zygotes(service.subject):
            os.kill(zygote, signal.SIGKILL)
        service.subject.end_supervisor()
        service.revive()
        service.quiet()
        assert service.workers == workers
        service.reload()


@pytest.mark.slow
def test_a_zygote_that_dies_with_its_supervisor_in_the_middle_of_a_roll_leaves_the_old_workers_serving() -> None:
    with ordeal(kind=Kind.APPLICATION) as service:
        epoch, workers = service.quiet(), service.workers
        moment = Moment(Side.AFTER, "hear Prepared", 2)
        service.subject.contents.renew()
        arm(service.subject, moment)
        service.subject.hang_up()
        service.await_death(moment)
        for zygote in set(map(parent, service.lives())) & service.lives():
            os.kill(zygote, signal.SIGKILL)
        service.revive()
        assert service.quiet() == epoch
        assert service.workers == workers
        service.reload()


@pytest.mark.slow
def test_workers_and_a_zygote_that_are_killed_leave_nothing_behind() -> None:
    with ordeal() as service:
        victim = max(service.workers)
        service.kill_worker(victim)
        until(lambda: victim not in service.workers and len(service.workers) == 2, PATIENCE, service.subject.words)
        [zygote] = zygotes(service.subject)
        os.kill(zygote, signal.SIGKILL)
        until(lambda: zygote not in service.lives(), PATIENCE, service.subject.words)
        service.quiet()
        service.reload()


@pytest.mark.slow
def test_a_worker_that_dies_while_nobody_supervises_is_replaced_by_the_next_supervisor() -> None:
    with ordeal() as service:
        victim, survivor = sorted(service.workers)
        service.subject.end_supervisor()
        service.kill_worker(victim)
        service.revive()
        service.quiet()
        assert survivor in service.workers
        assert victim not in service.workers


@pytest.mark.slow
@pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.value)
def test_a_storm_of_hups_with_kills_in_between_ends_with_the_last_content_in_every_worker(kind: Kind) -> None:
    with ordeal(kind=kind) as service:
        epoch, begun = service.quiet(), time.monotonic()
        for number in range(STORM):
            service.subject.contents.renew()
            service.subject.hang_up()
            if number in (10, 30):
                service.subject.end_supervisor()
                service.subject.start()
                service.subject.await_serving()
            if number == 20:
                service.kill_worker(min(service.workers))
            time.sleep(max(0.0, begun + number * SECONDS / STORM - time.monotonic()))
        last = service.reload()
        assert last > epoch + 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(Moment(Side.AFTER, "WorkerForked"), marks=pytest.mark.every_moment),
        Moment(Side.AFTER, "send HandOver"),
    ],
    ids=str,
)
def test_a_supervisor_that_dies_while_workers_are_recycled_leaves_nobody_over(
    moment: Moment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHANGEOVER_RECYCLE_LIFETIME", "8s")
    with ordeal() as service:
        service.die_at(moment)
        service.revive()
        service.quiet()
        assert service.subject.status().epoch == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scale", "moment"),
    [
        pytest.param("SIGTTIN", Moment(Side.AFTER, "WorkerForked"), marks=pytest.mark.every_moment),
        ("SIGTTIN", Moment(Side.BEFORE, "hear Activated")),
        ("SIGTTOU", Moment(Side.AFTER, "send HandOver")),
        pytest.param("SIGTTOU", Moment(Side.BEFORE, "WorkerExited"), marks=pytest.mark.every_moment),
    ],
    ids=str,
)
def test_after_a_death_while_scaling_there_are_as_many_workers_as_are_configured(scale: str, moment: Moment) -> None:
    with ordeal() as service:
        arm(service.subject, moment)
        os.kill(service.subject.pid, signal.Signals[scale])
        service.await_death(moment)
        service.revive()
        service.quiet()
        assert len(service.workers) == service.subject.count
