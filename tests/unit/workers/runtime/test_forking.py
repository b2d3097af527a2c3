"""Of a child that cannot be forked nothing is left, whatever the system refuses."""

import errno
import gc
import os
import time

import multiprocess
import pytest

from changeover.workers.runtime.forking import NotForked, all_or_nothing, fork, open_descriptors


def stay() -> None:
    time.sleep(60)


def refuse(*_: object) -> int:
    raise OSError(errno.ENFILE, os.strerror(errno.ENFILE))


def forked() -> tuple["multiprocess.Process", int]:
    with all_or_nothing():
        os.pipe()
        return fork(stay)


def test_a_child_is_held_by_a_pidfd() -> None:
    process, pidfd = forked()
    assert os.readlink(f"/proc/self/fd/{pidfd}") == "anon_inode:[pidfd]"
    process.kill()
    process.join()
    process.close()
    os.close(pidfd)


@pytest.mark.parametrize("refused", ["dup", "fork"])
def test_where_there_is_no_room_or_no_process_no_descriptor_stays_open(
    monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    before = open_descriptors()
    monkeypatch.setattr(os, refused, refuse)
    with pytest.raises(NotForked, match=r"^cannot fork: Too many open files in system \(errno 23\)$"):
        forked()
    assert open_descriptors() == before


def test_a_child_without_a_pidfd_is_killed_and_closes_no_descriptor_of_others_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[int] = []

    def no_pidfd(pid: int) -> int:
        started.append(pid)
        return refuse()

    gc.collect()
    before = open_descriptors()
    monkeypatch.setattr(os, "pidfd_open", no_pidfd)
    with pytest.raises(NotForked):
        forked()
    assert open_descriptors() == before
    with pytest.raises(ProcessLookupError):
        os.kill(started[0], 0)
    others = [os.open(os.devnull, os.O_RDONLY) for _ in range(8)]
    multiprocess.active_children()
    gc.collect()
    assert open_descriptors() == before.union(others)
    for fd in others:
        os.close(fd)
