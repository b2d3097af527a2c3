"""Who holds the lock leads: it is sought with every heartbeat, lost with the process, given back after the work."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from changeover.workers.runtime.leadership import Leadership
from tests.bench import LOG, NOISY, Bench
from tests.waits import until

HOLD = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
fcntl.lockf(fd, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""
TRY = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
try:
    fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    sys.exit(1)
"""
SINGLE = 'plugin = "pricing:Own"\nsingleton = true\n'


@contextlib.contextmanager
def held(file: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process leads."""
    command = [sys.executable, "-c", HOLD, str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def is_free(file: Path) -> bool:
    """Whether another process could lead."""
    return subprocess.run([sys.executable, "-c", TRY, str(file)], check=False).returncode == 0


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A workshop on its own."""
    bench = Bench(tmp_path)
    yield bench
    await bench.workshop.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "leader.lock"


@pytest.fixture
async def leadership(bench: Bench, file: Path) -> AsyncIterator[Leadership]:
    """Of a worker that serves a plugin with exclusive work."""
    bench.workshop.exclusive.leads = False
    await bench.serve(1, bench.plugin(NOISY.format("one"), manifest=SINGLE))
    LOG.clear()
    crashes: list[BaseException] = []
    yield Leadership(asyncio.get_running_loop(), file, bench.workshop.exclusive, crashes.append)
    assert crashes == []


async def test_who_finds_nobody_leads(leadership: Leadership, file: Path) -> None:
    leadership.seek()
    assert leadership.leads
    assert not is_free(file)
    await until(lambda: LOG == ["one on_activate"], "its work has begun")
    leadership.seek()
    assert LOG == ["one on_activate"]


async def test_the_death_of_who_leads_is_noticed_at_the_next_heartbeat(leadership: Leadership, file: Path) -> None:
    with held(file) as other:
        leadership.seek()
        led = [leadership.leads]
        other.kill()
        other.wait()
        leadership.seek()
        led.append(leadership.leads)
    assert led == [False, True]
    await until(lambda: LOG == ["one on_activate"], "its work has begun")


async def test_a_child_of_who_leads_does_not_keep_it_in_office(leadership: Leadership, file: Path) -> None:
    leadership.seek()
    await until(lambda: LOG == ["one on_activate"], "its work has begun")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False) as child:
        leadership.give_up()
        await until(lambda: not leadership.leads, "it gave the lock back")
        assert is_free(file)
        child.kill()


async def test_the_lock_is_given_back_after_the_work_has_ended(leadership: Leadership, file: Path) -> None:
    leadership.seek()
    await until(lambda: LOG == ["one on_activate"], "its work has begun")
    leadership.give_up()
    assert leadership.leads
    await until(lambda: not leadership.leads, "it gave the lock back")
    assert LOG == ["one on_activate", "one on_deactivate"]
    assert is_free(file)
    leadership.seek()
    assert not leadership.leads


async def test_who_leaves_and_never_led_does_not_begin_to(leadership: Leadership) -> None:
    leadership.give_up()
    leadership.seek()
    assert not leadership.leads


async def test_nobody_leads_where_nothing_is_exclusive(bench: Bench, file: Path) -> None:
    await bench.serve(1, bench.plugin(NOISY.format("one")))
    leadership = Leadership(asyncio.get_running_loop(), file, bench.workshop.exclusive, LOG.append)  # type: ignore[arg-type]
    leadership.seek()
    assert not leadership.leads


async def test_a_content_without_exclusive_work_ends_it(bench: Bench, leadership: Leadership, file: Path) -> None:
    leadership.seek()
    await until(lambda: LOG == ["one on_activate"], "its work has begun")
    await bench.serve(2, bench.plugin(NOISY.format("two")))
    leadership.seek()
    await until(lambda: not leadership.leads, "it gave the lock back")
    assert is_free(file)


async def test_a_lock_that_is_lost_ends_the_work_at_once(
    leadership: Leadership, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    leadership.seek()
    await until(lambda: LOG == ["one on_activate"], "its work has begun")
    os.close(os.open(file, os.O_RDONLY))  # POSIX: whoever closes any descriptor of a file loses his locks on it
    with held(file):
        leadership.seek()
        await until(lambda: not leadership.leads, "it noticed")
        assert LOG == ["one on_activate", "one on_deactivate"]
        assert "was lost" in caplog.text
        leadership.seek()
        assert not leadership.leads


async def test_a_lock_that_cannot_be_had_is_told_once(
    leadership: Leadership, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    os.mkdir(file)
    leadership.seek()
    leadership.seek()
    assert not leadership.leads
    assert caplog.text.count("cannot be locked") == 1
