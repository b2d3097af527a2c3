"""Threads of a WSGI application that read a body while it comes: who waits for one waits only for so long."""

import asyncio
import re
import threading
import time
from collections.abc import AsyncIterator, Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest

from changeover.workers.runtime.vitals import owed_response
from changeover.workers.serving import readers
from changeover.workers.serving.assignment import owing
from changeover.workers.serving.lease import Lease
from changeover.workers.serving.overdue import end_waits
from changeover.workers.serving.pipeline import Pipeline
from changeover.workers.serving.readers import BodyWaitsTooLong, Readers, refuse_overdue
from changeover.workers.serving.spool import Room
from changeover.workers.serving.waiting import Waiting
from changeover.workers.serving.wsgi import WsgiApplication
from tests.exchange import MemoryExchange, Served
from tests.uploads import body_of, length, received, received_of
from tests.waits import until
from tests.wsgi import application

BODY = body_of(300_000)
PIECES = [BODY[start : start + 70_000] for start in range(0, len(BODY), 70_000)]


def old(seconds: float) -> None:
    """All that wait have waited for so long."""
    for each in readers.waits:
        each.since = time.monotonic_ns() - int(seconds * 1e9)


def ends(wait: readers.Wait) -> bool:
    """Whether somebody has set an end to it."""
    return wait.bound.when() is not None


class Uploads:
    """An application that has no room to keep bodies, and two threads: one may read.

    Args:
        app: The application.
    """

    def __init__(self, app: WsgiApplication) -> None:
        app.room = Room(0)
        self.app = app
        self.served = Served(Pipeline("shop", (), app))

    def begin(self, pieces: list[bytes], *, complete: bool) -> tuple[MemoryExchange, Lease]:
        """One client sends that much of the body."""
        before = set(self.served.units.leases)
        exchange = MemoryExchange("POST", headers=length(BODY), body=pieces, complete=complete)
        assert self.served.dispatcher.dispatch(exchange)
        [lease] = self.served.units.leases - before
        return exchange, lease


@pytest.fixture
async def uploads() -> AsyncIterator[Uploads]:
    async with application(received, threads=2) as app:
        yield Uploads(app)


async def test_behind_a_client_that_trickles_bodies_are_refused_in_time_and_told_why(uploads: Uploads) -> None:
    trickles, reads = uploads.begin(PIECES[:2], complete=False)
    await until(lambda: reads.reads, "its thread to have read all that came")
    assert uploads.app.readers.are_busy
    honest, waits = uploads.begin(PIECES, complete=True)
    await until(lambda: waits.waits, "the other to wait behind it")
    old(59)
    end_waits(60)
    assert not any(map(ends, readers.waits)), "it has not waited for as long"
    old(61)
    end_waits(0)
    assert not any(map(ends, readers.waits)), "there is no deadline"
    end_waits(60)
    assert owed_response([waits]) is None, "it was not the application's time"
    await until(lambda: honest.ended, "an answer")
    assert (honest.status, honest.headers["retry-after"]) == (503, "1")
    assert re.search(rb"for 6\d s every thread that may read such a body has been reading those of others", honest.body)
    trickles.arrive(*PIECES[2:], None)
    await until(lambda: trickles.ended, "the other's answer")
    assert trickles.body == received_of(BODY, told=len(BODY))
    assert not uploads.app.readers.are_busy


async def test_a_thread_that_hangs_with_a_body_half_read_keeps_no_other_body_waiting_once_it_is_left_behind() -> None:
    answers = threading.Event()
    asked: list[str] = []

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        asked.append(environ["PATH_INFO"])
        if len(asked) == 1:
            environ["wsgi.input"].read(100_000)
            asked.append("waits for a database")
            answers.wait()
        return received(environ, start_response)

    async with application(app, threads=2) as made:
        uploads = Uploads(made)
        hangs, _ = uploads.begin(PIECES, complete=True)
        try:
            await until(lambda: len(asked) == 2, "it to hang")
            [assignment] = [each for each in owing() if each.lease in uploads.served.units.leases]
            assignment.began = assignment.lease.waiting.resumed = 1
            end_waits(60)
            assert not made.readers.are_busy
            honest, _ = uploads.begin(PIECES, complete=True)
            await until(lambda: honest.ended, "the other's answer")
            assert honest.body == received_of(BODY, told=len(BODY))
        finally:
            answers.set()
        await until(lambda: hangs.ended, "its own answer")
        assert not made.readers.are_busy


async def test_a_thread_that_cannot_be_started_keeps_no_other_body_waiting(
    uploads: Uploads, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    start = threading.Thread.start

    def refused(thread: threading.Thread) -> None:
        if "disk" not in thread.name:
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refused)
        first, _ = uploads.begin(PIECES, complete=True)
        await until(lambda: first.ended, "an answer")
    assert first.status == 500
    assert "can't start new thread" in caplog.text
    assert not uploads.app.readers.are_busy
    second, _ = uploads.begin(PIECES, complete=True)
    await until(lambda: second.ended, "an answer")
    assert second.body == received_of(BODY, told=len(BODY))


@pytest.fixture
def one() -> Readers:
    return Readers(1)


async def test_at_least_one_thread_may_read_and_no_more_than_half_of_them() -> None:
    for threads, may in ((1, 1), (3, 1), (4, 2), (9, 4)):
        readers = Readers(threads)
        for _ in range(may):
            assert not readers.are_busy
            await readers.acquire(Waiting())
        assert readers.are_busy


async def test_who_waits_too_long_leaves_its_turn_to_who_came_later(one: Readers) -> None:
    await one.acquire(Waiting())
    first = asyncio.ensure_future(one.acquire(first_waits := Waiting()))
    await until(lambda: readers.waits)
    old(61)
    second = asyncio.ensure_future(one.acquire(second_waits := Waiting()))
    await until(lambda: len(readers.waits) == 2)
    refuse_overdue(60)
    await asyncio.sleep(0)
    refuse_overdue(60)  # it has not heard of the first yet
    with pytest.raises(BodyWaitsTooLong):
        await first
    assert (first_waits.calls, second_waits.calls, second.done()) == (0, 1, False)
    one.release()
    await second
    assert (second_waits.calls, one.are_busy, readers.waits) == (0, True, set())
    assert second_waits.resumed > 0


async def test_who_is_ended_while_it_waits_hears_that_and_nothing_else(one: Readers) -> None:
    await one.acquire(Waiting())
    waits = asyncio.ensure_future(one.acquire(waiting := Waiting()))
    await until(lambda: readers.waits)
    waits.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waits
    assert (waiting.calls, readers.waits) == (0, set())
    one.release()
    assert not one.are_busy
