"""What the read path is compared with does the same, and a verdict is what the figures say."""

from pathlib import Path

import pytest
from benchmarks.read_path import SWAP, SWAP_LOCKED, Reading, report

from tests.waits import until_sync

VERSIONS = ("read", "read_published", "read_locked", "read_flocked")


@pytest.mark.parametrize("order", [SWAP, SWAP_LOCKED])
@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_finds_what_another_process_commits_and_holds_nothing_afterwards(
    tmp_path: Path, version: str, order: int
) -> None:
    reading = Reading(tmp_path)
    read = getattr(reading, version)
    with reading.writer():
        reading.order(order)

        def swapped() -> bool:
            read()
            reading.prepare()
            return reading.switch.current.epoch >= 4

        until_sync(swapped, "three swaps")
    assert reading.units.live_leases() == []


COSTS = {"changeover": 0.2, "published": 1.0, "by hand": 0.4, "flock": 0.6}


@pytest.mark.parametrize(
    ("published", "beside", "status"),
    [(1.0, 0.2, 0), (0.99, 0.2, 1), (1.0, 0.23, 1)],
    ids=["holds", "slow", "affected"],
)
def test_a_verdict_is_what_the_figures_say(published: float, beside: float, status: int) -> None:
    assert report(COSTS | {"published": published}, {"changeover": beside, "flock": 1.0}, 9) == status
