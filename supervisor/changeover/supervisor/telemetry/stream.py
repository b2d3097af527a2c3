"""The latest records, numbered, and everybody who follows them."""

import asyncio
import enum
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager

import msgspec

KEPT = 1000
"""Events that are kept for those who come late."""

BACKLOG = 1000
"""Events that a slow follower may fall behind before it loses the oldest."""


class Level(enum.Enum):
    """How much an event asks of a person."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Told(msgspec.Struct, frozen=True):
    """One record, told.

    Attributes:
        sequence: Its number since this supervisor started, from 1.
        at: Wall clock, seconds since 1970.
        level: How much it asks of a person.
        type: Name of the record (`docs/events.md` has its fields).
        line: The record in words.
        record: The record itself, JSON.
    """

    sequence: int
    at: float
    level: Level
    type: str
    line: str
    record: msgspec.Raw


class Stream:
    """A ring of the latest events, and a bounded queue for each follower.

    A follower that is too slow loses its oldest events, never its place: the next number tells it how many.
    """

    def __init__(self, kept: int = KEPT, backlog: int = BACKLOG) -> None:
        self._kept: deque[Told] = deque(maxlen=kept)
        self._backlog = backlog
        self._followers: set[_Follower] = set()
        self._listeners: list[Callable[[Told], None]] = []
        self._sequence = 0
        self._closed = False

    @property
    def sequence(self) -> int:
        """Number of the last event, 0 before the first."""
        return self._sequence

    def publish(self, at: float, level: Level, type: str, line: str, record: msgspec.Raw) -> Told:
        """Number an event, keep it, and hand it to every follower; never waits."""
        self._sequence += 1
        event = Told(self._sequence, at, level, type, line, record)
        self._kept.append(event)
        for follower in self._followers:
            follower.push(event)
        for listener in self._listeners:
            listener(event)
        return event

    @contextmanager
    def heard_by(self, listener: Callable[[Told], None] | None) -> Iterator[None]:
        """Call `listener` with every event published meanwhile; it must not block or raise."""
        if listener is None:
            yield
            return
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    def since(self, after: int) -> tuple[Told, ...]:
        """Kept events whose number is above `after`."""
        return tuple(event for event in self._kept if event.sequence > after)

    async def follow(self, after: int | None = None) -> AsyncGenerator[Told, None]:
        """Yield kept events above `after` (None: none of them), then every one as it comes, until `close`.

        Args:
            after: Number of the last event seen; one from the future (of an earlier supervisor) counts as 0.
        """
        if after is not None and after > self._sequence:
            after = 0
        follower = _Follower(() if after is None else self.since(after), self._backlog)
        if self._closed:
            follower.close()
        self._followers.add(follower)
        try:
            while (event := await follower.pull()) is not None:
                yield event
        finally:
            self._followers.discard(follower)

    def close(self) -> None:
        """Let every follower end after what it has still to read."""
        self._closed = True
        for follower in self._followers:
            follower.close()


class _Follower:
    __slots__ = ("_closed", "_queue", "_wake")

    def __init__(self, first: tuple[Told, ...], backlog: int) -> None:
        self._queue: deque[Told] = deque(first, maxlen=max(backlog, len(first)))
        self._wake = asyncio.Event()
        self._closed = False

    def push(self, event: Told) -> None:
        self._queue.append(event)
        self._wake.set()

    def close(self) -> None:
        self._closed = True
        self._wake.set()

    async def pull(self) -> Told | None:
        while not self._queue:
            if self._closed:
                return None
            self._wake.clear()
            await self._wake.wait()
        return self._queue.popleft()
