from changeover.supervisor.core.policy import Restarts
from changeover.supervisor.core.restart import Fate, fate, last_pause, pause, recent, too_often

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


def test_the_last_slot_is_spared_what_parks_any_other() -> None:
    exits = (96.0, 97.0, 98.0, 99.0, 100.0)
    assert fate(exits, 100.0, POLICY, last=False) is Fate.PARKED
    assert fate(exits, 100.0, POLICY, last=True) is Fate.LAST
    assert fate(exits[1:], 100.0, POLICY, last=True) is Fate.WAITS


def test_its_next_worker_comes_as_soon_as_the_last_one_before_parking_would() -> None:
    patient = Restarts(delay=0.5, longest=30.0, intensity=5, period=60.0)
    exits = tuple(90.0 + number for number in range(10))
    assert [last_pause(exits[:count], 100.0, patient) for count in (5, 6, 10)] == [4.0, 4.0, 4.0]
    assert last_pause(exits, 100.0, POLICY) == POLICY.longest
