"""Coroutines that do something about each step of another one, between which the loop runs."""

from collections.abc import Coroutine, Generator
from typing import Any, TypeVar

T = TypeVar("T")


class Stepping(Coroutine[Any, Any, T]):
    """A coroutine around another one, for a task. Looks like that one to whoever asks what it is, or
    follows what it awaits.

    Args:
        work: What to run.
    """

    __slots__ = ("_work",)

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        self._work = work

    def __getattr__(self, name: str) -> Any:
        """What it tells of itself: where it is, what it waits for, what it is called in logs."""
        return getattr(self._work, name)

    def close(self) -> None:
        """End it where it is."""
        self._work.close()

    def __await__(self) -> Generator[Any, Any, T]:
        raise AssertionError("bug: what is awaited here and not by a task takes its steps past it")
