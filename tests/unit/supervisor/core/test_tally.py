from hypothesis import given
from hypothesis import strategies as st

from changeover.supervisor.core.tally import Verdict, count

numbers = st.frozensets(st.integers(1, 6))


def test_a_cutover_waits_for_every_worker_that_lives() -> None:
    assert count({1, 2, 3}, {1, 2}, set()) is Verdict.PENDING
    assert count({1, 2, 3}, {1, 2, 3}, set()) is Verdict.UNANIMOUS


def test_one_refusal_is_enough_also_of_a_worker_that_died_since() -> None:
    assert count({1, 2}, {1, 2}, {3}) is Verdict.REFUSED


def test_a_dead_workers_yes_helps_nobody() -> None:
    assert count({1, 2}, {1, 3}, set()) is Verdict.PENDING


@given(numbers, numbers, numbers)
def test_unanimous_means_that_everybody_who_lives_said_yes(
    voters: frozenset[int], prepared: frozenset[int], refused: frozenset[int]
) -> None:
    unanimous = count(voters, prepared, refused) is Verdict.UNANIMOUS
    assert unanimous == (voters <= prepared and not refused)
