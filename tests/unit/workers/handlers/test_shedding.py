"""When requests are turned away: it starts, it rests, it tries one, and it stops."""

import pytest

from changeover.workers.handlers.settings import LoadShed
from changeover.workers.handlers.shedding import Outcome, Shed, Shedding, Strain, Way

SETTINGS = LoadShed(not_ready=3, window=1.0, clogged=2, waiting=2, rest=5.0)
REFUSED, ANSWERED = Outcome.REFUSED, Outcome.ANSWERED


def refusing(*times: float) -> Shedding:
    shedding = Shedding(SETTINGS)
    for now in times:
        shedding.ended(shedding.way(now), REFUSED, now)
    return shedding


def test_refusals_within_the_window_start_it() -> None:
    assert refusing(0.0, 0.1).state is Shed.PASSING
    assert refusing(0.0, 0.6, 1.2).state is Shed.PASSING
    shedding = refusing(0.0, 0.5, 0.9)
    assert shedding.state is Shed.SHEDDING
    assert [shedding.way(now) for now in (1.0, 5.8)] == [Way.AWAY, Way.AWAY]


def test_after_its_rest_one_request_decides() -> None:
    shedding = refusing(0.0, 0.0, 0.0)
    assert [shedding.way(5.0), shedding.way(5.0)] == [Way.PROBE, Way.AWAY]
    shedding.ended(Way.PROBE, ANSWERED, 5.0)
    assert [shedding.way(5.1), shedding.way(5.1)] == [Way.THROUGH, Way.THROUGH]


def test_a_probe_that_is_refused_means_another_rest() -> None:
    shedding = refusing(0.0, 0.0, 0.0)
    assert shedding.way(5.0) is Way.PROBE
    shedding.ended(Way.PROBE, REFUSED, 6.0)
    assert [shedding.way(10.9), shedding.way(11.0)] == [Way.AWAY, Way.PROBE]


def test_a_probe_without_an_answer_leaves_it_to_the_next() -> None:
    shedding = refusing(0.0, 0.0, 0.0)
    assert shedding.way(5.0) is Way.PROBE
    shedding.ended(Way.PROBE, Outcome.UNKNOWN, 5.0)
    assert [shedding.way(5.0), shedding.way(5.0)] == [Way.PROBE, Way.AWAY]


def test_what_was_under_way_before_decides_nothing() -> None:
    shedding = Shedding(SETTINGS)
    old = shedding.way(0.0)
    for _ in range(3):
        shedding.ended(shedding.way(0.0), REFUSED, 0.0)
    shedding.ended(old, ANSWERED, 0.0)
    assert [shedding.way(4.9), shedding.way(5.0)] == [Way.AWAY, Way.PROBE]
    shedding.ended(old, REFUSED, 5.1)
    shedding.ended(old, ANSWERED, 5.1)
    assert shedding.state is Shed.PROBING


def test_a_probe_of_which_nothing_is_heard_leaves_it_to_another_after_a_rest() -> None:
    shedding = refusing(0.0, 0.0, 0.0)
    assert [shedding.way(now) for now in (5.0, 9.9, 10.0, 10.0)] == [Way.PROBE, Way.AWAY, Way.PROBE, Way.AWAY]
    shedding.ended(Way.PROBE, ANSWERED, 10.1)
    assert shedding.state is Shed.PASSING
    for late in (Outcome.UNKNOWN, REFUSED):
        shedding.ended(Way.PROBE, late, 60.0)
    assert shedding.way(60.0) is Way.THROUGH


@pytest.mark.parametrize("strain", Strain)
def test_what_has_to_wait_starts_it_and_keeps_it(strain: Strain) -> None:
    shedding = Shedding(SETTINGS)
    shedding.strain(strain, 0.0)
    assert shedding.way(0.0) is Way.THROUGH
    shedding.strain(strain, 0.0)
    assert [shedding.way(0.0), shedding.way(5.0)] == [Way.AWAY, Way.AWAY]
    shedding.ease(strain)
    assert [shedding.way(9.9), shedding.way(10.0)] == [Way.AWAY, Way.PROBE]


def test_what_waits_for_different_things_is_not_added_up() -> None:
    shedding = Shedding(SETTINGS)
    for strain in Strain:
        shedding.strain(strain, 0.0)
    assert shedding.state is Shed.PASSING


@pytest.mark.parametrize("settings", [LoadShed(not_ready=0, clogged=1), LoadShed(not_ready=0, waiting=1)])
def test_what_is_switched_off_starts_nothing(settings: LoadShed) -> None:
    shedding = Shedding(settings)
    for _ in range(100):
        shedding.ended(shedding.way(0.0), REFUSED, 0.0)
    shedding.strain(Strain.THREAD if settings.clogged else Strain.CLIENT, 0.0)
    assert shedding.state is Shed.PASSING
