"""A client stands still that has taken nothing for some seconds, however little it takes otherwise."""

from changeover.workers.serving.pace import WINDOW, Pace


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_who_takes_nothing_stands_still_after_some_seconds_and_from_then_on() -> None:
    clock = Clock()
    pace = Pace(5, clock)
    found = []
    for seconds in (0.0, WINDOW - 0.01, 0.01, 10.0):
        clock.now += seconds
        found.append(pace.stands_still(5))
    assert found == [False, False, True, True]


def test_who_takes_something_has_as_long_again() -> None:
    clock = Clock()
    pace = Pace(0, clock)
    clock.now += WINDOW
    assert not pace.stands_still(1)
    clock.now += WINDOW - 0.01
    assert not pace.stands_still(1)
    clock.now += 0.01
    assert pace.stands_still(1)
    assert not pace.stands_still(2)
