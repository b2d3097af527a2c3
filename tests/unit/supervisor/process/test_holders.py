"""Naming the process that is in the way."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from changeover.supervisor.process.holders import (
    Holder,
    age_of,
    children_of,
    holder_of_pid,
    holders_of_path,
    holders_of_port,
    worded,
)
from changeover.supervisor.process.lock import DirectoryLock


def test_the_holder_of_a_port_is_found_on_both_families() -> None:
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.create_server((host, 0), family=family) as listening:
            [holder] = holders_of_port(listening.getsockname()[1])
            assert holder.pid == os.getpid()
            assert holder == holder_of_pid(os.getpid())


def test_the_holder_of_a_path_is_found(tmp_path: Path) -> None:
    path = tmp_path / "shop.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        assert [holder.pid for holder in holders_of_path(path)] == [os.getpid()]
    assert holders_of_path(path) == ()


def test_another_process_is_named_by_its_command() -> None:
    code = (
        "import socket, sys; s = socket.create_server(('127.0.0.1', 0))\n"
        "print(s.getsockname()[1], flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        [holder] = holders_of_port(int(process.stdout.readline()))
        assert (holder.pid, holder.ended_by()) == (process.pid, f"kill {process.pid}")
        assert "create_server" in holder.command
        assert holder in children_of(frozenset({os.getpid()}))
        process.stdin.close()


def test_a_process_is_as_old_as_the_time_since_it_began_and_one_that_is_gone_has_no_age() -> None:
    began = time.monotonic()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        tick = 1 / os.sysconf("SC_CLK_TCK")
        assert 0 <= age_of(process.pid) <= time.monotonic() - began + 2 * tick
        assert age_of(process.pid) < age_of(os.getpid())
        process.communicate()
    assert age_of(process.pid) == 0


def test_a_supervisor_is_ended_where_it_lives(tmp_path: Path) -> None:
    lock = DirectoryLock.take(tmp_path, "shop", tmp_path)
    supervisor = Holder(os.getpid(), "changeover: shop supervisor [epoch 7]", 0)
    assert worded((supervisor,)).endswith(f"; `changeover stop --runtime-dir {tmp_path}` ends it")
    lock.release()


def test_a_supervisor_is_ended_by_its_own_command_and_an_orphan_by_its_pid() -> None:
    supervisor = Holder(1, "changeover: shop supervisor [epoch 7]", 0)
    orphans = (
        Holder(2, "changeover: shop zygote 1 [2 workers; no supervisor]", 0),
        Holder(3, "changeover: shop worker 0 []", 0),
    )
    assert supervisor.ended_by() == "changeover stop --name shop"
    assert worded((supervisor, *orphans)) == (
        f"held by {supervisor}, {orphans[0]}, {orphans[1]}; `changeover stop --name shop` ends it"
    )
    assert worded(orphans).endswith("`kill 2 3` ends them")
    assert worded(()) == "held by a process that this user may not see"
