"""Whom the end of a lease is for: the task that holds it, and nobody who hears of it besides."""

import asyncio
import gc

from changeover.workers.serving.failure import is_ending
from changeover.workers.serving.lease import Ending, LeaseKind, UnitSet


async def for_ever() -> None:
    await asyncio.Event().wait()


async def heard(work: "asyncio.Future[None]") -> asyncio.CancelledError:
    try:
        await work
    except asyncio.CancelledError as error:
        return error
    raise AssertionError("it was not cancelled")


async def test_one_task_is_ended_and_who_waits_for_it_is_not() -> None:
    task = asyncio.ensure_future(for_ever())
    lease = UnitSet(()).lease(LeaseKind.TASK, 1, "/", 0)
    lease.holder = task
    await asyncio.sleep(0)
    assert lease.end("its drain deadline passed")
    error = await heard(task)
    [reason] = error.args
    assert reason == "its drain deadline passed"
    assert isinstance(reason, Ending)
    assert reason.ends(task)
    assert not reason.ends(asyncio.current_task())
    assert not is_ending(error)


async def test_an_end_whose_task_is_gone_is_nobody_s() -> None:
    ending = Ending.of(task := asyncio.ensure_future(for_ever()), "its drain deadline passed")
    task.cancel()
    await heard(task)
    del task
    await asyncio.sleep(0)
    gc.collect()
    assert not ending.ends(None)
