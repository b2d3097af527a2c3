"""Seeded schedules in which everything goes wrong; `make sim` runs many more of them."""

import pytest

from tests.simulation.runner import LEAST_CUTOVERS, LEAST_DELIVERED, LEAST_FAULTS, run

SCHEDULES, PART = 500, 50


@pytest.mark.parametrize("first", range(0, SCHEDULES, PART))
def test_the_starred_promises_hold_after_every_step(first: int) -> None:
    for seed in range(first, first + PART):
        result = run(seed)
        if not result.stopped:
            assert result.workers >= 3
            assert result.cutovers >= LEAST_CUTOVERS
            assert result.faults >= LEAST_FAULTS
            assert result.delivered >= LEAST_DELIVERED


def test_a_seed_tells_the_same_story_twice() -> None:
    assert run(7) == run(7)
