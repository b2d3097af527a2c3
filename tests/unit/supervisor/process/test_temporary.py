"""Where temporary files go when the system has no place for them."""

import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from changeover.supervisor.config.accounts import Account
from changeover.supervisor.process.runtime_directory import DirectoryUnfit
from changeover.supervisor.process.temporary import spare_temporary


@pytest.fixture
def no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system without a place for temporary files."""

    def none() -> str:
        raise FileNotFoundError

    monkeypatch.setattr(tempfile, "gettempdir", none)


def test_a_system_with_a_place_is_left_alone(tmp_path: Path) -> None:
    assert spare_temporary(tmp_path, None) == {}
    assert list(tmp_path.iterdir()) == []


def test_the_current_folder_is_no_place_although_python_takes_it_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    application = tmp_path / "application"
    application.mkdir()
    monkeypatch.chdir(application)
    monkeypatch.setattr(tempfile, "gettempdir", os.getcwd)
    assert spare_temporary(tmp_path, None) == {"TMPDIR": f"{tmp_path}/tmp"}
    monkeypatch.setenv("TMPDIR", str(application))
    assert spare_temporary(tmp_path, None) == {}


@pytest.mark.usefixtures("no_place")
def test_without_one_the_runtime_directory_has_a_private_one(tmp_path: Path) -> None:
    for _ in range(2):
        assert spare_temporary(tmp_path, Account(os.geteuid(), os.getegid(), (), "us")) == {"TMPDIR": f"{tmp_path}/tmp"}
    assert stat.S_IMODE((tmp_path / "tmp").stat().st_mode) == 0o700


@pytest.mark.usefixtures("no_place")
@pytest.mark.parametrize(
    "plant",
    [
        lambda there, outside: there.symlink_to(outside),
        lambda there, outside: there.symlink_to(outside / "nowhere"),
        lambda there, outside: there.touch(),
    ],
    ids=["link", "dangling", "file"],
)
def test_what_a_worker_put_in_its_place_is_refused_and_no_link_is_followed(
    tmp_path: Path, plant: Callable[[Path, Path], None]
) -> None:
    runtime, outside = tmp_path / "runtime", tmp_path / "outside"
    runtime.mkdir()
    outside.mkdir()
    before = outside.stat().st_ctime_ns
    plant(runtime / "tmp", outside)
    with pytest.raises(DirectoryUnfit, match=rf"{runtime}/tmp cannot be used: .* remove it \(rm {runtime}/tmp\)"):
        spare_temporary(runtime, Account(os.geteuid(), os.getegid(), (), "us"))
    assert outside.stat().st_ctime_ns == before
    assert list(outside.iterdir()) == []
