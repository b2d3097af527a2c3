"""A state directory that is found by a folder's name alone knows whose it was, and says when it changes hands."""

import os
import shutil
from pathlib import Path

import pytest

from changeover.supervisor.config.check import Checked
from changeover.supervisor.config.settings import Settings
from changeover.supervisor.journal.folder import NOTE, shared
from changeover.supervisor.telemetry.shell import StateShared

SHOP = Settings(name="shop")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    return folder


@pytest.fixture
def ann(tmp_path: Path) -> Path:
    return made(tmp_path / "ann" / "shop")


@pytest.fixture
def ben(tmp_path: Path) -> Path:
    return made(tmp_path / "ben" / "shop")


def made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def serve(state: Path, folder: Path, file: str = "changeover.toml", named: bool = False) -> StateShared | None:
    return shared(state, SHOP, Checked(SHOP, file=str(folder / file), named=named))


def test_another_folder_of_the_same_name_is_told_once(state: Path, ann: Path, ben: Path) -> None:
    assert serve(state, ann) is None
    assert serve(state, ann) is None
    assert serve(state, ben) == StateShared("shop", str(ann), str(ben))
    assert serve(state, ben, "other.toml") is None


def test_without_a_file_it_is_the_current_folder(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = None
    for owner in ("ann", "ben"):
        monkeypatch.chdir(made(tmp_path / owner / os.fsdecode(b"caf\xe9")))
        told = shared(state, Settings(name="caf"), Checked(None))
    assert told is not None
    assert told.before == f"{tmp_path}/ann/caf\\udce9"


def test_whoever_names_a_service_means_it_also_by_the_name_of_its_folder(state: Path, ann: Path, ben: Path) -> None:
    serve(state, ann)
    assert serve(state, ben, named=True) is None
    assert (state / NOTE).read_text() == str(ann)


def test_whoever_names_the_state_directory_means_it(state: Path, ann: Path, ben: Path) -> None:
    serve(state, ann)
    settings = Settings(name="shop", state_dir=str(state))
    assert shared(state, settings, Checked(settings, file=str(ben / "changeover.toml"))) is None


def test_a_folder_that_was_moved_goes_on_with_its_own_history(state: Path, ann: Path, tmp_path: Path) -> None:
    serve(state, ann)
    moved = tmp_path / "shop"
    shutil.move(ann, moved)
    assert serve(state, moved) is None
    assert (state / NOTE).read_text() == str(moved)


def test_a_link_to_a_folder_is_that_folder(state: Path, ann: Path, tmp_path: Path) -> None:
    serve(state, ann)
    link = tmp_path / "shop"
    link.symlink_to(ann)
    assert serve(state, link) is None
    assert serve(state, ann) is None


def test_a_note_that_cannot_be_written_keeps_nobody_from_adopting_what_lives(state: Path, ann: Path) -> None:
    (state / NOTE).mkdir()
    assert serve(state, ann) is None


def test_a_note_that_a_full_disk_left_empty_says_nothing(state: Path, ann: Path) -> None:
    (state / NOTE).touch()
    assert serve(state, ann) is None
    assert (state / NOTE).read_text() == str(ann)
