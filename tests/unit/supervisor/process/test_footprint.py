import os
import subprocess
import sys

import pytest

from changeover.supervisor.process.footprint import footprint_of, parent_of

WAITS = """
import socket, sys, threading
pair = socket.socketpair()
threading.Thread(target=sys.stdin.read).start()
data = bytearray(32 * 1024 * 1024)
print("ready", flush=True)
"""


def test_a_process_is_seen_with_all_that_it_has() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WAITS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        seen = footprint_of(process.pid)
        assert parent_of(process.pid) == os.getpid()
        process.kill()
    assert seen.rss >= seen.pss >= 32 * 1024 * 1024
    assert seen.threads == 2
    assert (seen.descriptors["socket"], seen.descriptors["pipe"], seen.descriptors["/dev/null"]) == (2, 2, 1)


def test_a_process_that_is_gone_is_not_taken_for_an_empty_one() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait(20)
    with pytest.raises(FileNotFoundError):
        footprint_of(process.pid)
    with pytest.raises(FileNotFoundError):
        parent_of(process.pid)
