"""Waiting for conditions with a deadline: the only way in which tests wait."""

import asyncio
import time
from collections.abc import Callable

DEADLINE = 10.0


async def until(condition: Callable[[], object], what: str = "", deadline: float = DEADLINE) -> None:
    """Return as soon as `condition` holds; fail naming it when it does not within `deadline` seconds."""
    end = time.monotonic() + deadline
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline} s: {what or condition}")
        await asyncio.sleep(0.002)


def until_sync(condition: Callable[[], object], what: str = "", deadline: float = DEADLINE) -> None:
    """`until` for tests that run no loop."""
    end = time.monotonic() + deadline
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline} s: {what or condition}")
        time.sleep(0.002)
