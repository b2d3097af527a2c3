"""Where temporary files go when the system has no place for them."""

import os
import stat
import tempfile
from pathlib import Path

import pytest

from changeover.supervisor.config.accounts import Account
from changeover.supervisor.process.temporary import spare_temporary


def test_a_system_with_a_place_is_left_alone(tmp_path: Path) -> None:
    assert spare_temporary(tmp_path, None) == {}
    assert list(tmp_path.iterdir()) == []


def test_without_one_the_runtime_directory_has_a_private_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise FileNotFoundError

    monkeypatch.setattr(tempfile, "gettempdir", none)
    for _ in range(2):
        assert spare_temporary(tmp_path, Account(os.geteuid(), os.getegid(), (), "us")) == {"TMPDIR": f"{tmp_path}/tmp"}
    assert stat.S_IMODE((tmp_path / "tmp").stat().st_mode) == 0o700
