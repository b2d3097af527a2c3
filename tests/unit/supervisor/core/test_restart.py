from changeover.supervisor.core.policy import Restarts
from changeover.supervisor.core.restart import pause, recent, too_often

POLICY = Restarts(delay=0.5, longest=3.0, intensity=5, period=60.0)


def test_the_first_replacement_comes_at_once() -> None:
    assert pause((100.0,), 100.0, POLICY) == 0.0


def test_further_ones_wait_twice_as_long_each_time_up_to_the_longest() -> None:
    exits = (95.0, 96.0, 97.0, 98.0, 100.0)
    assert [pause(exits[:count], 100.0, POLICY) for count in (2, 3, 4, 5)] == [0.5, 1.0, 2.0, 3.0]


def test_what_lies_before_the_period_is_forgotten() -> None:
    assert recent((10.0, 41.0), 100.0, POLICY) == (41.0,)
    assert not too_often((1.0, 2.0, 3.0, 4.0, 100.0), 100.0, POLICY)


def test_as_many_exits_as_the_intensity_park_the_slot() -> None:
    assert too_often((96.0, 97.0, 98.0, 99.0, 100.0), 100.0, POLICY)
