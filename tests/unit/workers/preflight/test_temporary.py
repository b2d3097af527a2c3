"""What a killed keeper leaves is removed by the next one; whatever is somebody else's, or of one that lives, stays."""

import fcntl
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import multiprocess
import pytest

from changeover.workers.preflight.keeper import keep
from changeover.workers.preflight.temporary import PREFIX, Temporary, sweep
from changeover.workers.protocol.rehearsal import RehearsalOrder
from tests.rehearsing import FINE, OWN, Orders, kept
from tests.waits import until_sync

HANGS = OWN + "    def on_load(self, ctx):\n        open(f'{os.environ[\"TMPDIR\"]}/mine', 'w').close()\n"
HANGS += "        time.sleep(60)\n"

Keep = Callable[[RehearsalOrder], BaseProcess]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def keeping() -> Iterator[Keep]:
    """Begins to keep a rehearsal, in a process."""
    begun: list[BaseProcess] = []

    def begin(order: RehearsalOrder) -> BaseProcess:
        process: BaseProcess = multiprocess.get_context("fork").Process(target=_keep, args=(order,))
        process.start()
        begun.append(process)
        return process

    yield begin
    for process in begun:
        process.kill()
        process.join(10)


def _keep(order: RehearsalOrder) -> None:
    os.setsid()
    signal.set_wakeup_fd(-1)
    keep(order, "", ())


def begun(place: Path) -> Path:
    """The folder of the rehearsal that has written into its own."""
    until_sync(lambda: list(place.glob(f"{PREFIX}*/mine")), "the rehearsal")
    return next(place.glob(f"{PREFIX}*/mine")).parent


def test_what_a_killed_keeper_left_goes_with_the_next_and_what_one_has_that_lives_stays(
    place: Path, keeping: Keep, orders: Orders
) -> None:
    order = orders.order(HANGS, current=None)
    killed = keeping(order)
    left = begun(place)
    killed.kill()
    killed.join(10)
    assert left.is_dir()
    assert kept(orders.order(FINE)).refusal is None
    assert list(place.glob(f"{PREFIX}*")) == []
    keeping(order)
    lives = begun(place)
    assert kept(orders.order(FINE)).refusal is None
    assert (lives / "mine").is_file()


def test_what_is_no_folder_of_ours_stays(place: Path) -> None:
    elsewhere = place / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").touch()
    (place / f"{PREFIX}link").symlink_to(elsewhere)
    (place / f"{PREFIX}file").touch()
    others = place / f"{PREFIX}others"
    others.mkdir()
    if os.geteuid() == 0:
        os.chown(others, 20_000, 20_000)
    else:
        others.rmdir()
    before = sorted(place.rglob("*"))
    sweep()
    assert sorted(place.rglob("*")) == before


def test_what_is_swept_while_it_is_made_is_made_anew(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def make(prefix: str) -> str:
        folder = place / f"{prefix}{len(made)}"
        folder.mkdir()
        made.append(str(folder))
        if len(made) == 1:
            sweep()
        return made[-1]

    monkeypatch.setattr(tempfile, "mkdtemp", make)
    with Temporary(None) as own:
        assert (own.folder, len(made)) == (made[1], 2)
        sweep()
        assert Path(own.folder).is_dir()
    assert list(place.iterdir()) == []


def test_where_nothing_can_be_locked_there_is_a_folder_and_nobody_sweeps_it(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(fd: int, how: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with Temporary(None) as own:
        sweep()
        assert Path(own.folder).is_dir()
    assert list(place.iterdir()) == []


def test_what_a_killed_keeper_left_without_any_rights_goes_too_as_far_as_they_are_ours_to_give(place: Path) -> None:
    inside = place / f"{PREFIX}left" / "a" / "b"
    inside.mkdir(parents=True)
    inside.parent.chmod(0)
    sweep()
    assert list(place.iterdir()) == []
