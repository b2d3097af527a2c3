"""When memory is given back; that it is, real processes show (`test_hostile_clients`)."""

from changeover.workers.channel.allocator import MANY, Tide


def test_it_is_noticed_once_that_half_of_many_have_left() -> None:
    tide = Tide()
    assert not any(tide.falls(count) for count in (1, MANY, 3 * MANY, 2 * MANY))
    assert tide.falls(3 * MANY // 2)
    assert not tide.falls(MANY)
    assert tide.falls(0)
    assert not tide.falls(0)


def test_of_a_few_nothing_is_noticed() -> None:
    tide = Tide()
    assert not any(tide.falls(count) for count in (MANY - 1, 1, 0))
