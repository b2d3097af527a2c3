"""The pid file is for scripts, and says whose it is."""

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from changeover.supervisor.cli.pidfile import pid_file

LIVES = (
    "import setproctitle, sys; setproctitle.setproctitle('changeover: shop supervisor [epoch 7]'); print(1, flush=True)"
)


def test_it_has_our_pid_meanwhile_and_goes_unless_somebody_else_wrote_it(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    with pid_file(path):
        assert path.read_text() == f"{os.getpid()}\n"
    assert not path.exists()
    with pid_file(path):
        path.write_text("1\n")
    assert path.read_text() == "1\n"


def test_the_file_of_a_supervisor_that_lives_is_left_to_it(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    program = [sys.executable, "-c", f"{LIVES}; sys.stdin.read()"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as living:
        assert living.stdout is not None
        living.stdout.readline()
        path.write_text(f"{living.pid}\n")
        with pytest.raises(click.UsageError, match=r"belongs to pid .*changeover stop --name shop"), pid_file(path):
            pass
        assert path.read_text() == f"{living.pid}\n"
        living.kill()
    with pid_file(path):
        assert path.read_text() == f"{os.getpid()}\n"


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(click.UsageError, match=r"--pid .* cannot be written"), pid_file(tmp_path / "no" / "pid"):
        pass
