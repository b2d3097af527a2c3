"""The life of a worker process, from fork to exit status."""

import asyncio

import uvloop

from changeover.workers.runtime.settings import Birth
from changeover.workers.runtime.worker import Worker


def run(birth: Birth) -> int:
    """Serve until told to leave.

    Args:
        birth: Who the worker is, and whose.

    Returns:
        The exit status.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_live(birth))


async def _live(birth: Birth) -> int:
    return await Worker(asyncio.get_running_loop(), birth).live()
