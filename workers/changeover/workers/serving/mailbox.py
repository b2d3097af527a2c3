"""What threads tell the loop, in order: they wake it once for all that they say meanwhile."""

import asyncio
import contextlib
import contextvars
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")


class Recipient(Protocol[T]):
    """Who is told on the loop what a thread says."""

    def put(self, items: list[T]) -> None:
        """Hear of it."""


class Courier:
    """Carries what the threads of one application say; comes to the loop on which it is first attended to.

    It comes in a context of its own: that of the thread which called it is another request's, as all others see it.

    Attributes:
        letters: What it has to carry, and where to.
        loop: Where it goes; None until it is attended to.
        called: Whether it is on its way.
    """

    __slots__ = ("_context", "called", "letters", "loop")

    def __init__(self) -> None:
        self.letters: deque[tuple[Recipient[Any], list[Any]]] = deque()
        self.called = False
        self._context = contextvars.Context()
        self.loop: asyncio.AbstractEventLoop | None = None

    def attend(self) -> None:
        """Be there for what is said from now on; on the loop."""
        if self.loop is None:
            self.loop = asyncio.get_running_loop()

    def post(self, recipient: Recipient[Any], items: list[Any]) -> None:
        """Carry `items`, all at once; in a thread."""
        self.letters.append((recipient, items))
        # Whoever hands out takes the call down first and looks then: what is given before that is seen.
        if not self.called:
            self.call()

    def call(self) -> None:
        """Have it come for what is there; in a thread."""
        if self.loop is not None:
            self.called = True
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody reads any more
                self.loop.call_soon_threadsafe(self._hand_out, context=self._context)

    def _hand_out(self) -> None:
        self.called = False
        letters = self.letters
        try:
            for _ in range(len(letters)):  # what comes meanwhile waits for its turn, as all else on the loop does
                recipient, items = letters.popleft()
                recipient.put(items)
        finally:
            if letters and not self.called:  # one of them went wrong: the others get theirs
                self.call()


class Mailbox(Generic[T]):
    """What a thread says to one task, or to whoever it is diverted to; on the loop."""

    __slots__ = ("_diverted", "_items", "_seen", "_waiter")

    def __init__(self) -> None:
        self._items: list[T] = []
        self._waiter: asyncio.Future[None] | None = None
        self._diverted: Callable[[list[T]], None] | None = None
        self._seen: Callable[[T], None] | None = None

    def put(self, items: list[T]) -> None:
        """Have more in it."""
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
