"""Workers that nobody hands over are held by the pid that they say, as far as that is believed."""

import os
from pathlib import Path

from changeover.supervisor.process.held_worker import hold_by_pid
from changeover.workers.generation.cell import CellWriter


def test_a_worker_that_says_it_is_the_supervisor_is_not_believed(tmp_path: Path) -> None:
    cell = CellWriter.make(tmp_path / "epoch.cell")
    assert hold_by_pid(os.getpid(), tmp_path / "epoch.cell") is None
    cell.close()
