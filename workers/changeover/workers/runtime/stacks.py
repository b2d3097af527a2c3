"""Writes where this process is, when it is asked: every thread, also of one that is stuck, then every task of its loop.

A handler in C writes the threads at once. It passes the signal on to one in Python, which runs between two
instructions of the main thread, or as soon as an idle loop wakes for it: a main thread that is stuck in foreign
code writes no tasks.
"""

import asyncio
import faulthandler
import os
import signal
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Any

from changeover.workers.protocol.forking import STACKS_SIGNAL
from changeover.workers.runtime.vitals import standing

MOST_TASKS = 100


def write_when_asked(file: int) -> None:
    """Install both handlers; the signal is blocked meanwhile.

    Args:
        file: Descriptor that is written to, opened for as long as the process lives.
    """

    def write_tasks(signum: int, frame: FrameType | None) -> None:
        os.write(file, "".join(f"{line}\n" for line in task_lines(_tasks())).encode("utf-8", "backslashreplace"))

    faulthandler.unregister(STACKS_SIGNAL)  # the zygote's own: nothing would be installed beside it
    signal.signal(STACKS_SIGNAL, write_tasks)
    faulthandler.enable(file=file)
    faulthandler.register(STACKS_SIGNAL, file=file, chain=True)


def task_lines(tasks: Iterable["asyncio.Task[Any]"]) -> Iterator[str]:
    """Where tasks stand, in the form in which threads are told, in the order of their names."""
    named = sorted(tasks, key=lambda task: task.get_name())
    for task in named[:MOST_TASKS]:
        yield f"Task {task.get_name()} (most recent call first):"
        yield from (f"  {line}" for line in reversed(standing(task)))
    if len(named) > MOST_TASKS:
        yield f"and {len(named) - MOST_TASKS} more tasks"


def _tasks() -> Iterable["asyncio.Task[Any]"]:
    try:
        return asyncio.all_tasks()
    except RuntimeError:
        return ()  # no loop runs, or other threads make tasks faster than they can be listed
