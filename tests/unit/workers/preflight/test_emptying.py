"""Whatever hostile code left in a folder, its owner empties it: root and anybody, and nothing outside is touched."""

import os
import resource
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from changeover.workers.preflight import emptying
from changeover.workers.preflight.emptying import TooLong
from tests.namespaces import open_folder
from tests.strangers import as_anybody, elsewhere

WHO: dict[str, Callable[[], None]] = {"as we are": lambda: None, "as anybody": as_anybody}


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that everybody may write to."""
    with open_folder() as folder:
        folder.chmod(0o777)
        yield folder


@pytest.fixture(params=WHO)
def as_owner(request: pytest.FixtureRequest) -> Callable[[Callable[[], None]], None]:
    """Runs something in a process of who owns what that makes."""

    def run(check: Callable[[], None]) -> None:
        def checked() -> None:
            WHO[request.param]()
            check()

        elsewhere(checked)

    return run


def nested(folder: Path, depth: int) -> None:
    """Make folders within each other, whose path is longer than any system call takes."""
    within = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d" * 200, dir_fd=within)
        inner = os.open("d" * 200, os.O_RDONLY, dir_fd=within)
        os.close(within)
        within = inner
    os.close(os.open("file", os.O_CREAT, dir_fd=within))
    os.close(within)


def empty(folder: Path, within: float = 20.0) -> None:
    opened = emptying.opened(str(folder))
    try:
        emptying.empty(opened, time.monotonic() + within)
    finally:
        os.close(opened)


def test_folders_without_rights_go(as_owner: Callable[[Callable[[], None]], None], place: Path) -> None:
    def check() -> None:
        left = place / "left"
        inside = left / "a" / "b" / "c"
        inside.mkdir(parents=True)
        for folder in (inside, inside.parent, inside.parent.parent, left):
            (folder / "file").touch(0)
            folder.chmod(0)
        empty(left)
        left.rmdir()

    as_owner(check)


@pytest.mark.parametrize("rights", [0o400, 0o500, 0o200, 0o300, 0o100])
def test_folders_with_half_the_rights_go(
    rights: int, as_owner: Callable[[Callable[[], None]], None], place: Path
) -> None:
    def check() -> None:
        left = place / "left"
        inside = left / "a" / "b"
        inside.mkdir(parents=True)
        for folder in (inside, inside.parent, left):
            (folder / "file").touch()
            folder.chmod(rights)
        empty(left)
        left.rmdir()

    as_owner(check)


def test_links_go_and_what_they_lead_to_stays_as_it_is(
    as_owner: Callable[[Callable[[], None]], None], place: Path
) -> None:
    def check() -> None:
        outside = place / "outside"
        outside.mkdir()
        (outside / "kept").touch()
        outside.chmod(0o500)
        left = place / "left"
        (left / "a").mkdir(parents=True)
        for folder in (left, left / "a"):
            (folder / "link").symlink_to(outside)
            (folder / "file").symlink_to(outside / "kept")
            (folder / "itself").symlink_to(folder)
            (folder / "etc").symlink_to("/etc")
        empty(left)
        left.rmdir()
        assert [each.name for each in outside.iterdir()] == ["kept"]
        assert stat.S_IMODE(outside.stat().st_mode) == 0o500
        (place / "link").symlink_to(outside)
        with pytest.raises(NotADirectoryError):
            empty(place / "link")

    as_owner(check)


def test_names_that_are_no_text_pipes_and_sockets_go(
    as_owner: Callable[[Callable[[], None]], None], place: Path
) -> None:
    def check() -> None:
        left = place / "left"
        for folder in (left, left / os.fsdecode(b"\xff\xfe\n")):
            folder.mkdir()
            os.mkfifo(folder / "pipe")
            os.mkfifo(folder / "closed", 0)
            (folder / os.fsdecode(b"\x80 \x1b[2J")).touch()
        empty(left)
        left.rmdir()

    as_owner(check)


def test_folders_deeper_than_stack_paths_and_descriptors_go(
    as_owner: Callable[[Callable[[], None]], None], place: Path
) -> None:
    def check() -> None:
        left = place / "left"
        left.mkdir()
        nested(left, 3000)
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        empty(left)
        left.rmdir()

    as_owner(check)


def test_whoever_has_no_time_left_goes_on_from_there(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nested(place, 10)
    (place / "file").touch()
    looks = iter(range(100))
    monkeypatch.setattr(time, "monotonic", lambda: next(looks))
    opened = emptying.opened(str(place))
    with pytest.raises(TooLong):
        emptying.empty(opened, 5)
    os.close(opened)
    monkeypatch.undo()
    assert len(list(os.walk(place))) < 11
    empty(place)
    assert list(place.iterdir()) == []


def test_what_cannot_be_removed_is_told_and_the_rest_is_gone(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "a" / "b").mkdir(parents=True)
    for folder in (place, place / "a", place / "a" / "b"):
        (folder / "file").touch()
    (place / "a" / "stays").touch()
    unlink = os.unlink

    def refuse(name: str, dir_fd: int) -> None:
        if name == "stays":
            raise PermissionError(1, "Operation not permitted")
        unlink(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", refuse)
    with pytest.raises(PermissionError):
        empty(place)
    monkeypatch.undo()
    assert sorted(each.name for each in place.rglob("*")) == ["a", "stays"]
