from itertools import pairwise

import pytest

from changeover.workers.handover.spread import moment, window


@pytest.mark.parametrize("count", [1, 2, 3, 10, 137, 1000, 20_000])
def test_ends_are_spread_evenly_however_many_there_will_be(count: int) -> None:
    moments = sorted(moment(number, 10.0) for number in range(count))
    assert moments[0] == 0.0
    assert moments[-1] < 10.0
    gaps = [after - before for before, after in pairwise([*moments, 10.0])]
    assert max(gaps) <= 2.7 * 10.0 / count
    if count >= 10:
        assert min(gaps) >= 0.3 * 10.0 / count


def test_those_that_come_later_fall_between_those_that_were_there() -> None:
    first = {moment(number, 1.0) for number in range(100)}
    later = {moment(number, 1.0) for number in range(100, 200)}
    assert not first & later
    assert sum(each < 0.5 for each in later) in range(45, 56)


def test_nothing_is_spread_over_no_time() -> None:
    assert [moment(number, 0.0) for number in range(5)] == [0.0] * 5


def test_ends_have_a_part_of_their_deadline_or_the_time_that_is_left() -> None:
    assert window(30.0, 3600.0, 30.0) == 6.0
    assert window(3600.0, 3600.0, 30.0) == 15.0
    assert window(3600.0, 600.0, 30.0) == 0.0
