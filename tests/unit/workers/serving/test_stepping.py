"""A coroutine around another one looks like that one, and is for a task."""

import asyncio
from typing import Any

import pytest

from changeover.workers.serving.late import waiting_at
from changeover.workers.serving.stepping import Stepping


class Counted(Stepping[str]):
    """Counts steps."""

    steps = 0

    def send(self, value: Any) -> Any:
        """Take a step."""
        self.steps += 1
        return self._work.send(value)

    def throw(self, *error: Any) -> Any:
        """Take a step into an error."""
        self.steps += 1
        return self._work.throw(*error)


async def waits_inside(waited: "asyncio.Future[str]") -> str:
    return await waited


async def waits(waited: "asyncio.Future[str]") -> str:
    return await waits_inside(waited)


async def test_a_task_runs_it_step_by_step_to_the_end_of_what_it_runs() -> None:
    waited: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    counted = Counted(waits(waited))
    task = asyncio.Task(counted)
    await asyncio.sleep(0)
    assert [entry.name for entry in waiting_at(task)] == ["waits", "waits_inside"]
    waited.set_result("done")
    assert await task == "done"
    assert counted.steps == 2
    assert counted.cr_frame is None


async def test_logs_name_the_task_by_what_it_runs_and_say_where_that_is() -> None:
    task = asyncio.Task(Counted(waits(asyncio.get_running_loop().create_future())))
    await asyncio.sleep(0)
    assert f"coro=<waits() running at {__file__}:" in repr(task)
    task.cancel()
    await asyncio.wait({task})
    assert f"coro=<waits() done, defined at {__file__}:" in repr(task)


async def test_a_cancelled_task_ends_what_it_runs() -> None:
    counted = Counted(waits(asyncio.get_running_loop().create_future()))
    task = asyncio.Task(counted)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert counted.steps == 2


async def test_it_says_so_when_it_is_awaited_past_its_steps() -> None:
    counted = Counted(waits(asyncio.get_running_loop().create_future()))
    with pytest.raises(AssertionError, match="takes its steps past it"):
        await counted
    counted.close()
