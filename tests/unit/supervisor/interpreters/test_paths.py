"""What a path of an interpreter means, and goes on to mean."""

import os
import sys
from pathlib import Path

import pytest

from changeover.supervisor.interpreters.paths import OURS, executable
from tests.environments import Environment


def test_an_environments_folder_means_its_interpreter_and_nothing_means_ours(tmp_path: Path) -> None:
    assert executable(str(tmp_path)) == f"{tmp_path}/bin/python"
    assert executable("/no/such/python") == "/no/such/python"
    assert executable("") == OURS
    assert os.path.samefile(OURS, sys.executable)


def test_our_own_interpreter_is_the_same_by_each_of_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, other = Environment(tmp_path / "ours"), Environment(tmp_path / "other")
    alias = ours.python.with_name("python3")
    if not alias.exists():
        alias.symlink_to("python")
    monkeypatch.setattr("changeover.supervisor.interpreters.paths.OURS", str(alias))
    assert executable(str(tmp_path / "ours")) == executable(str(ours.python)) == executable("") == str(alias)
    assert executable(str(tmp_path / "other")) == str(other.python)
    assert executable(f"{tmp_path}/ours/bin/none") == f"{tmp_path}/ours/bin/none"


def test_a_link_means_what_it_leads_to_when_it_is_read_and_never_the_python_behind_an_environment(
    tmp_path: Path,
) -> None:
    first, second = (Environment(tmp_path / name) for name in ("41", "42"))
    current = tmp_path / "current"
    current.symlink_to("41")
    assert executable(str(current)) == executable(str(current / "bin" / "python")) == str(first.python)
    current.unlink()
    current.symlink_to("42")
    assert executable(str(current)) == str(second.python)
