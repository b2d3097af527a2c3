"""Threads of one unit: as many as are needed, no more than allowed, and a queue with an end."""

import asyncio
import threading
import time
import weakref
from collections.abc import Callable, Iterator

import pytest

from changeover.workers.serving import threads
from changeover.workers.serving.assignment import left_behind, owing, under_way, work_for
from changeover.workers.serving.contract import NotReady
from changeover.workers.serving.lease import LeaseKind, UnitSet
from changeover.workers.serving.threads import LEFT_BEHIND, WAITING, ThreadPool, leave_hung_behind
from tests.assignments import Owed
from tests.waits import until, until_sync


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    before = under_way()
    yield
    until_sync(lambda: set(under_way()) <= set(before), "what threads do to be over")


class Work(Owed):
    """What a thread of a pool does for a request."""

    def __init__(self, pool: ThreadPool) -> None:
        super().__init__(UnitSet(()).lease(LeaseKind.HTTP, 1, "/", 0))
        self.pool = pool
        self._turn: Callable[[], None] | None = None

    @property
    def is_unanswered(self) -> bool:
        return self.lease.kind is LeaseKind.HTTP

    def run(self) -> None:
        """Do it."""

    def end_turn(self) -> None:
        if self._turn is not None:
            self._turn()

    def given(self, turn: Callable[[], None] | None = None) -> None:
        self._turn = turn
        self.pool.submit(self)

    def ended(self) -> None:
        self.pool.done(self)


class Waiting(Work):
    """Work that goes on until the test ends it."""

    def __init__(self, pool: ThreadPool) -> None:
        super().__init__(pool)
        self.name = ""
        self.end = threading.Event()

    def run(self) -> None:
        self.name = threading.current_thread().name
        assert self.end.wait(10), "the test never ended it"


async def test_threads_start_as_they_are_needed() -> None:
    pool = ThreadPool("shop", 2)
    assert pool.unfinished() == ()
    jobs = [Waiting(pool) for _ in range(3)]
    for job in jobs:
        job.end.set()
        job.given()
        await until(lambda job=job: job.name)  # type: ignore[misc]
        job.ended()
    assert {job.name for job in jobs} == {"changeover shop 0"}
    together = [Waiting(pool) for _ in range(3)]
    for job in together:
        job.given()
    await until(lambda: together[0].name and together[1].name)
    assert (len(pool.unfinished()), pool.waiting, together[2].name) == (2, 1, "")
    for job in together:
        job.end.set()
    await pool.close(5)
    assert (pool.unfinished(), together[2].name != "") == ((), True)


def threads_of(job: Work) -> list[threading.Thread | None]:
    return [each.thread for each in work_for(job.lease)]


async def test_a_thread_is_known_by_what_it_works_for() -> None:
    pool = ThreadPool("shop", 1)
    work, waits = Waiting(pool), Waiting(pool)
    work.given()
    waits.given()
    await until(lambda: threads_of(work))
    assert (threads_of(work), threads_of(waits)) == ([*pool.unfinished()], [])
    work.end.set()
    await until(lambda: threads_of(waits))
    assert threads_of(work) == []
    waits.end.set()
    await pool.close(5)
    assert threads_of(waits) == []


async def test_who_waits_hears_in_turn_that_a_thread_takes_their_job() -> None:
    pool, taken = ThreadPool("shop", 1), list[str]()
    jobs = [Waiting(pool) for _ in range(4)]
    jobs[0].given(lambda: taken.append("the one that had a thread"))
    assert pool.is_busy
    jobs[1].given(lambda: taken.append("first"))
    jobs[2].given()
    jobs[3].given(lambda: taken.append("last"))
    heard = []
    for job in jobs:
        job.end.set()
        job.ended()
        heard.append(list(taken))
    assert heard == [["first"], ["first"], ["first", "last"], ["first", "last"]]
    await pool.close(5)


class Seen(Work):
    """Work that tells that it runs."""

    def __init__(self, pool: ThreadPool) -> None:
        super().__init__(pool)
        self.ran = threading.Event()

    def run(self) -> None:
        self.ran.set()


async def test_what_is_submitted_in_one_turn_of_the_loop_is_handed_over_at_its_end() -> None:
    pool = ThreadPool("shop", 1)
    jobs = [Seen(pool) for _ in range(4)]
    jobs[0].given()
    await until(jobs[0].ran.is_set)
    jobs[1].given()
    jobs[2].given()
    assert not jobs[1].ran.wait(0.05), "a thread has it while the loop's turn goes on"
    await until(jobs[2].ran.is_set)
    jobs[3].given()
    await pool.close(5)
    assert jobs[3].ran.is_set()


async def test_the_queue_has_an_end() -> None:
    pool = ThreadPool("shop", 1)
    jobs = [Waiting(pool) for _ in range(WAITING + 2)]
    for job in jobs[:-1]:
        job.end.set()
        job.given()
    with pytest.raises(NotReady):
        jobs[-1].given()
    jobs[0].ended()
    jobs[-1].end.set()
    jobs[-1].given()
    await pool.close(10)
    assert jobs[-1].name


def old(job: Work, seconds: float) -> None:
    """Its thread has been at it for so long."""
    job.began = time.monotonic_ns() - int(seconds * 1e9)


async def test_a_thread_that_owes_a_response_for_too_long_is_left_behind_and_another_takes_what_waits() -> None:
    pool, taken = ThreadPool("shop", 1), list[str]()
    hung, waits, last = Waiting(pool), Waiting(pool), Waiting(pool)
    hung.given()
    waits.given(lambda: taken.append("waits"))
    await until(lambda: hung.name)
    old(hung, 59)
    leave_hung_behind(60)
    assert (taken, waits.name) == ([], "")
    old(hung, 61)
    leave_hung_behind(0)
    assert taken == [], "there is no deadline"
    leave_hung_behind(60)
    await until(lambda: waits.name)
    last.given()
    leave_hung_behind(60)
    assert (taken, pool.waiting, len(pool.unfinished())) == (["waits"], 1, 2)
    for job in (waits, last, hung):
        job.end.set()
        job.ended()
    await until(lambda: len(pool.unfinished()) == 1, "the pool to have as many threads as before")
    assert not pool.is_busy
    await pool.close(5)


async def test_a_thread_that_answers_in_pieces_or_does_what_comes_after_is_not_left_behind() -> None:
    pool = ThreadPool("shop", 2)
    streams, waits = [Waiting(pool), Waiting(pool)], Waiting(pool)
    for job, kind in zip(streams, (LeaseKind.STREAM, LeaseKind.TASK), strict=True):
        job.given()
        await until(lambda job=job: job.name)  # type: ignore[misc]
        job.lease.kind = kind
        old(job, 100)
    waits.given()
    leave_hung_behind(1)
    assert pool.waiting == 1
    for job in (*streams, waits):
        job.end.set()
    await pool.close(5)


async def test_a_thread_has_been_at_it_since_it_began_and_not_since_its_request_came() -> None:
    pool = ThreadPool("shop", 1)
    job, waits = Waiting(pool), Waiting(pool)
    job.given()
    waits.given()
    await until(lambda: job.name)
    assert job.lease.since == 0
    leave_hung_behind(60)
    assert pool.waiting == 1
    job.end.set()
    waits.end.set()
    await pool.close(5)


@pytest.mark.parametrize("came", [False, True], ids=["waits", "has waited"])
async def test_a_thread_that_waits_for_its_client_does_not_hang(came: bool) -> None:
    pool = ThreadPool("shop", 1)
    job, waits = Waiting(pool), Waiting(pool)
    job.given()
    waits.given()
    await until(lambda: job.name)
    old(job, 100)
    job.lease.waiting.readers += 1
    if came:
        job.lease.waiting.readers -= 1
        job.lease.waiting.resume()
    leave_hung_behind(60)
    assert pool.waiting == 1
    job.lease.waiting.readers = job.lease.waiting.resumed = 0
    leave_hung_behind(60)
    assert pool.waiting == 0
    for each in (job, waits):
        each.end.set()
        each.ended()
    await pool.close(5)


class Counting(Work):
    """Work of which it is known how much of it goes on at the same time.

    Args:
        pool: Whose threads do it.
        gate: Opened when it may end.
        now: What goes on now; the most that ever did stands in the list beside it.
    """

    def __init__(self, pool: ThreadPool, gate: threading.Semaphore, now: list["Counting"], most: list[int]) -> None:
        super().__init__(pool)
        self._gate = gate
        self._now = now
        self._most = most
        self._loop = asyncio.get_running_loop()

    def run(self) -> None:
        self._now.append(self)
        self._most.append(len(self._now))
        assert self._gate.acquire(timeout=10), "the test never let it on"
        self._now.remove(self)
        self._loop.call_soon_threadsafe(self.ended)


@pytest.mark.parametrize("size", [1, 3])
async def test_no_more_threads_than_allowed_work_that_were_not_left_behind(size: int) -> None:
    pool, gate = ThreadPool("shop", size), threading.Semaphore(0)
    now: list[Counting] = []
    most: list[int] = []
    hung = [Waiting(pool) for _ in range(size)]
    jobs = [Counting(pool, gate, now, most) for _ in range(40)]
    for job in (*hung, *jobs):
        job.given()
    await until(lambda: all(job.name for job in hung))
    for job in hung:
        old(job, 61)
    leave_hung_behind(60)
    await until(lambda: len(now) == size, "the others to work in their place")
    before = pool.unfinished()
    for job in hung:
        job.end.set()
        job.ended()
    await until(lambda: len(pool.unfinished()) == size, "those that were left behind to end, with jobs that wait")
    assert len(before) == 2 * size
    gate.release(len(jobs))
    await until(lambda: pool.waiting == 0 and not now)
    assert max(most) == size
    await pool.close(5)


async def test_a_job_that_is_done_is_not_left_behind_though_its_thread_has_not_come_back() -> None:
    pool = ThreadPool("shop", 1)
    late, first, second = Waiting(pool), Waiting(pool), Waiting(pool)
    late.given()
    await until(lambda: late.name)
    old(late, 61)
    late.ended()
    leave_hung_behind(60)
    assert (late in owing(), late in left_behind) == (False, False)
    late.staff.leave_behind(late)
    assert len(pool.unfinished()) == 1, "no thread is started in its place"
    late.end.set()
    first.given()
    second.given()
    await until(lambda: first.name)
    assert (pool.is_busy, pool.waiting, second.name, len(pool.unfinished())) == (True, 1, "", 1)
    for job in (first, second):
        job.end.set()
    await pool.close(5)


async def test_a_thread_that_comes_back_while_another_is_started_in_its_place_stays_and_the_other_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool = ThreadPool("shop", 1)
    slow, first, second = Waiting(pool), Waiting(pool), Waiting(pool)
    slow.given()
    first.given()
    second.given()
    await until(lambda: slow.name)
    old(slow, 61)
    start = threading.Thread.start

    def late(thread: threading.Thread) -> None:
        slow.end.set()
        until_sync(lambda: first.name, "the thread to come back, and to take what comes next")
        start(thread)

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", late)
        leave_hung_behind(60)
    slow.ended()
    await until(lambda: len(pool.unfinished()) == 1, "the other to end")
    assert (first.name, second.name, pool.waiting) == ("changeover shop 0", "", 1)
    old(first, 61)
    leave_hung_behind(60)
    await until(lambda: second.name, "another in the place of one that does not come back")
    for job in (first, second):
        job.end.set()
        job.ended()
    await pool.close(5)


async def test_so_many_threads_are_left_behind_and_no_more() -> None:
    pool = ThreadPool("shop", 1)
    jobs = [Waiting(pool) for _ in range(LEFT_BEHIND + 2)]
    for job in jobs:
        job.given()
    for job in jobs[:-1]:
        await until(lambda job=job: job.name)  # type: ignore[misc]
        old(job, 2)
        leave_hung_behind(1)
    assert (pool.waiting, len(pool.unfinished())) == (1, LEFT_BEHIND + 1)
    for job in jobs:
        job.end.set()
        job.ended()
    await pool.close(5)


async def test_where_no_thread_can_be_started_what_waits_goes_on_waiting(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pool = ThreadPool("shop", 1)
    hung, waits = Waiting(pool), Waiting(pool)
    hung.given()
    waits.given()
    await until(lambda: hung.name)
    old(hung, 2)

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
        job.ended()
    await pool.close(5)


async def test_a_thread_that_does_not_end_is_named() -> None:
    pool = ThreadPool("shop", 1)
    job = Waiting(pool)
    job.given()
    await pool.close(0.01)
    assert [thread.name for thread in pool.unfinished()] == ["changeover shop 0"]
    job.end.set()
    await until(lambda: pool.unfinished() == ())


async def test_a_pool_that_was_never_used_closes() -> None:
    await ThreadPool("shop", 4).close(0.0)


async def test_a_pool_of_many_threads_goes_on_without_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "LEFT_BEHIND", 1)
    pool = ThreadPool("shop", 3)
    hung, others = [Waiting(pool) for _ in range(3)], [Waiting(pool) for _ in range(3)]
    for job in (*hung, *others):
        job.given()
    await until(lambda: all(job.name for job in hung))
    for job in hung:
        old(job, 61)
    leave_hung_behind(60)
    assert pool.waiting == 0
    await until(lambda: all(job.name for job in others), "the others to work in their place")
    for job in (*hung, *others):
        job.end.set()
        job.ended()
    await pool.close(5)


async def test_a_thread_that_came_back_after_all_makes_room_for_the_next_that_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threads, "LEFT_BEHIND", 1)
    pool = ThreadPool("shop", 1)
    first, second, third = (Waiting(pool) for _ in range(3))
    for job in (first, second, third):
        job.given()
    await until(lambda: first.name)
    old(first, 61)
    leave_hung_behind(60)
    await until(lambda: second.name)
    old(second, 61)
    leave_hung_behind(60)
    assert pool.waiting == 1, "the first is still away"
    first.end.set()
    first.ended()
    leave_hung_behind(60)
    assert pool.waiting == 0
    await until(lambda: third.name)
    for job in (second, third):
        job.end.set()
        job.ended()
    await pool.close(5)


class Deadly(Work):
    """Work that takes its thread with it."""

    def run(self) -> None:
        raise MemoryError


async def test_nobody_waits_for_a_thread_that_died_of_its_job(monkeypatch: pytest.MonkeyPatch) -> None:
    died_of = list[object]()
    monkeypatch.setattr(threading, "excepthook", lambda told: died_of.append(told.exc_type))
    pool = ThreadPool("shop", 1)
    job = Deadly(pool)
    job.given()
    await until(lambda: job.thread and not job.thread.is_alive(), "the thread to be gone")
    assert died_of == [MemoryError]
    assert (under_way(), job.is_waited_for) == ([], False)


async def test_a_thread_that_waits_for_its_next_job_keeps_nothing_of_the_one_before() -> None:
    pool = ThreadPool("shop", 1)
    job = Seen(pool)
    kept = weakref.ref(job)
    pool.submit(job)
    await until(job.ran.is_set)
    pool.done(job)
    del job
    await until(lambda: kept() is None, "the job to be gone")
    assert len(pool.unfinished()) == 1
    await pool.close(5)
