"""What a request starts keeps its generation alive until it ends."""

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import ContextVar, copy_context
from typing import Any

import anyio
import anyio.to_thread
import pytest
import uvloop

from changeover.workers.serving import attribution
from changeover.workers.serving.attribution import UnitWork, current_work
from changeover.workers.serving.contract import CallContext, Request, Response
from changeover.workers.serving.lease import Lease, LeaseKind, current_lease
from changeover.workers.serving.pipeline import Pipeline
from tests.exchange import MemoryExchange, Served
from tests.waits import until

Story = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]
Work = Callable[[], Awaitable[object]]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Story]:
    """Runs a coroutine on either loop with attribution installed."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    def runner(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            attribution.install(asyncio.get_running_loop())
            try:
                await story()
            finally:
                attribution.uninstall()

        with asyncio.Runner(loop_factory=factory) as loop:
            loop.run(main())

    start, submit = threading.Thread.start, ThreadPoolExecutor.submit
    yield runner
    assert threading.Thread.start is start
    assert ThreadPoolExecutor.submit is submit


def serving(work: Work) -> Served:
    """A service that does `work` and answers."""

    async def service(request: Request, call: CallContext) -> Response:
        await work()
        return Response.text("")

    return Served(Pipeline("shop", (), service))


async def answered(served: Served) -> list[Lease]:
    """Dispatch a request, wait for its answer, and say which leases are left."""
    exchange = MemoryExchange(target="/work")
    served.dispatcher.dispatch(exchange)
    (own,) = served.units.leases
    await until(lambda: exchange.ended and own not in served.units.leases)
    return served.units.live_leases()


def test_a_fire_and_forget_task_keeps_its_generation_alive(run: Story) -> None:
    async def story() -> None:
        go = asyncio.Event()
        started: list[asyncio.Task[object]] = []

        async def work() -> None:
            started.append(asyncio.create_task(go.wait()))

        served = serving(work)
        (held,) = await answered(served)
        assert (held.kind, held.epoch, held.path, held.holder) == (LeaseKind.TASK, 7, "/work", started[0])
        go.set()
        await until(lambda: not served.units.leases)

    run(story)


def test_a_task_of_a_task_keeps_it_alive_after_both_parents(run: Story) -> None:
    async def story() -> None:
        go = asyncio.Event()
        keep: list[object] = []

        async def parent() -> None:
            keep.append(asyncio.create_task(go.wait()))

        async def work() -> None:
            keep.append(asyncio.create_task(parent()))

        served = serving(work)
        await answered(served)
        await until(lambda: len(keep) == 2 and len(served.units.leases) == 1)
        go.set()
        await until(lambda: not served.units.leases)

    run(story)


def test_the_request_itself_is_counted_once(run: Story) -> None:
    async def story() -> None:
        seen: list[int] = []

        async def work() -> None:
            async with asyncio.timeout(5):
                await asyncio.sleep(0)
                seen.append(len(served.units.leases))

        served = serving(work)
        assert await answered(served) == []
        assert seen == [1]

    run(story)


def test_a_cancelled_task_lets_go_also_before_its_first_step(run: Story) -> None:
    async def story() -> None:
        async def work() -> None:
            begun = asyncio.Event()

            async def linger() -> None:
                begun.set()
                await asyncio.Event().wait()

            asyncio.create_task(linger()).cancel()
            late = asyncio.create_task(linger())
            await begun.wait()
            late.cancel()

        served = serving(work)
        await answered(served)
        await until(lambda: not served.units.leases)

    run(story)


def test_task_groups_of_both_kinds_let_go(run: Story) -> None:
    async def story() -> None:
        counts: list[int] = []

        async def note() -> None:
            await asyncio.sleep(0)
            counts.append(len(served.units.leases))

        async def work() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(note())
                group.create_task(note())
            async with anyio.create_task_group() as nursery:
                nursery.start_soon(note)
            with suppress(ExceptionGroup):
                async with asyncio.TaskGroup() as group:
                    group.create_task(asyncio.sleep(60))
                    group.create_task(failing())

        served = serving(work)
        await answered(served)
        await until(lambda: not served.units.leases)
        assert counts == [3, 3, 2]

    async def failing() -> None:
        raise ValueError

    run(story)


def test_a_task_in_a_context_of_its_own_is_attributed_by_that_context(run: Story) -> None:
    async def story() -> None:
        go = asyncio.Event()
        free = copy_context()
        keep: list[object] = []

        async def work() -> None:
            keep.append(asyncio.get_running_loop().create_task(go.wait(), context=free))

        assert await answered(serving(work)) == []
        go.set()

    run(story)


def test_a_thread_keeps_its_generation_alive_and_knows_it(run: Story) -> None:
    async def story() -> None:
        go = threading.Event()
        colour: ContextVar[str] = ContextVar("colour")
        seen: list[object] = []

        def thread() -> None:
            seen.append(current_lease.get())
            seen.append(colour.get())
            go.wait(10)

        async def work() -> None:
            colour.set("red")
            threading.Thread(target=thread, name="fire and forget").start()

        served = serving(work)
        (held,) = await answered(served)
        assert isinstance(held.holder, threading.Thread)
        assert held.holder.name == "fire and forget"
        assert not held.end("a thread cannot be asked")
        await until(lambda: len(seen) == 2)
        assert seen[1] == "red"
        go.set()
        await until(lambda: not served.units.leases)

    run(story)


def test_a_thread_that_raises_lets_go(run: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[object] = []
    monkeypatch.setattr(threading, "excepthook", raised.append)

    async def story() -> None:
        def thread() -> None:
            raise ValueError

        started: list[threading.Thread] = []

        async def work() -> None:
            started.append(threading.Thread(target=thread))
            started[0].start()

        served = serving(work)
        await answered(served)
        started[0].join(10)
        assert len(raised) == 1
        await until(lambda: not served.units.leases)

    run(story)


def test_a_finished_thread_is_freed_without_the_garbage_collector(run: Story) -> None:
    async def story() -> None:
        started: list[weakref.ref[threading.Thread]] = []

        async def work() -> None:
            thread = threading.Thread(target=time.monotonic)
            started.append(weakref.ref(thread))
            thread.start()

        gc.disable()
        try:
            await answered(serving(work))
            await until(lambda: started[0]() is None, "the thread to be freed")
        finally:
            gc.enable()

    run(story)


def test_work_in_a_pool_holds_and_the_pools_thread_does_not(run: Story) -> None:
    async def story() -> None:
        go = threading.Event()
        seen: list[Lease | None] = []
        pool = ThreadPoolExecutor(1)

        def job() -> None:
            seen.append(current_lease.get())
            go.wait(10)

        async def work() -> None:
            pool.submit(job)
            pool.submit(job)

        served = serving(work)
        assert len(await answered(served)) == 2
        go.set()
        await until(lambda: not served.units.leases)
        assert all(lease is not None and lease.units is served.units for lease in seen)
        assert pool.submit(current_lease.get).result() is None
        pool.shutdown()

    run(story)


def test_pool_work_that_is_cancelled_or_refused_lets_go(run: Story) -> None:
    async def story() -> None:
        go = threading.Event()
        pool = ThreadPoolExecutor(1)
        submitted: list[Future[Any]] = []

        async def work() -> None:
            submitted.append(pool.submit(go.wait, 10))
            submitted.append(pool.submit(go.wait, 10))
            submitted[1].cancel()
            pool.shutdown(wait=False)
            with pytest.raises(RuntimeError):
                pool.submit(go.wait)

        served = serving(work)
        await answered(served)
        await until(lambda: len(served.units.leases) == 1)
        go.set()
        await until(lambda: not served.units.leases)

    run(story)


def test_threads_for_asyncio_and_anyio_stay_after_the_request_and_hold_nothing(run: Story) -> None:
    async def story() -> None:
        async def work() -> None:
            await asyncio.to_thread(time.monotonic)
            await asyncio.get_running_loop().run_in_executor(None, time.monotonic)
            seen.append(await anyio.to_thread.run_sync(current_lease.get))

        seen: list[Lease | None] = []
        served = serving(work)
        await answered(served)
        await until(lambda: not served.units.leases)
        assert seen[0] is not None
        assert threading.active_count() > 1

    run(story)


def test_what_starts_outside_any_request_holds_nothing(run: Story) -> None:
    async def story() -> None:
        served = serving(lambda: asyncio.sleep(0))
        task = asyncio.create_task(asyncio.sleep(0))
        thread = threading.Thread(target=time.monotonic)
        thread.start()
        await task
        thread.join()
        assert served.units.leases == set()

    run(story)


def test_nothing_is_attributed_to_what_was_retired(run: Story) -> None:
    async def story() -> None:
        keep: list[object] = []

        async def work() -> None:
            served.units.retire()
            keep.append(asyncio.create_task(asyncio.sleep(0)))

        served = serving(work)
        assert await answered(served) == []

    run(story)


def test_what_a_hook_starts_is_known_by_name(run: Story) -> None:
    async def story() -> None:
        go, stop = asyncio.Event(), threading.Event()
        work = UnitWork("plugin pricing")
        keep: list[object] = []

        async def hook() -> None:
            keep.append(asyncio.create_task(go.wait(), name="consumer"))
            thread = threading.Thread(target=stop.wait, args=(10,), name="timer")
            thread.start()
            keep.append(thread)

        context = copy_context()
        context.run(current_work.set, work)
        await asyncio.get_running_loop().create_task(hook(), context=context)
        assert "task consumer" in work.alive()
        assert "thread timer" in work.alive()
        go.set()
        stop.set()
        await until(lambda: not work.alive())

    run(story)


def test_it_is_installed_once() -> None:
    loop = asyncio.new_event_loop()
    attribution.install(loop)
    try:
        with pytest.raises(AssertionError, match="bug"):
            attribution.install(loop)
    finally:
        attribution.uninstall()
        loop.close()
