"""A state directory that is found by a folder's name alone knows whose it was, and says when it changes hands."""

import os
from pathlib import Path

import pytest

from changeover.supervisor.config.settings import Settings
from changeover.supervisor.journal.errors import JournalUnreachable
from changeover.supervisor.journal.folder import NOTE, shared
from changeover.supervisor.telemetry.shell import StateShared

SHOP = Settings(name="shop")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    return folder


def test_another_folder_of_the_same_name_is_told_once(state: Path) -> None:
    assert shared(state, SHOP, "/srv/ann/shop/changeover.toml") is None
    assert shared(state, SHOP, "/srv/ann/shop/changeover.toml") is None
    told = StateShared("shop", "/srv/ann/shop", "/srv/ben/shop")
    assert shared(state, SHOP, "/srv/ben/shop/changeover.toml") == told
    assert shared(state, SHOP, "/srv/ben/shop/other.toml") is None


def test_without_a_file_it_is_the_current_folder(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = None
    for owner in ("ann", "ben"):
        folder = tmp_path / owner / os.fsdecode(b"caf\xe9")
        folder.mkdir(parents=True)
        monkeypatch.chdir(folder)
        told = shared(state, Settings(name="caf"), "")
    assert told is not None
    assert told.before == f"{tmp_path}/ann/caf\\udce9"


@pytest.mark.parametrize("settings", [Settings(name="blog"), Settings(name="shop", state_dir="/var/lib/shop")])
def test_whoever_names_a_service_or_its_folder_means_it(state: Path, settings: Settings) -> None:
    (state / NOTE).write_text("/srv/ann/shop")
    assert shared(state, settings, "/srv/ben/shop/changeover.toml") is None
    assert (state / NOTE).read_text() == "/srv/ann/shop"


def test_a_note_that_cannot_be_written_keeps_it_from_starting_as_the_journal_does(tmp_path: Path) -> None:
    with pytest.raises(JournalUnreachable, match="No such file or directory"):
        shared(tmp_path / "gone", SHOP, "/srv/ann/shop/changeover.toml")
