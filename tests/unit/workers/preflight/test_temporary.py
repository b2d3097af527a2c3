"""What a killed keeper leaves is removed by the next one; whatever is somebody else's, or of one that lives, stays."""

import fcntl
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import multiprocess
import pytest

from changeover.workers.preflight import temporary
from changeover.workers.preflight.keeper import keep
from changeover.workers.preflight.temporary import PREFIX, Temporary, sweep
from changeover.workers.protocol.rehearsal import RehearsalOrder
from tests.namespaces import open_folder
from tests.rehearsing import FINE, OWN, Orders, kept
from tests.strangers import as_anybody, elsewhere
from tests.waits import until_sync

HANGS = OWN + "    def on_load(self, ctx):\n        open(f'{os.environ[\"TMPDIR\"]}/mine', 'w').close()\n"
HANGS += "        time.sleep(60)\n"

Keep = Callable[[RehearsalOrder], BaseProcess]


@pytest.fixture(autouse=True)
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where temporary folders are made, by everybody."""
    with open_folder() as folder:
        folder.chmod(0o777)
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        yield folder


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


@pytest.mark.parametrize("become", [lambda: None, as_anybody], ids=["as we are", "as anybody"])
def test_what_a_killed_keeper_left_without_any_rights_goes_too(become: Callable[[], None], place: Path) -> None:
    def check() -> None:
        become()
        inside = place / f"{PREFIX}left" / "a" / "b"
        inside.mkdir(parents=True)
        for each in (inside, inside.parent, inside.parent.parent):
            each.chmod(0)
        assert sweep() == ""
        assert list(place.iterdir()) == []

    elsewhere(check)


def test_what_an_older_program_made_which_holds_no_lock_stays(place: Path) -> None:
    lives = place / "changeover-preflight-k2x8" / "mine"
    lives.mkdir(parents=True)
    sweep()
    assert lives.is_dir()


def test_what_takes_too_long_is_left_to_the_next_one_and_is_no_warning(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / f"{PREFIX}left" / "a").mkdir(parents=True)
    monkeypatch.setattr(temporary, "SWEEPING", 0.0)
    assert sweep() == ""
    assert len(list(place.iterdir())) == 1
    monkeypatch.undo()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    assert sweep() == ""
    assert list(place.iterdir()) == []


def test_what_was_left_and_cannot_be_removed_is_named(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: int, until: float) -> None:
        if os.listdir(folder):
            raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(temporary, "empty", refuse)
    left = [place / os.fsdecode(PREFIX.encode() + name) for name in (b"a\xff", b"b\xff")]
    for folder in left:
        (folder / "a").mkdir(parents=True)
    with Temporary(None) as own:
        pass
    [line] = own.left
    shown = [str(folder).encode("utf-8", "backslashreplace").decode() for folder in left]
    why = "which cannot be removed: Operation not permitted; nor can 1 more"
    assert line in [f"left: a temporary folder of a preflight that was killed, {each}, {why}" for each in shown]


def test_what_is_said_to_be_left_is_there_and_what_is_gone_is_not_said(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(temporary, "CLEANING", 0.0)
    with Temporary(None) as own:
        (Path(own.folder) / "file").touch()
    assert own.left == (f"left: its temporary folder {own.folder}, which was not removed within 0 s",)
    assert (Path(own.folder) / "file").exists()
    with Temporary(None) as other:
        shutil.rmtree(other.folder)
    assert (other.left, list(place.iterdir())) == ((), [])
