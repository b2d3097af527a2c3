"""Hooks that are commands: told on stdin, bounded in time, and killed with all that they started."""

import time
from pathlib import Path

import psutil
import pytest

from changeover.workers.runtime.hook_command import run_command
from tests.waits import until


async def test_a_command_reads_what_it_is_told(tmp_path: Path) -> None:
    heard = tmp_path / "heard"
    assert await run_command(f"sh -c 'cat > {heard}'", b'{"hook":"x"}', 10) == ""
    assert heard.read_bytes() == b'{"hook":"x"}'


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("/no/such/program", "cannot be executed: No such file or directory"),
        ("sh -c 'exit 3'", "ended with status 3"),
        ("sh -c 'kill -9 $$'", "was ended by signal 9"),
        ("true", ""),
    ],
)
async def test_why_a_command_failed_is_said(command: str, problem: str) -> None:
    assert await run_command(command, b"x" * 1_000_000, 10) == problem


async def test_one_that_is_late_is_killed_with_its_children(tmp_path: Path) -> None:
    note, begin = tmp_path / "child", time.monotonic()
    problem = await run_command(f"sh -c 'sleep 1000 & echo $! > {note}; wait'", b"", 0.5)
    assert problem == "was not done within 0.5 s and was killed"
    assert time.monotonic() - begin < 10
    child = int(note.read_text())
    await until(
        lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE,
        "its child to end",
    )
