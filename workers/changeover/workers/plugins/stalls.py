"""How long a hook keeps the loop from running, at one stretch."""

import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from changeover.workers.serving.stepping import Stepping

T = TypeVar("T")

LIMIT = 0.05
"""Seconds at one stretch from which on a hook is told to stall the loop: requests wait as long."""


class Timed(Stepping[T]):
    """A coroutine that times each of its steps.

    Args:
        work: What to run.

    Attributes:
        longest: Seconds of its longest step so far.
    """

    __slots__ = ("longest",)

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        super().__init__(work)
        self.longest = 0.0

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
