"""A directory has one supervisor."""

import os
from pathlib import Path

import pytest

from changeover.supervisor.process.lock import DirectoryHeld, DirectoryLock, holder_of
from changeover.supervisor.process.lock_note import LockOwner, read_owner


def test_the_second_one_is_told_who_was_first_and_how_to_end_it(tmp_path: Path) -> None:
    lock = DirectoryLock.take(tmp_path, "shop", tmp_path)
    with pytest.raises(DirectoryHeld, match=f"pid {os.getpid()} .*`changeover stop --runtime-dir {tmp_path}`") as held:
        DirectoryLock.take(tmp_path, "other", tmp_path)
    assert held.value.owner is not None
    assert held.value.holder is not None
    assert held.value.holder.pid == os.getpid()
    lock.release()


def test_who_lives_where_a_name_leads_is_ended_by_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert LockOwner("shop", 1, 1, f"{tmp_path}/changeover/shop").ended_by() == "changeover stop --name shop"
    elsewhere = LockOwner("shop", 1, 1, f"{tmp_path}/of a shop")
    assert elsewhere.ended_by() == f"changeover stop --runtime-dir '{tmp_path}/of a shop'"


def test_a_lock_that_was_given_free_can_be_taken(tmp_path: Path) -> None:
    DirectoryLock.take(tmp_path, "shop", tmp_path).release()
    assert read_owner(tmp_path) is None
    DirectoryLock.take(tmp_path, "shop", tmp_path).release()


def test_the_lock_ends_with_its_process(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        DirectoryLock.take(tmp_path, "shop", tmp_path)
        os._exit(0)
    os.waitpid(child, 0)
    owner = read_owner(tmp_path)
    assert owner is not None
    assert (owner.name, owner.pid) == ("shop", child)
    assert holder_of(owner) is None
    DirectoryLock.take(tmp_path, "shop", tmp_path).release()


def test_a_pid_that_somebody_else_has_now_is_nobody() -> None:
    assert holder_of(LockOwner("shop", os.getpid(), 1, "")) is None


def test_a_note_that_cannot_be_read_still_refuses(tmp_path: Path) -> None:
    lock = DirectoryLock.take(tmp_path, "shop", tmp_path)
    (tmp_path / "lock").write_text("{")
    with pytest.raises(DirectoryHeld, match="left no note"):
        DirectoryLock.take(tmp_path, "shop", tmp_path)
    lock.release()
