"""Coroutines that do something about each step of another one, between which the loop runs."""

from collections.abc import Coroutine, Generator
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")


class Stepping(Coroutine[Any, Any, T]):
    """A coroutine around another one, for a task. Looks to whoever follows what it awaits like that one.

    Args:
        work: What to run.
    """

    __slots__ = ("_work",)

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        self._work = work

    @property
    def cr_frame(self) -> FrameType | None:
        """Where it is, None once it is over."""
        frame: FrameType | None = getattr(self._work, "cr_frame", None)
        return frame

    @property
    def cr_await(self) -> object:
        """What it waits for."""
        return getattr(self._work, "cr_await", None)

    def close(self) -> None:
        """End it where it is."""
        self._work.close()

    def __await__(self) -> Generator[Any, Any, T]:
        raise AssertionError("bug: what is awaited here and not by a task takes its steps past it")
