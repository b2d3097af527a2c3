"""The runtime directory: one holder, no foreign hands, nothing left behind."""

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from changeover.supervisor.process import finding
from changeover.supervisor.process.lock import DirectoryHeld, LockUnusable
from changeover.supervisor.process.runtime_directory import (
    DirectoryUnfit,
    Orphaned,
    RuntimeDirectory,
    addressable,
)
from changeover.workers.protocol.identity import WorkerId

MUTE = """
import socket, sys, time
living = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
living.bind(sys.argv[1])
living.listen()
print("listening", flush=True)
time.sleep(60)
"""
"""A process that lives and answers nobody."""


@pytest.fixture
def long_path(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / ("long" * 20) / "shop"
    yield path
    for link in Path(f"/tmp/changeover-{os.geteuid()}/.short").glob("*"):
        if link.is_symlink() and link.readlink() == path:
            link.unlink()


def test_it_is_made_private_and_left_without_our_files(tmp_path: Path) -> None:
    runtime = RuntimeDirectory.take(tmp_path / "run" / "shop", "shop")
    assert stat.S_IMODE(runtime.real.stat().st_mode) == 0o750
    for path in (runtime.cell, runtime.control, runtime.zygote(3), runtime.worker(WorkerId(1, 0, 17))):
        path.touch()
    (runtime.real / "notes.txt").touch()
    runtime.close()
    assert {path.name for path in runtime.real.iterdir()} == {"lock", "notes.txt"}


def test_what_a_dead_worker_left_is_removed_as_far_as_it_can_be(tmp_path: Path) -> None:
    runtime = RuntimeDirectory.take(tmp_path / "shop", "shop")
    dead, odd, living = (WorkerId(1, 0, number) for number in (17, 18, 19))
    runtime.worker(dead).touch()
    runtime.worker(odd).mkdir()
    runtime.worker(living).touch()
    for worker in (dead, odd):
        runtime.forget(worker)
    assert not runtime.worker(dead).exists()
    assert runtime.worker(living).exists()
    runtime.worker(odd).rmdir()
    runtime.close()


def test_a_commit_cell_that_cannot_be_made_is_named_with_what_to_do(tmp_path: Path) -> None:
    runtime = RuntimeDirectory.take(tmp_path / "shop", "shop")
    runtime.cell.mkdir()
    with pytest.raises(DirectoryUnfit, match=r"shop cannot be used: epoch\.cell cannot be made .* remove it"):
        runtime.make_cell()
    runtime.cell.rmdir()
    runtime.make_cell().close()
    runtime.close()


@pytest.mark.parametrize("name", ["epoch.cell", "worker-7.sock", "zygote-1.sock", "control.sock"])
def test_a_folder_with_the_name_of_a_file_of_ours_is_named_with_what_to_do_and_everything_else_is_removed(
    tmp_path: Path, name: str
) -> None:
    runtime = RuntimeDirectory.take(tmp_path / "shop", "shop")
    (runtime.real / name).mkdir()
    (runtime.real / "snapshots.sock").touch()
    with pytest.raises(DirectoryUnfit, match=rf"shop cannot be used: {name} cannot be removed .*remove it by hand"):
        runtime.find_estate(None, {})
    with pytest.raises(DirectoryUnfit):
        runtime.close()
    assert {path.name for path in runtime.real.iterdir()} == {"lock", name}
    (runtime.real / name).rmdir()
    RuntimeDirectory.take(tmp_path / "shop", "shop").close()


def test_a_second_supervisor_touches_nothing(tmp_path: Path) -> None:
    runtime = RuntimeDirectory.take(tmp_path / "shop", "shop")
    runtime.control.touch()
    with pytest.raises(DirectoryHeld):
        RuntimeDirectory.take(tmp_path / "shop", "shop")
    assert runtime.control.exists()
    runtime.close()


def test_sockets_of_a_dead_predecessor_are_removed(tmp_path: Path) -> None:
    runtime = RuntimeDirectory.take(tmp_path / "shop", "shop")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(runtime.control))
    runtime._lock.release()
    again = RuntimeDirectory.take(tmp_path / "shop", "shop")
    assert again.find_estate(None, {}).empty
    assert not again.control.exists()
    again.close()


def test_a_start_leaves_the_lock_of_who_leads_and_the_end_of_the_service_removes_it(tmp_path: Path) -> None:
    runtime = RuntimeDirectory.take(tmp_path / "shop", "shop")
    leader = runtime.real / "leader.lock"
    for path in (leader, runtime.control):
        path.touch()
    assert runtime.find_estate(None, {}).empty
    assert (leader.exists(), runtime.control.exists()) == (True, False)
    runtime.close()
    assert {path.name for path in runtime.real.iterdir()} == {"lock"}


def test_orphans_that_do_not_answer_are_named_and_keep_their_sockets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "ANSWER", 0.1)
    runtime = RuntimeDirectory.take(tmp_path / "shop", "shop")
    mute = runtime.worker(WorkerId(1, 0, 1))
    with subprocess.Popen([sys.executable, "-c", MUTE, mute], stdout=subprocess.PIPE) as living:
        assert living.stdout is not None
        assert living.stdout.readline() == b"listening\n"
        try:
            with pytest.raises(Orphaned, match=rf"(?s)none of them answers.*pid {living.pid} .*kill {living.pid}"):
                runtime.find_estate(None, {})
            runtime.close()
            assert mute.exists()
        finally:
            living.kill()
    again = RuntimeDirectory.take(tmp_path / "shop", "shop")
    assert again.find_estate(None, {}).empty
    assert not mute.exists()
    again.close()


def test_a_directory_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(DirectoryUnfit, match=f"belongs to uid {owner}"):
        RuntimeDirectory.take(tmp_path, "shop")


def test_a_directory_that_others_may_write_to_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop").chmod(0o1777)
    with pytest.raises(DirectoryUnfit, match=r"others may write to it \(mode 1777\); `chmod go-w"):
        RuntimeDirectory.take(tmp_path / "shop", "shop")
    assert stat.S_IMODE((tmp_path / "shop").stat().st_mode) == 0o1777


def test_a_folder_that_somebody_else_could_have_made_first_is_refused(tmp_path: Path) -> None:
    open_to_all = tmp_path / "tmp"
    open_to_all.mkdir()
    open_to_all.chmod(0o1777)
    trap = open_to_all / "changeover-0"
    trap.mkdir()
    trap.chmod(0o777)
    with pytest.raises(DirectoryUnfit, match="changeover-0 cannot be used: others may write to it"):
        RuntimeDirectory.take(trap / "shop", "shop")


def test_files_of_others_stay_when_it_is_taken_and_when_it_is_left(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as web:
        web.bind(str(tmp_path / "web.sock"))
        web.listen()
        RuntimeDirectory.take(tmp_path, "shop").close()
        assert (tmp_path / "web.sock").is_socket()


def test_a_lock_that_is_a_link_is_refused_and_what_it_leads_to_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("kept")
    (tmp_path / "lock").symlink_to(tmp_path / "precious")
    with pytest.raises(LockUnusable, match="cannot be locked"):
        RuntimeDirectory.take(tmp_path, "shop")
    assert (tmp_path / "precious").read_text() == "kept"


def test_a_file_in_its_place_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "shop").touch()
    with pytest.raises(DirectoryUnfit, match="--runtime-dir"):
        RuntimeDirectory.take(tmp_path / "shop", "shop")


def test_a_path_too_long_for_sockets_is_shortened(long_path: Path) -> None:
    runtime = RuntimeDirectory.take(long_path, "shop")
    assert runtime.path != runtime.real
    assert addressable(long_path) == runtime.path
    with socket.socket(socket.AF_UNIX) as control:
        control.bind(str(runtime.control))
        assert (long_path / "control.sock").exists()
    runtime.close()
    assert not runtime.path.is_symlink()
