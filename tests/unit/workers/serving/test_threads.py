"""Threads of one unit: as many as are needed, no more than allowed, and a queue with an end."""

import threading

import pytest

from changeover.workers.serving.contract import NotReady
from changeover.workers.serving.lease import LeaseKind, UnitSet
from changeover.workers.serving.threads import WAITING, ThreadPool, thread_of
from tests.waits import until


class Waiting:
    """Work that goes on until the test ends it."""

    def __init__(self) -> None:
        self.lease = UnitSet(()).lease(LeaseKind.HTTP, 1, "/", 0)
        self.name = ""
        self.end = threading.Event()

    def run(self) -> None:
        self.name = threading.current_thread().name
        assert self.end.wait(10), "the test never ended it"


async def test_threads_start_as_they_are_needed() -> None:
    pool = ThreadPool("shop", 2)
    assert pool.unfinished() == ()
    jobs = [Waiting() for _ in range(3)]
    for job in jobs:
        job.end.set()
        pool.submit(job)
        await until(lambda job=job: job.name)  # type: ignore[misc]
        pool.done()
    assert {job.name for job in jobs} == {"changeover shop 0"}
    together = [Waiting() for _ in range(3)]
    for job in together:
        pool.submit(job)
    await until(lambda: together[0].name and together[1].name)
    assert (len(pool.unfinished()), pool.waiting, together[2].name) == (2, 1, "")
    for job in together:
        job.end.set()
    await pool.close(5)
    assert (pool.unfinished(), together[2].name != "") == ((), True)


async def test_a_thread_is_known_by_what_it_works_for() -> None:
    pool, work, waits = ThreadPool("shop", 1), Waiting(), Waiting()
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
    jobs = [Waiting() for _ in range(4)]
    pool.submit(jobs[0], lambda: taken.append("the one that had a thread"))
    assert pool.is_busy
    pool.submit(jobs[1], lambda: taken.append("first"))
    pool.submit(jobs[2])
    pool.submit(jobs[3], lambda: taken.append("last"))
    heard = []
    for job in jobs:
        job.end.set()
        pool.done()
        heard.append(list(taken))
    assert heard == [["first"], ["first"], ["first", "last"], ["first", "last"]]
    await pool.close(5)


class Seen:
    """Work that tells that it runs."""

    def __init__(self) -> None:
        self.lease = UnitSet(()).lease(LeaseKind.HTTP, 1, "/", 0)
        self.ran = threading.Event()

    def run(self) -> None:
        self.ran.set()


async def test_what_is_submitted_in_one_turn_of_the_loop_is_handed_over_at_its_end() -> None:
    pool, jobs = ThreadPool("shop", 1), [Seen() for _ in range(4)]
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
    jobs = [Waiting() for _ in range(WAITING + 2)]
    for job in jobs[:-1]:
        job.end.set()
        pool.submit(job)
    with pytest.raises(NotReady):
        pool.submit(jobs[-1])
    pool.done()
    jobs[-1].end.set()
    pool.submit(jobs[-1])
    await pool.close(10)
    assert jobs[-1].name


async def test_a_thread_that_does_not_end_is_named() -> None:
    pool, job = ThreadPool("shop", 1), Waiting()
    pool.submit(job)
    await pool.close(0.01)
    assert [thread.name for thread in pool.unfinished()] == ["changeover shop 0"]
    job.end.set()
    await until(lambda: pool.unfinished() == ())


async def test_a_pool_that_was_never_used_closes() -> None:
    await ThreadPool("shop", 4).close(0.0)
