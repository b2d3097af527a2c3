"""A hook that is late, and where it waits."""

import asyncio
import gc
import traceback
from collections.abc import Iterator
from types import AsyncGeneratorType, FrameType
from typing import Any

from changeover.workers.errors import ChangeoverError

_KINDS = ("cr", "gi", "ag")
"""How the attributes of coroutines, generators and asynchronous generators begin."""


class HookTimeout(ChangeoverError):
    """An async hook, or a half of a lifespan, did not return within its deadline, and was cancelled.

    Attributes:
        deadline: Seconds that were allowed.
        stack: Where it was waiting.
    """

    def __init__(self, deadline: float, stack: traceback.StackSummary) -> None:
        self.deadline = deadline
        self.stack = stack
        super().__init__(f"not done within {deadline:g} s")


class HookBlocked(ChangeoverError):
    """A hook returned after its deadline, and nobody could end it there: it kept the loop from running.

    Attributes:
        deadline: Seconds that were allowed.
        took: Seconds that it took at one stretch.
    """

    def __init__(self, deadline: float, took: float) -> None:
        self.deadline = deadline
        self.took = took
        super().__init__(
            f"not done within {deadline:g} s; the loop stood still for {took:.3g} s, and nobody can end that"
        )


def waiting_at(task: "asyncio.Task[Any]") -> traceback.StackSummary:
    """Where a task's coroutines wait, the outermost first."""
    return traceback.StackSummary.extract((frame, frame.f_lineno) for frame in frames_of(task.get_coro()))


def frames_of(waiting: Any) -> Iterator[FrameType]:
    """Frames from a coroutine down to what it waits for."""
    while waiting is not None:
        kind = next((kind for kind in _KINDS if hasattr(waiting, f"{kind}_frame")), None)
        if kind is None:
            waiting = _stepped(waiting)
            continue
        frame = getattr(waiting, f"{kind}_frame")
        if frame is not None:
            yield frame
        waiting = getattr(waiting, "gi_yieldfrom" if kind == "gi" else f"{kind}_await")


def _stepped(waiting: object) -> object:
    """The asynchronous generator of which this is one step; a step does not say so itself."""
    return next((each for each in gc.get_referents(waiting) if isinstance(each, AsyncGeneratorType)), None)
