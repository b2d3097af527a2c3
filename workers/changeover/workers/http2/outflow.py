"""What an answer has yet to send, and whose turn it is. Pure."""

from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Outflow:
    """Pieces of a body on their way out.

    Attributes:
        size: Bytes that wait.
    """

    __slots__ = ("_offset", "_pieces", "size")

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self._offset = 0
        self.size = 0

    def add(self, piece: bytes) -> None:
        """Append a piece."""
        self._pieces.append(piece)
        self.size += len(piece)

    def cut(self, size: int) -> bytes:
        """Take up to `size` bytes off the front; a piece that fits is passed on as it is."""
        taken: list[bytes] = []
        while size and self._pieces:
            piece, left = self._pieces[0], len(self._pieces[0]) - self._offset
            if left <= size:
                taken.append(piece[self._offset :] if self._offset else piece)
                self._pieces.popleft()
                self._offset = 0
            else:
                taken.append(piece[self._offset : self._offset + size])
                self._offset += size
            self.size -= len(taken[-1])
            size -= len(taken[-1])
        return taken[0] if len(taken) == 1 else b"".join(taken)

    def clear(self) -> None:
        """Drop everything."""
        self._pieces.clear()
        self._offset = self.size = 0


class Rounds(Generic[T]):
    """Streams in turn: one frame each, then the next; those that wait for the client have none."""

    __slots__ = ("_blocked", "_ready")

    def __init__(self) -> None:
        self._ready: dict[T, None] = {}
        self._blocked: dict[T, None] = {}

    def __bool__(self) -> bool:
        """Whether it is anybody's turn."""
        return bool(self._ready)

    def want(self, stream: T) -> None:
        """It has something to send, and its turn comes unless it waits."""
        if stream not in self._blocked:
            self._ready.setdefault(stream)

    def next(self) -> T:
        """Whose turn it is; it has no further one until it wants one."""
        stream = next(iter(self._ready))
        del self._ready[stream]
        return stream

    def block(self, stream: T) -> None:
        """It waits for the client."""
        self._blocked[stream] = None

    def unblock(self, stream: T) -> None:
        """It need not wait any more."""
        if stream in self._blocked:
            del self._blocked[stream]
            self._ready[stream] = None

    def unblock_all(self) -> None:
        """Nobody need wait any more."""
        self._ready |= self._blocked
        self._blocked = {}

    def is_blocked(self, stream: T) -> bool:
        """Whether it waits for the client."""
        return stream in self._blocked

    def leave(self, stream: T) -> None:
        """It is gone."""
        self._ready.pop(stream, None)
        self._blocked.pop(stream, None)
