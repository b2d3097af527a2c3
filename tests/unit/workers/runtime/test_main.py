"""What a worker's loop outlives."""

import asyncio
import logging
from collections.abc import Callable

import pytest
import uvloop

from changeover.workers.runtime.main import run_to_end

LOOPS = [uvloop.new_event_loop, asyncio.new_event_loop]


@pytest.mark.parametrize("new_loop", LOOPS)
@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_sys_exit_in_a_task_or_a_callback_ends_that_and_not_the_worker(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
    error: type[BaseException],
    caplog: pytest.LogCaptureFixture,
) -> None:
    def leave() -> None:
        raise error

    async def leave_in_a_task() -> None:
        leave()

    async def life() -> str:
        loop = asyncio.get_running_loop()
        loop.call_soon(leave)
        others = [asyncio.create_task(leave_in_a_task()) for _ in range(3)]
        await asyncio.wait(others)
        assert [type(other.exception()) for other in others] == [error] * 3
        return "served"

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert run_to_end(runner.get_loop(), life()) == "served"
    assert {record.levelno for record in caplog.records} == {logging.ERROR}


def test_what_ends_the_work_itself_is_let_through() -> None:
    async def life() -> None:
        raise SystemExit(3)

    with asyncio.Runner() as runner, pytest.raises(SystemExit):
        run_to_end(runner.get_loop(), life())
