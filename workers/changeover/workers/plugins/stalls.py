"""How long a hook keeps the loop from running, at one stretch."""

import time
from collections.abc import Coroutine, Generator
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")

LIMIT = 0.05
"""Seconds at one stretch from which on a hook is told to stall the loop: requests wait as long."""


class Timed(Coroutine[Any, Any, T]):
    """A coroutine that times each of its steps, between which the loop runs.

    Looks to whoever follows what it awaits like the coroutine itself.

    Args:
        work: What to run.

    Attributes:
        longest: Seconds of its longest step so far.
    """

    __slots__ = ("_work", "longest")

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        self._work = work
        self.longest = 0.0

    @property
    def cr_frame(self) -> FrameType | None:
        """Where it is, None once it is over."""
        frame: FrameType | None = getattr(self._work, "cr_frame", None)
        return frame

    @property
    def cr_await(self) -> object:
        """What it waits for."""
        return getattr(self._work, "cr_await", None)

    def send(self, value: Any) -> Any:
        """Take a step."""
        began = time.perf_counter()
        try:
            return self._work.send(value)
        finally:
            self._took(began)

    def throw(self, *error: Any) -> Any:
        """Take a step into an error."""
        began = time.perf_counter()
        try:
            return self._work.throw(*error)
        finally:
            self._took(began)

    def _took(self, began: float) -> None:
        self.longest = max(self.longest, time.perf_counter() - began)

    def close(self) -> None:
        """End it where it is."""
        self._work.close()

    def __await__(self) -> Generator[Any, Any, T]:
        return self._work.__await__()
