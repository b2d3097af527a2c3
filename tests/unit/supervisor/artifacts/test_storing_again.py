"""What serves is stored again from the disk where it is damaged, and loses nothing where that cannot be done."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from changeover.supervisor.artifacts.folder import Listing
from changeover.supervisor.artifacts.storing_again import store_again
from changeover.workers.plugins.artifact import ArtifactNotRead, folder_of, get, put, remove_unfinished
from changeover.workers.protocol.snapshot import PluginSpec, Snapshot, UnitKey, UnitKind, UnitRef

FILES = {"a.py": b"x = 1\n", "data/b.txt": b"b"}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    store = tmp_path / "store"
    put(store, FILES)
    return store


def digest_in(store: Path) -> str:
    [entry] = store.iterdir()
    return entry.name


def serving(digest: str) -> Snapshot:
    key = UnitKey(UnitRef(UnitKind.PLUGIN, "hello"), digest, 1)
    return Snapshot(1, digest, (PluginSpec(key, "1", artifact=digest),), rolled=1)


def again(store: Path, digest: str) -> tuple[str, ...]:
    return store_again(serving(digest), Listing(), {digest: FILES}, store)


def lying(store: Path) -> dict[str, bytes]:
    return {path.relative_to(store).as_posix(): path.read_bytes() for path in store.rglob("*") if path.is_file()}


def stray(store: Path, digest: str) -> None:
    """Something lies beside what is whole."""
    folder = folder_of(store, digest)
    folder.chmod(0o755)
    (folder / "stray.txt").write_text("x")
    folder.chmod(0o555)


def cut(store: Path, digest: str) -> None:
    folder = folder_of(store, digest)
    folder.chmod(0o755)
    (folder / "a.py").unlink()


def a_file(store: Path, digest: str) -> None:
    os.rename(folder_of(store, digest), store.parent / "elsewhere")
    folder_of(store, digest).write_text("no folder")


def a_loop(store: Path, digest: str) -> None:
    os.rename(folder_of(store, digest), store.parent / "elsewhere")
    folder_of(store, digest).symlink_to(digest)


@pytest.mark.parametrize("damage", [stray, cut, a_file, a_loop], ids=lambda damage: damage.__name__)
def test_what_is_damaged_is_whole_again(store: Path, damage: Callable[[Path, str], None]) -> None:
    digest = digest_in(store)
    damage(store, digest)
    [told] = again(store, digest)
    assert told.startswith(f"stored again: plugin hello, whose artifact {digest[:12]} in the store ")
    assert get(store, digest) == FILES
    assert digest_in(store) == digest
    assert again(store, digest) == ()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO, errno.EACCES])
def test_what_cannot_be_read_just_now_stays(
    store: Path, number: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    digest, whole = digest_in(store), lying(store)

    def fail(_path: Path) -> NoReturn:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", fail)
        with pytest.raises(ArtifactNotRead, match=os.strerror(number)):
            get(store, digest)
        assert again(store, digest) == ()
    assert os.strerror(number) in caplog.text
    assert lying(store) == whole


def test_a_folder_that_cannot_be_looked_at_is_not_taken_for_one_that_is_gone(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest, stat = digest_in(store), Path.stat

    def fail(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        if path == folder_of(store, digest):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return stat(path, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", fail)
    monkeypatch.setattr(Path, "is_file", lambda path: os.path.isfile(path) and path.parent != store)
    monkeypatch.setattr(Path, "is_dir", lambda path: os.path.isdir(path) and path.parent != store)
    with pytest.raises(ArtifactNotRead):
        get(store, digest)


def test_a_disk_that_is_full_loses_nothing_of_what_is_there(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = digest_in(store)
    stray(store, digest)
    before = lying(store)

    def fail(_fd: int) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        again(store, digest)
    assert lying(store) == before


def test_an_exchange_that_fails_puts_back_what_was_there(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest, rename = digest_in(store), os.rename
    stray(store, digest)
    before = lying(store)

    def fail_once(one: Path, other: Path) -> None:
        if other == folder_of(store, digest) and one.name != "content":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        rename(one, other)

    monkeypatch.setattr(os, "rename", fail_once)
    with pytest.raises(OSError, match="Input/output"):
        again(store, digest)
    assert lying(store) == before
    remove_unfinished(store)
    assert lying(store) == before
