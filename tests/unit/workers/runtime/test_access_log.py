"""The access log's file: written beside the loop, in order, bounded, and found again after it was moved away."""

import asyncio
import logging
import os
import threading
from pathlib import Path

import pytest

from changeover.workers.runtime import access_log
from changeover.workers.runtime.access_log import AccessLog, making_of
from changeover.workers.runtime.settings import WireSettings
from changeover.workers.serving.access import Access
from tests.waits import until


def told(number: int) -> Access:
    return Access(0.0, "", "GET", f"/{number}", "1.1", 200, 0, 0.0, True, 1, 0)


def line(access: Access) -> bytes:
    return access.target.encode() + b"\n"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_log, "DELAY", 0.001)


async def test_lines_are_written_in_order(tmp_path: Path) -> None:
    log = AccessLog(asyncio.get_running_loop(), str(tmp_path / "log"), line)
    for number in range(1000):
        log.put(told(number))
        if number % 100 == 0:
            await asyncio.sleep(0.002)
    log.close()
    assert (tmp_path / "log").read_text() == "".join(f"/{number}\n" for number in range(1000))
    assert log.dropped == 0


async def test_a_file_that_was_moved_away_is_opened_anew(tmp_path: Path) -> None:
    file, moved = tmp_path / "log", tmp_path / "log.1"
    log = AccessLog(asyncio.get_running_loop(), str(file), line)
    log.put(told(1))
    await until(lambda: file.exists() and file.read_text() == "/1\n")
    file.rename(moved)
    log.put(told(2))
    await until(file.exists)
    log.close()
    assert (moved.read_text(), file.read_text()) == ("/1\n", "/2\n")


async def test_a_file_that_was_replaced_is_not_written_on(tmp_path: Path) -> None:
    file, moved = tmp_path / "log", tmp_path / "log.1"
    log = AccessLog(asyncio.get_running_loop(), str(file), line)
    log.put(told(1))
    await until(lambda: file.exists() and file.read_text() == "/1\n")
    file.rename(moved)
    file.touch()
    log.put(told(2))
    log.close()
    assert (moved.read_text(), file.read_text()) == ("/1\n", "/2\n")


async def test_what_cannot_be_written_is_counted_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "gone"
    log = AccessLog(asyncio.get_running_loop(), str(folder / "log"), line)
    with caplog.at_level(logging.WARNING, "changeover.access"):
        log.put(told(1))
        log.put(told(2))
        await until(lambda: log.dropped == 2)
    assert "2 lines of the access log" in caplog.text
    assert "No such file" in caplog.text
    folder.mkdir()
    log.put(told(3))
    await until((folder / "log").exists)
    log.close()
    assert (folder / "log").read_text() == "/3\n"


async def test_who_does_not_read_costs_bounded_memory_and_no_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(access_log, "MOST", 50)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(reader, True)
    stuck = threading.Event()

    def huge(access: Access) -> bytes:
        stuck.set()
        return access.target.encode() + b" " * 200_000 + b"\n"

    log = AccessLog(asyncio.get_running_loop(), str(fifo), huge)
    log.put(told(0))
    await until(stuck.is_set)
    for number in range(1, 200):
        log.put(told(number))
    assert log.dropped == 149
    read = b""
    while read.count(b"\n") < 51:
        read += await asyncio.to_thread(os.read, reader, 1 << 20)
    assert [each.split(b" ")[0] for each in read.split(b"\n")[:-1]] == [b"/%d" % number for number in range(51)]
    log.close()
    os.close(reader)


async def test_what_is_off_is_not_there() -> None:
    assert access_log.access_log(asyncio.get_running_loop(), WireSettings()) is None
    assert making_of(WireSettings(), None, 0) is None
