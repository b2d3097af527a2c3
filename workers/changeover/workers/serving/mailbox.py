"""What a thread tells the loop, in order: it wakes the loop once for all that it says meanwhile."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """From one thread to one task.

    Args:
        loop: The task's loop.
    """

    __slots__ = ("_diverted", "_items", "_loop", "_rung", "_seen", "_waiter")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._items: deque[T] = deque()
        self._rung = False
        self._waiter: asyncio.Future[None] | None = None
        self._diverted: Callable[[list[T]], None] | None = None
        self._seen: Callable[[T], None] | None = None

    def post(self, items: list[T]) -> None:
        """Say all of `items` at once; in the thread."""
        self._items.extend(items)
        # Whoever reads takes the bell down first and looks then: what is put in before it is seen.
        if not self._rung:
            self._rung = True
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody reads any more
                self._loop.call_soon_threadsafe(self._ring)

    async def take(self) -> list[T]:
        """Everything that was said since, at least one thing; on the loop."""
        while not self._items:
            self._waiter = self._loop.create_future()
            await self._waiter
        return self._taken()

    def divert(self, told: Callable[[list[T]], None]) -> None:
        """Call `told` with whatever comes from now on: the task that took it ends."""
        self._diverted = told
        self._ring()

    def glimpse(self, seen: Callable[[T], None] | None) -> None:
        """Have `seen` called with the latest thing while the task does something else; None: no more."""
        self._seen = seen
        self._show()

    def _ring(self) -> None:
        self._rung = False
        if self._diverted is not None:
            self._diverted(self._taken())
        elif self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        else:
            self._show()

    def _show(self) -> None:
        if self._seen is not None and self._items:
            self._seen(self._items[-1])

    def _taken(self) -> list[T]:
        items = []
        while self._items:
            items.append(self._items.popleft())
        return items
