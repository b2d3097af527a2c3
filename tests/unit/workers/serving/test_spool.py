"""Files for what slow clients have yet to send or take, and the room that there is for them."""

import asyncio
import io
import os
import threading
from collections.abc import Iterator

import pytest

from changeover.workers.serving import backlog
from changeover.workers.serving.backlog import Backlog
from changeover.workers.serving.disk import Disk
from changeover.workers.serving.spool import Room, Spool
from tests.full_disk import full_from
from tests.waits import DEADLINE


def test_a_file_claims_what_it_grows_by_and_gives_it_back() -> None:
    room = Room(100)
    one, other = Spool(room), Spool(room)
    assert one.write(b"a" * 60, 0)
    assert not other.write(b"b" * 60, 0)
    assert one.write(b"c" * 60, 0), "what is written over what is there takes no more room"
    assert (room.held, one.read(100, 50), other.read(1, 0)) == (60, b"c" * 10, b"")
    one.close()
    assert other.write(b"b" * 60, 0)
    other.close()
    assert room.held == 0


def test_what_is_closed_takes_and_gives_nothing() -> None:
    room = Room()
    spool = Spool(room)
    spool.write(b"abc", 0)
    spool.close()
    spool.close()
    assert (spool.write(b"d", 0), spool.read(3, 0), spool.reader().read(), room.held) == (False, b"", b"", 0)


def test_a_file_that_cannot_be_closed_is_told_and_ends_nobody(caplog: pytest.LogCaptureFixture) -> None:
    reading, writing = os.pipe()
    spool = Spool.lent(Room(), io.FileIO(reading))
    os.close(reading)
    spool.close()
    os.close(writing)
    assert "cannot be closed: [Errno 9]" in caplog.text
    assert spool.read(1, 0) == b""


def test_of_a_piece_that_did_not_fit_nothing_is_in_the_file(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(os, "pwrite", full_from(100))
    room = Room()
    spool = Spool(room)
    assert spool.write(b"a" * 60, 0)
    assert not spool.write(b"b" * 60, 60)
    assert "cannot be kept" in caplog.text
    assert (room.held, spool.size, spool.reader().read()) == (60, 60, b"a" * 60)
    spool.close()


@pytest.fixture
def disk() -> Iterator[Disk]:
    made = Disk("app")
    yield made
    made.close()


def put_all(made: Backlog, data: bytes, told: list[bool]) -> None:
    rest = memoryview(data)
    while rest:
        size, begins = made.put(rest[:1000])
        assert size
        told.append(begins)
        rest = rest[size:]


async def test_what_a_thread_puts_is_taken_in_order_and_told_when_nobody_takes(disk: Disk) -> None:
    made, told = Backlog(Room()), list[bool]()
    data = bytes(range(256)) * 4000
    thread = threading.Thread(target=put_all, args=(made, data, told))
    thread.start()
    taken = b""
    async with asyncio.timeout(DEADLINE):
        while len(taken) < len(data):
            taken += await made.take(disk)
            await asyncio.sleep(0)
    thread.join(5)
    assert taken == data
    assert told[0]
    assert await made.take(disk) == b""
    assert not made.under_way
    made.close()


async def test_a_file_that_was_taken_whole_begins_anew(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "MOST", 10)
    room = Room()
    made = Backlog(room)
    for _ in range(3):
        assert made.put(memoryview(b"0123456")) == (7, True)
        assert made.put(memoryview(b"789abc")) == (3, False)
        assert made.put(memoryview(b"abc")) == (0, False)
        assert await made.take(disk) == b"0123456789"
        assert made.under_way, "somebody may be told of it yet"
        assert await made.take(disk) == b""
    assert room.held == 10
    made.close()
