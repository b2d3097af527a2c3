import os
import select
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from changeover.workers.protocol.examination import Kind, Left
from changeover.workers.runtime.belongings import belongings, described
from tests.waits import until_sync


def fresh(before: frozenset[str]) -> list[Left]:
    return [described(thing, "app") for thing in sorted(belongings() - before)]


def test_a_listening_socket_is_named_by_its_address() -> None:
    before = belongings()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        assert fresh(before) == [Left("app", Kind.SOCKET, f"TCP listening at 127.0.0.1:{port}")]
        with socket.create_connection(("127.0.0.1", port)) as connection:
            local = connection.getsockname()[1]
            assert Left("app", Kind.SOCKET, f"TCP 127.0.0.1:{local} -> 127.0.0.1:{port}") in fresh(before)
    assert belongings() == before


def test_a_socket_of_a_path_is_named_by_it(tmp_path: Path) -> None:
    before = belongings()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "own"))
        assert fresh(before) == [Left("app", Kind.SOCKET, f"AF_UNIX {tmp_path / 'own'}")]


def test_files_differ_by_whether_each_write_goes_to_the_end(tmp_path: Path) -> None:
    file = tmp_path / "file"
    for mode, kind in (("a", Kind.APPENDED), ("w", Kind.FILE), ("r", Kind.FILE)):
        before = belongings()
        with file.open(mode):
            assert fresh(before) == [Left("app", kind, str(file))]


def test_what_can_be_waited_on_is_told_from_pipes_and_devices() -> None:
    before = belongings()
    with select.epoll():
        assert fresh(before) == [Left("app", Kind.LOOP, "eventpoll")]
    with Path("/dev/null").open() as _:
        assert fresh(before) == [Left("app", Kind.DEVICE, "/dev/null")]
    ends = os.pipe()
    assert [each.kind for each in fresh(before)] == [Kind.PIPE, Kind.PIPE]
    for fd in ends:
        os.close(fd)


def test_a_child_is_named_by_its_command_until_it_is_reaped() -> None:
    before = belongings()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        until_sync(lambda: Path(f"/proc/{child.pid}/cmdline").read_bytes(), "it is what it was executed as")
        left = [each for each in fresh(before) if each.kind is Kind.PROCESS]
        assert left == [Left("app", Kind.PROCESS, f"{sys.executable} -c input()")]
        child.kill()
    assert belongings() == before


def test_what_is_gone_cannot_be_described() -> None:
    before = belongings()
    with Path("/dev/null").open() as _:
        [thing] = belongings() - before
    with pytest.raises(OSError, match="Bad file descriptor"):
        described(thing, "app")
