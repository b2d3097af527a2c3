"""What a path of an interpreter means, and goes on to mean."""

import os
import sys
from pathlib import Path

from changeover.supervisor.interpreters.paths import OURS, executable
from tests.environments import Environment


def test_an_environments_folder_means_its_interpreter_and_nothing_means_ours(tmp_path: Path) -> None:
    assert executable(str(tmp_path)) == f"{tmp_path}/bin/python"
    assert executable("/no/such/python") == "/no/such/python"
    assert executable("") == OURS
    assert os.path.samefile(OURS, sys.executable)


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
