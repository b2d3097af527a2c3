"""Threads of one unit: as many as are needed, no more than allowed, and a queue with an end."""

import threading
import time

import pytest

from changeover.workers.serving.contract import NotReady
from changeover.workers.serving.lease import LeaseKind, UnitSet
from changeover.workers.serving.threads import LEFT_BEHIND, WAITING, ThreadPool, leave_hung_behind, thread_of
from tests.waits import until


class Waiting:
    """Work that goes on until the test ends it."""

    def __init__(self, pool: ThreadPool) -> None:
        self.lease = UnitSet(()).lease(LeaseKind.HTTP, 1, "/", 0)
        self.name = ""
        self.end = threading.Event()
        self.pool = pool

    @property
    def owes(self) -> bool:
        return self.lease.kind is LeaseKind.HTTP

    def run(self) -> None:
        self.name = threading.current_thread().name
        assert self.end.wait(10), "the test never ended it"


async def test_threads_start_as_they_are_needed() -> None:
    pool = ThreadPool("shop", 2)
    assert pool.unfinished() == ()
    jobs = [Waiting(pool) for _ in range(3)]
    for job in jobs:
        job.end.set()
        pool.submit(job)
        await until(lambda job=job: job.name)  # type: ignore[misc]
        pool.done(job)
    assert {job.name for job in jobs} == {"changeover shop 0"}
    together = [Waiting(pool) for _ in range(3)]
    for job in together:
        pool.submit(job)
    await until(lambda: together[0].name and together[1].name)
    assert (len(pool.unfinished()), pool.waiting, together[2].name) == (2, 1, "")
    for job in together:
        job.end.set()
    await pool.close(5)
    assert (pool.unfinished(), together[2].name != "") == ((), True)


async def test_a_thread_is_known_by_what_it_works_for() -> None:
    pool = ThreadPool("shop", 1)
    work, waits = Waiting(pool), Waiting(pool)
    pool.submit(work)
    pool.submit(waits)
    await until(lambda: thread_of(work.lease))
    assert (thread_of(work.lease), thread_of(waits.lease)) == (*pool.unfinished(), None)
    work.end.set()
    await until(lambda: thread_of(waits.lease))
    assert thread_of(work.lease) is None
    waits.end.set()
    await pool.close(5)
    assert thread_of(waits.lease) is None


async def test_who_waits_hears_in_turn_that_a_thread_takes_their_job() -> None:
    pool, taken = ThreadPool("shop", 1), list[str]()
    jobs = [Waiting(pool) for _ in range(4)]
    pool.submit(jobs[0], lambda: taken.append("the one that had a thread"))
    assert pool.is_busy
    pool.submit(jobs[1], lambda: taken.append("first"))
    pool.submit(jobs[2])
    pool.submit(jobs[3], lambda: taken.append("last"))
    heard = []
    for job in jobs:
        job.end.set()
        pool.done(job)
        heard.append(list(taken))
    assert heard == [["first"], ["first"], ["first", "last"], ["first", "last"]]
    await pool.close(5)


class Seen:
    """Work that tells that it runs."""

    def __init__(self, pool: ThreadPool) -> None:
        self.lease = UnitSet(()).lease(LeaseKind.HTTP, 1, "/", 0)
        self.ran = threading.Event()
        self.pool = pool

    @property
    def owes(self) -> bool:
        return self.lease.kind is LeaseKind.HTTP

    def run(self) -> None:
        self.ran.set()


async def test_what_is_submitted_in_one_turn_of_the_loop_is_handed_over_at_its_end() -> None:
    pool = ThreadPool("shop", 1)
    jobs = [Seen(pool) for _ in range(4)]
    pool.submit(jobs[0])
    await until(jobs[0].ran.is_set)
    pool.submit(jobs[1])
    pool.submit(jobs[2])
    assert not jobs[1].ran.wait(0.05), "a thread has it while the loop's turn goes on"
    await until(jobs[2].ran.is_set)
    pool.submit(jobs[3])
    await pool.close(5)
    assert jobs[3].ran.is_set()


async def test_the_queue_has_an_end() -> None:
    pool = ThreadPool("shop", 1)
    jobs = [Waiting(pool) for _ in range(WAITING + 2)]
    for job in jobs[:-1]:
        job.end.set()
        pool.submit(job)
    with pytest.raises(NotReady):
        pool.submit(jobs[-1])
    pool.done(jobs[0])
    jobs[-1].end.set()
    pool.submit(jobs[-1])
    await pool.close(10)
    assert jobs[-1].name


def old(job: Waiting, seconds: float) -> None:
    job.lease.since = time.monotonic_ns() - int(seconds * 1e9)


async def test_a_thread_that_owes_a_response_for_too_long_is_left_behind_and_another_takes_what_waits() -> None:
    pool, taken = ThreadPool("shop", 1), list[str]()
    hung, waits, last = Waiting(pool), Waiting(pool), Waiting(pool)
    for job in (waits, last):
        old(job, 1)
    pool.submit(hung)
    pool.submit(waits, lambda: taken.append("waits"))
    await until(lambda: hung.name)
    old(hung, 59)
    leave_hung_behind(60)
    assert (taken, waits.name) == ([], "")
    old(hung, 61)
    leave_hung_behind(0)
    assert taken == [], "there is no deadline"
    leave_hung_behind(60)
    leave_hung_behind(60)
    await until(lambda: waits.name)
    pool.submit(last)
    assert (taken, pool.waiting, len(pool.unfinished())) == (["waits"], 1, 2)
    for job in (waits, last, hung):
        job.end.set()
        pool.done(job)
    await until(lambda: len(pool.unfinished()) == 1, "the pool to have as many threads as before")
    assert not pool.is_busy
    await pool.close(5)


async def test_a_thread_that_answers_in_pieces_or_does_what_comes_after_is_not_left_behind() -> None:
    pool = ThreadPool("shop", 2)
    streams, waits = [Waiting(pool), Waiting(pool)], Waiting(pool)
    for job, kind in zip(streams, (LeaseKind.STREAM, LeaseKind.TASK), strict=True):
        pool.submit(job)
        await until(lambda job=job: job.name)  # type: ignore[misc]
        job.lease.kind = kind
    pool.submit(waits)
    leave_hung_behind(1)
    assert pool.waiting == 1
    for job in (*streams, waits):
        job.end.set()
    await pool.close(5)


async def test_who_has_waited_for_long_is_not_left_behind_before_the_loop_knows_that_a_thread_has_it() -> None:
    pool = ThreadPool("shop", 1)
    job, waits = Waiting(pool), Waiting(pool)
    pool.submit(job)
    pool.submit(waits)
    await until(lambda: job.name)
    job.lease.waits = True
    leave_hung_behind(60)
    assert pool.waiting == 1
    job.end.set()
    waits.end.set()
    await pool.close(5)


async def test_so_many_threads_are_left_behind_and_no_more() -> None:
    pool = ThreadPool("shop", 1)
    jobs = [Waiting(pool) for _ in range(LEFT_BEHIND + 2)]
    for job in jobs:
        pool.submit(job)
    for job in jobs[:-1]:
        await until(lambda job=job: job.name)  # type: ignore[misc]
        leave_hung_behind(1)
    assert (pool.waiting, len(pool.unfinished())) == (1, LEFT_BEHIND + 1)
    for job in jobs:
        job.end.set()
    await pool.close(5)


async def test_where_no_thread_can_be_started_what_waits_goes_on_waiting(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pool = ThreadPool("shop", 1)
    hung, waits = Waiting(pool), Waiting(pool)
    pool.submit(hung)
    pool.submit(waits)
    await until(lambda: hung.name)

    def refused(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refused)
        leave_hung_behind(1)
    assert (pool.waiting, caplog.messages) == (
        1,
        ["shop: a thread hangs, and no other can be started in its place: can't start new thread"],
    )
    leave_hung_behind(1)
    await until(lambda: waits.name)
    for job in (hung, waits):
        job.end.set()
    await pool.close(5)


async def test_a_thread_that_does_not_end_is_named() -> None:
    pool = ThreadPool("shop", 1)
    job = Waiting(pool)
    pool.submit(job)
    await pool.close(0.01)
    assert [thread.name for thread in pool.unfinished()] == ["changeover shop 0"]
    job.end.set()
    await until(lambda: pool.unfinished() == ())


async def test_a_pool_that_was_never_used_closes() -> None:
    await ThreadPool("shop", 4).close(0.0)
