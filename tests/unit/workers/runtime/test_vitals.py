"""What a heartbeat says of the request that is longest without a response."""

import asyncio
import resource
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from changeover.workers.runtime.vitals import DEEPEST, ResidentMemory, owed_response, standing
from changeover.workers.serving.lease import Lease, LeaseKind, UnitSet
from changeover.workers.serving.threads import ThreadPool
from tests.assignments import Owed
from tests.waits import until


def lease(kind: LeaseKind, path: str, seconds: float) -> Lease:
    return UnitSet(()).lease(kind, 7, path, time.monotonic_ns() - round(seconds * 1e9))


def test_it_is_the_oldest_request_and_no_stream_no_websocket_and_no_task() -> None:
    held = [lease(kind, f"/{kind.value}", 90.0) for kind in LeaseKind if kind is not LeaseKind.HTTP]
    assert owed_response(held) is None
    owed = owed_response([*held, lease(LeaseKind.HTTP, "/young", 3.0), lease(LeaseKind.HTTP, "/old", 30.0)])
    assert owed is not None
    assert (owed.path, owed.epoch, round(owed.age)) == ("/old", 7, 30)


async def waits(depth: int) -> None:
    if depth:
        await waits(depth - 1)
    await asyncio.Event().wait()


async def test_what_an_old_request_awaits_is_said_line_by_line_and_a_young_one_s_is_not() -> None:
    old, young = lease(LeaseKind.HTTP, "/old", 30.0), lease(LeaseKind.HTTP, "/young", 0.1)
    old.holder = young.holder = task = asyncio.create_task(waits(1))
    await until(lambda: len(standing(task)) == 3, "the task to wait")
    owed, fresh = owed_response([old]), owed_response([young])
    assert owed is not None
    assert [line.rpartition(" in ")[2] for line in owed.awaits] == ["waits", "waits", "wait"]
    assert f'File "{__file__}", line ' in owed.awaits[0]
    assert fresh is not None
    assert fresh.awaits == ()
    task.cancel()


async def test_the_innermost_lines_of_a_deep_one_are_said() -> None:
    task = asyncio.create_task(waits(3 * DEEPEST))
    await until(lambda: len(standing(task)) == DEEPEST and standing(task)[-1].endswith(" in wait"), "the task to wait")
    task.cancel()


@asynccontextmanager
async def opened() -> AsyncIterator[None]:
    await asyncio.Event().wait()
    yield


async def test_what_waits_in_an_asynchronous_generator_stands_there() -> None:
    async def request() -> None:
        async with opened():
            raise AssertionError("it never opens")

    task = asyncio.create_task(request())
    await until(lambda: standing(task)[-1:] and standing(task)[-1].endswith(" in wait"), "the task to wait")
    assert [line.rpartition(" in ")[2] for line in standing(task)] == ["request", "__aenter__", "opened", "wait"]
    task.cancel()


class Work(Owed):
    """What a thread does until the test ends it."""

    def __init__(self, lease: Lease) -> None:
        super().__init__(lease)
        self.end = threading.Event()

    def run(self) -> None:
        self.end.wait(10)


async def test_a_request_that_a_thread_works_for_stands_where_the_thread_does() -> None:
    pool = ThreadPool("shop", 1)
    work = Work(lease(LeaseKind.HTTP, "/old", 30.0))
    pool.submit(work)
    (thread,) = pool.unfinished()
    try:
        await until(lambda: standing(thread) and standing(thread)[-1].endswith(" in wait"), "the thread to wait")
        owed = owed_response([work.lease])
        assert owed is not None
        assert any(line.endswith(" in run") and __file__ in line for line in owed.awaits)
        work.lease.release()
        assert owed_response([]) is not None, "whoever answered in its place, its thread hangs"
        pool.leave_behind(work)
        assert owed_response([]) is not None, "it hangs, whoever waits for it"
    finally:
        work.end.set()
        pool.done(work)
        await pool.close(5)
    await until(lambda: standing(thread) == (), "the thread to be gone")


@pytest.mark.parametrize("which", ["calls", "readers"])
def test_a_request_that_waits_for_a_thread_or_its_client_does_not_hang(which: str) -> None:
    waits = lease(LeaseKind.HTTP, "/old", 30.0)
    setattr(waits.waiting, which, 1)
    assert owed_response([waits]) is None
    setattr(waits.waiting, which, 0)
    waits.waiting.resume()
    owed = owed_response([waits])
    assert owed is not None
    assert owed.age < 30, "its time begins when it has what it waited for"


def test_work_that_waits_in_a_pool_of_threads_stands_nowhere() -> None:
    assert standing(None) == ()


def test_how_much_memory_it_holds_is_known_also_when_nothing_can_be_opened_any_more() -> None:
    memory = ResidentMemory()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1, hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            ResidentMemory()
        assert memory.read() > 1 << 20
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
