"""One message under way: answered at once where nothing waits, otherwise in a task."""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Any

from changeover.workers.message.codec import Goodbye
from changeover.workers.message.contract import MessageCall
from changeover.workers.message.failure import goodbye_to
from changeover.workers.message.pipeline import Steps
from changeover.workers.serving.failure import is_ending
from changeover.workers.serving.lease import current_lease

Done = Callable[[MessageCall, Goodbye | None], None]
"""Told once that a message is answered, or how the connection ends instead."""


def start(steps: Steps, call: MessageCall, context: Context, done: Done) -> None:
    """Answer a message.

    Args:
        steps: Of its pipeline.
        call: Its call context; its lease gets a holder where there is a task.
        context: Context variables of whatever runs for it.
        done: Told when it is over, perhaps before this returns.
    """
    context.run(current_lease.set, call.lease)
    try:
        awaited = context.run(steps.send, None)
    except StopIteration:
        done(call, None)
    except BaseException as error:  # noqa: BLE001 - whatever user code raises is its own failure
        done(call, goodbye_to(error, call))
    else:
        waiting, loop = _wait(steps, awaited, call, done), asyncio.get_running_loop()
        call.lease.holder = asyncio.Task(waiting, loop=loop, name=f"changeover: {call.route}", context=context)


async def _wait(steps: Steps, awaited: Awaitable[Any], call: MessageCall, done: Done) -> None:
    try:
        await _driven(steps, awaited)
    except BaseException as error:
        ending = is_ending(error)
        done(call, Goodbye.LEAVING if ending else goodbye_to(error, call))
        if ending:
            raise
    else:
        done(call, None)


async def _driven(steps: Steps, awaited: Awaitable[Any]) -> None:
    """Wait for what `steps` yields, until it ends."""
    try:
        while True:
            try:
                result = await awaited
            except BaseException as error:  # noqa: BLE001 - it is thrown to where it was awaited
                awaited = steps.throw(error)
            else:
                awaited = steps.send(result)
    except StopIteration:
        return
