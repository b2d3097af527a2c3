"""The life of a worker process, from fork to exit status."""

import asyncio
import logging
import os
from collections.abc import Coroutine
from typing import Any, TypeVar

import uvloop

from changeover.workers.protocol import last_words
from changeover.workers.runtime.descriptors import make_room
from changeover.workers.runtime.heap import keep_heap
from changeover.workers.runtime.offspring import Offspring
from changeover.workers.runtime.server_hooks import HookFailed, ServerHooks
from changeover.workers.runtime.settings import Birth
from changeover.workers.runtime.worker import Worker

logger = logging.getLogger("changeover.worker")

T = TypeVar("T")


def run(birth: Birth) -> int:
    """Serve until told to leave.

    Args:
        birth: Who the worker is, and whose.

    Returns:
        The exit status.
    """
    make_room()
    keep_heap()
    offspring = Offspring(birth.settings.belongings.listeners, birth.settings.runtime)
    offspring.install()
    _begin(birth)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return run_to_end(runner.get_loop(), _live(birth, offspring))


def _begin(birth: Birth) -> None:
    """Run the first hook; what keeps it from being done is told where the supervisor looks when this process is dead.

    Raises:
        HookFailed: It was not done.
    """
    try:
        ServerHooks(birth).after_fork()
    except HookFailed as failed:
        os.write(birth.stacks, last_words.written(failed.refusal))
        raise


async def _live(birth: Birth, offspring: Offspring) -> int:
    return await Worker(asyncio.get_running_loop(), birth, offspring.note).live()


def run_to_end(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T]) -> T:
    """Run the loop until `work` is done, whatever else runs on it.

    SystemExit and KeyboardInterrupt that leave a task or a callback stop a loop. Here they are some application's
    `sys.exit` in something that it started (the process ignores SIGINT), and end nothing but that.

    Args:
        loop: Not running.
        work: What decides how long it runs.
    """
    life = loop.create_task(work)
    while True:
        try:
            return loop.run_until_complete(life)
        except (SystemExit, KeyboardInterrupt) as error:
            if life.done():
                raise
            logger.error("a task or callback raised %r, which does not end the worker", error, exc_info=error)
