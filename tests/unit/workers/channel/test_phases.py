"""Deadlines are what a sweep sees twice too far apart."""

import msgspec
import pytest

from changeover.workers.channel.limits import Limits
from changeover.workers.channel.phases import MOMENT, RULES, Overdue, Phase, Sight, Watch, sweep_interval

LIMITS = Limits(head_timeout=10.0, keep_alive=20.0)


def test_a_phase_is_overdue_when_it_has_looked_the_same_for_its_limit() -> None:
    watch = Watch()
    sight = Sight(Phase.HEAD, 1)
    assert [watch.look(sight, now, LIMITS) for now in (0.0, 9.9, 10.0)] == [None, None, Overdue.TIMEOUT]


def test_progress_starts_the_time_anew() -> None:
    watch = Watch()
    assert watch.look(Sight(Phase.BODY, 1), 0.0, LIMITS) is None
    assert watch.look(Sight(Phase.BODY, 2), 29.0, LIMITS) is None
    assert watch.look(Sight(Phase.BODY, 2), 58.0, LIMITS) is None
    assert watch.look(Sight(Phase.BODY, 2), 59.0, LIMITS) is Overdue.TIMEOUT


def test_another_phase_starts_the_time_anew() -> None:
    watch = Watch()
    assert watch.look(Sight(Phase.IDLE, 1), 0.0, LIMITS) is None
    assert watch.look(Sight(Phase.BUSY, 1), 1000.0, LIMITS) is None
    assert watch.look(Sight(Phase.BUSY, 1), 2000.0, LIMITS) is None
    assert watch.look(Sight(Phase.IDLE, 2), 2000.0, LIMITS) is None
    assert watch.look(Sight(Phase.IDLE, 2), 2020.0, LIMITS) is Overdue.CLOSE


def test_a_phase_that_was_timed_elsewhere_goes_on_and_has_a_moment_left() -> None:
    watch, sight = Watch(), Sight(Phase.HEAD, 1)
    watch.resume(sight, 5.0, 10.0, LIMITS)
    assert [watch.look(sight, now, LIMITS) for now in (14.9, 15.0)] == [None, Overdue.TIMEOUT]
    watch.resume(sight, 5.0, 1000.0, LIMITS)
    assert [watch.look(sight, now, LIMITS) for now in (1000.0, 1000.0 + MOMENT)] == [None, Overdue.TIMEOUT]
    watch.resume(sight, 3000.0, 2000.0, LIMITS)
    assert watch.since == 2000.0


def test_every_phase_but_busy_has_a_limit_that_limits_knows() -> None:
    assert set(RULES) == set(Phase) - {Phase.BUSY}
    for rule in RULES.values():
        assert getattr(Limits(), rule.limit) > 0


@pytest.mark.parametrize(("shortest", "interval"), [(100.0, 1.0), (0.5, 0.5), (0.0001, 0.01)])
def test_the_sweep_is_as_fine_as_the_shortest_limit_needs(shortest: float, interval: float) -> None:
    limits = msgspec.structs.replace(
        Limits(), **{rule.limit: max(shortest, 1.0) for rule in RULES.values()} | {"held": shortest}
    )
    assert sweep_interval(limits) == pytest.approx(interval)
