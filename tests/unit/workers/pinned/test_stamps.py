"""Stamps hold as long as nothing comes to their folders or goes."""

import os
import time
from pathlib import Path

import pytest

from changeover.workers.pinned.stamps import SETTLED, Stamps


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "demo-1.0.dist-info").mkdir()
    long_ago = time.time_ns() - 2 * SETTLED
    os.utime(tmp_path, ns=(long_ago, long_ago))
    return tmp_path


def test_they_hold_while_nothing_comes_or_goes(folder: Path) -> None:
    stamps = Stamps.of([str(folder), str(folder / "none")])
    assert stamps.settled
    assert stamps.hold()


def test_they_hold_no_more_once_something_is_renamed(folder: Path) -> None:
    stamps = Stamps.of([str(folder)])
    (folder / "demo-1.0.dist-info").rename(folder / "demo-2.0.dist-info")
    assert not stamps.hold()


def test_they_hold_no_more_once_a_folder_is_there_that_was_not(folder: Path) -> None:
    stamps = Stamps.of([str(folder / "none")])
    (folder / "none").mkdir()
    assert not stamps.hold()


def test_a_folder_that_was_changed_a_moment_ago_may_change_again_unseen(folder: Path) -> None:
    (folder / "demo-1.0.dist-info").rename(folder / "demo-2.0.dist-info")
    assert not Stamps.of([str(folder)]).settled
