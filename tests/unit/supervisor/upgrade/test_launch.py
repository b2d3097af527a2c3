"""How a program was started, however that was."""

import os
from pathlib import Path

import pytest

from changeover.supervisor.upgrade.launch import Launch


def test_a_program_may_be_started_in_a_folder_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert Launch.of_this_process().directory == "/"


def test_what_a_service_manager_passed_is_not_passed_again() -> None:
    launch = Launch("python", (), "/", {"LISTEN_FDS": "1", "LISTEN_PID": "2", "LISTEN_FDNAMES": "web", "HOME": "/"})
    assert launch.again() == {"HOME": "/"}
    assert os.environ is not launch.again()
