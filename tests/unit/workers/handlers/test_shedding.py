"""When requests are turned away: it starts, it rests, it tries one, and it stops."""

from changeover.workers.handlers.settings import LoadShed
from changeover.workers.handlers.shedding import Shed, Shedding, Way

SETTINGS = LoadShed(not_ready=3, window=1.0, clogged=2, rest=5.0)


def refusing(*times: float) -> Shedding:
    shedding = Shedding(SETTINGS)
    for now in times:
        way = shedding.way(now)
        shedding.refused(way, now)
        shedding.settle(way, answered=False)
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
    shedding.settle(Way.PROBE, answered=True)
    assert [shedding.way(5.1), shedding.way(5.1)] == [Way.THROUGH, Way.THROUGH]


def test_a_probe_that_is_refused_means_another_rest() -> None:
    shedding = refusing(0.0, 0.0, 0.0)
    assert shedding.way(5.0) is Way.PROBE
    shedding.refused(Way.PROBE, 6.0)
    shedding.settle(Way.PROBE, answered=True)
    assert [shedding.way(10.9), shedding.way(11.0)] == [Way.AWAY, Way.PROBE]


def test_a_probe_without_an_answer_leaves_it_to_the_next() -> None:
    shedding = refusing(0.0, 0.0, 0.0)
    assert shedding.way(5.0) is Way.PROBE
    shedding.settle(Way.PROBE, answered=False)
    assert [shedding.way(5.0), shedding.way(5.0)] == [Way.PROBE, Way.AWAY]


def test_what_was_under_way_before_decides_nothing() -> None:
    shedding = Shedding(SETTINGS)
    old = shedding.way(0.0)
    for _ in range(3):
        shedding.refused(shedding.way(0.0), 0.0)
    shedding.settle(old, answered=True)
    assert [shedding.way(4.9), shedding.way(5.0)] == [Way.AWAY, Way.PROBE]
    shedding.refused(old, 5.1)
    shedding.settle(old, answered=True)
    assert shedding.state is Shed.PROBING


def test_clients_that_take_nothing_start_it_and_keep_it() -> None:
    shedding = Shedding(SETTINGS)
    shedding.clog(0.0)
    assert shedding.way(0.0) is Way.THROUGH
    shedding.clog(0.0)
    assert [shedding.way(0.0), shedding.way(5.0)] == [Way.AWAY, Way.AWAY]
    shedding.unclog()
    assert [shedding.way(9.9), shedding.way(10.0)] == [Way.AWAY, Way.PROBE]


def test_what_is_switched_off_starts_nothing() -> None:
    shedding = Shedding(LoadShed(not_ready=0, clogged=1))
    for _ in range(100):
        shedding.refused(shedding.way(0.0), 0.0)
    assert shedding.state is Shed.PASSING
