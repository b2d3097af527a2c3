from pathlib import Path

import pytest

from changeover.supervisor.cli.tour.versions import FILE, VERSIONS, install
from changeover.testing import SimulatedWorker, SwapRefused


def test_the_tours_versions_do_what_the_tour_says(tmp_path: Path) -> None:
    for version in VERSIONS:
        (tmp_path / version).mkdir()
        install(version, tmp_path / version)
    with SimulatedWorker(tmp_path / "1.0.0" / FILE) as worker:
        assert worker.get("/quote").json()["total"] == 100
        worker.swap(tmp_path / "2.0.0" / FILE)
        assert worker.get("/quote").json()["total"] == 90
        with pytest.raises(SwapRefused, match="1O0") as raised:
            worker.swap(tmp_path / "3.0.0" / FILE)
        assert raised.value.refusal.hook == "on_reload"
        assert worker.get("/quote").json()["total"] == 90
