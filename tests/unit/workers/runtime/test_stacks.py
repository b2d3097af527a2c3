"""What a process says of its tasks when it is asked where it is."""

import asyncio

from changeover.workers.runtime.stacks import MOST_TASKS, task_lines


async def waits_for_the_database(answer: asyncio.Event) -> None:
    await answer.wait()


async def test_each_task_is_named_with_where_it_waits_innermost_first() -> None:
    task = asyncio.create_task(waits_for_the_database(asyncio.Event()), name="changeover: /quotes")
    await asyncio.sleep(0)
    heading, innermost, *_, outermost = task_lines([task])
    assert heading == "Task changeover: /quotes (most recent call first):"
    assert innermost.endswith("in wait")
    assert outermost.startswith(f'  File "{__file__}", line ')
    assert outermost.endswith("in waits_for_the_database")
    task.cancel()


async def test_of_many_tasks_some_are_told_and_the_rest_is_counted() -> None:
    tasks = [asyncio.create_task(asyncio.sleep(60)) for _ in range(MOST_TASKS + 7)]
    lines = list(task_lines(tasks))
    assert sum(line.startswith("Task ") for line in lines) == MOST_TASKS
    assert lines[-1] == "and 7 more tasks"
    for task in tasks:
        task.cancel()


def test_without_tasks_nothing_is_said() -> None:
    assert list(task_lines(())) == []
