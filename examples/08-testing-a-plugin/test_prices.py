"""What a plugin does, and that it goes without a trace: in plain pytest, without processes or sockets."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from changeover.testing import SimulatedWorker, SwapRefused

PLUGIN = Path(__file__).parent / "prices"


@pytest.fixture
def worker() -> Iterator[SimulatedWorker]:
    with SimulatedWorker(PLUGIN) as worker:
        yield worker


def test_a_group_has_its_discount(worker: SimulatedWorker) -> None:
    assert worker.get("/quote", headers={"x-group": "gold"}).json() == {"total": 80, "quoted": 1}
    assert worker.get("/quote").json() == {"total": 100, "quoted": 2}


def test_an_unknown_group_is_turned_away(worker: SimulatedWorker) -> None:
    assert worker.get("/quote", headers={"x-group": "tin"}).status == 400


def test_the_configuration_is_swapped_like_code(worker: SimulatedWorker) -> None:
    worker.swap(PLUGIN, config={"discounts": {"tin": 1}})
    assert worker.get("/quote", headers={"x-group": "tin"}).json() == {"total": 99, "quoted": 1}


def test_a_configuration_that_does_not_fit_is_refused(worker: SimulatedWorker) -> None:
    with pytest.raises(SwapRefused, match="discount"):
        worker.swap(PLUGIN, config={"discount": {}})
    assert worker.get("/quote").status == 200


def test_a_replaced_version_leaves_nothing_behind(worker: SimulatedWorker, tmp_path: Path) -> None:
    newer = Path(shutil.copytree(PLUGIN, tmp_path / "prices"))
    (newer / "plugin.toml").write_text((PLUGIN / "plugin.toml").read_text().replace("1.0.0", "1.1.0"))
    worker.get("/quote")
    assert worker.swap(newer) == 2
    assert worker.leaks() == []
