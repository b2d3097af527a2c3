"""What threads tell the loop, in order: they wake it once for all that they say meanwhile."""

import asyncio
import contextlib
import contextvars
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Courier:
    """Carries what the threads of one application say; comes to the loop on which it is first attended to.

    It comes in a context of its own: that of the thread which called it is another request's, as all others see it.

    Attributes:
        letters: What it has to carry, and where to.
        called: Whether it is on its way.
    """

    __slots__ = ("_context", "_loop", "called", "letters")

    def __init__(self) -> None:
        self.letters: deque[tuple[Mailbox[Any], list[Any]]] = deque()
        self.called = False
        self._context = contextvars.Context()
        self._loop: asyncio.AbstractEventLoop | None = None

    def attend(self) -> None:
        """Be there for what is said from now on; on the loop."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()

    def call(self) -> None:
        """Have it come for what is there; in a thread."""
        if self._loop is not None:
            self.called = True
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody reads any more
                self._loop.call_soon_threadsafe(self._hand_out, context=self._context)

    def _hand_out(self) -> None:
        self.called = False
        letters = self.letters
        try:
            for _ in range(len(letters)):  # what comes meanwhile waits for its turn, as all else on the loop does
                box, items = letters.popleft()
                box.put(items)
        finally:
            if letters and not self.called:  # one of them went wrong: the others get theirs
                self.call()


class Mailbox(Generic[T]):
    """From one thread to one task, or to whoever it is diverted to.

    Args:
        courier: Carries what the thread says.
    """

    __slots__ = ("_courier", "_diverted", "_items", "_seen", "_waiter")

    def __init__(self, courier: Courier) -> None:
        self._courier = courier
        self._items: list[T] = []
        self._waiter: asyncio.Future[None] | None = None
        self._diverted: Callable[[list[T]], None] | None = None
        self._seen: Callable[[T], None] | None = None

    def post(self, items: list[T]) -> None:
        """Say all of `items` at once; in the thread."""
        courier = self._courier
        courier.letters.append((self, items))
        # Whoever hands out takes the call down first and looks then: what is given before that is seen.
        if not courier.called:
            courier.call()

    def put(self, items: list[T]) -> None:
        """Have more in it; on the loop, as all that follows."""
        if self._diverted is not None:
            self._diverted(items)
            return
        self._items += items
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        else:
            self._show()

    async def take(self) -> list[T]:
        """Everything that was said since, at least one thing."""
        while not self._items:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._taken()

    def divert(self, told: Callable[[list[T]], None] | None) -> None:
        """Call `told` with whatever comes from now on, in place of a task; None: a task takes it again."""
        self._diverted = told
        if told is not None and self._items:
            told(self._taken())

    def glimpse(self, seen: Callable[[T], None] | None) -> None:
        """Have `seen` called with the latest thing while the task does something else; None: no more."""
        self._seen = seen
        self._show()

    def _show(self) -> None:
        if self._seen is not None and self._items:
            self._seen(self._items[-1])

    def _taken(self) -> list[T]:
        items, self._items = self._items, []
        return items
