"""Log lines hold up nobody."""

import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from changeover.supervisor.telemetry.line_writer import LineWriter
from tests.waits import until

ENOUGH = 200
LONG = "x" * 4096


def said(text: str) -> logging.LogRecord:
    return logging.LogRecord("changeover", logging.INFO, __file__, 1, text, None, None)


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[tuple[LineWriter, int]]:
    """A writer into a pipe that nobody empties, and the end to empty it by."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writer = LineWriter(path, waiting=ENOUGH)
    yield writer, reading
    writer.close()
    os.close(reading)


async def test_a_pipe_that_nobody_empties_costs_lines_and_holds_up_nobody(pipe: tuple[LineWriter, int]) -> None:
    writer, reading = pipe
    for number in range(3 * ENOUGH):
        writer.handle(said(f"{number} {LONG}"))
    got = b""

    def emptied() -> bool:
        nonlocal got
        try:
            got += os.read(reading, 1 << 20)
        except BlockingIOError:
            writer.handle(said("again"))
        return b" lines of this log are lost" in got

    await until(emptied, "the lost lines to be told")
    assert got.index(b"0 xxxx") < got.index(b"\n1 xxxx") < got.index(b"\n2 xxxx")


async def test_what_waits_when_it_is_closed_is_still_written(pipe: tuple[LineWriter, int]) -> None:
    writer, reading = pipe
    for number in range(ENOUGH // 2):
        writer.handle(said(f"{number} {LONG}"))
    writer.close()
    got = b""

    def all_there() -> bool:
        nonlocal got
        with suppress(BlockingIOError):
            got += os.read(reading, 1 << 20)
        return got.count(b"\n") == ENOUGH // 2

    await until(all_there, "every line to be written")


def test_what_was_said_is_written_once_flushed(tmp_path: Path) -> None:
    writer = LineWriter(tmp_path / "log")
    for number in range(100):
        writer.handle(said(str(number)))
    writer.flush()
    assert (tmp_path / "log").read_text().split() == [str(number) for number in range(100)]
    writer.close()


def test_a_full_disk_does_not_end_the_writing() -> None:
    writer = LineWriter(Path("/dev/full"))
    writer.handle(said("lost"))
    writer.flush()
    assert writer._lost == 1
    writer.close()


def test_words_that_utf_8_cannot_carry_are_escaped(tmp_path: Path) -> None:
    writer = LineWriter(tmp_path / "log")
    writer.handle(said("bad \udc80 words"))
    writer.flush()
    assert (tmp_path / "log").read_text() == "bad \\udc80 words\n"
    writer.close()
