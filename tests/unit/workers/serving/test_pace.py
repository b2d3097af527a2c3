"""A client lags behind that takes less than a few KiB in a second, measured over some of them."""

import pytest

from changeover.workers.serving.pace import LEAST, SHORTEST, WINDOW, Pace


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def never() -> int:
    raise AssertionError("the kernel was asked for what nobody wants to know")


def measured(pace: Pace, taken: int) -> bool:
    assert pace.asks()
    pace.measure(lambda: taken)
    return pace.lags


def test_it_is_measured_at_once_and_after_each_window_and_asked_for_once() -> None:
    clock = Clock()
    pace = Pace(clock)
    assert [pace.asks(), pace.asks()] == [True, False]
    pace.measure(lambda: 7)
    for seconds, expected in ((0.0, False), (WINDOW - 0.01, False), (0.01, True), (10.0, False)):
        clock.now += seconds
        assert pace.asks() is expected


@pytest.mark.parametrize(("rounds", "window"), [(0, WINDOW), (1, WINDOW / 2), (4, SHORTEST), (100, SHORTEST)])
def test_the_more_others_wait_the_sooner_it_is_measured_again(rounds: int, window: float) -> None:
    clock = Clock()
    pace = Pace(clock)
    assert not measured(pace, 5)
    clock.now += window - 0.01
    assert not pace.asks(rounds)
    clock.now += 0.01
    assert pace.asks(rounds)


def test_who_takes_too_little_lags_until_it_takes_enough() -> None:
    clock = Clock()
    pace, enough = Pace(clock), int(LEAST * WINDOW)
    assert not measured(pace, 5)
    clock.now += WINDOW
    assert measured(pace, 5), "it has taken nothing"
    clock.now += WINDOW
    assert measured(pace, 5 + enough - 1)
    clock.now += WINDOW
    assert not measured(pace, 5 + 2 * enough)


def test_a_measure_that_comes_late_is_over_all_of_the_time() -> None:
    clock = Clock()
    pace, enough = Pace(clock), int(LEAST * WINDOW)
    measured(pace, 0)
    clock.now += 2 * WINDOW
    assert measured(pace, enough)
    pace.measure(never)
    assert pace.lags, "what nobody asked for is not heard"
    clock.now += WINDOW
    assert not measured(pace, 2 * enough)
