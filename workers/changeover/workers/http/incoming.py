"""The part of a request body that has come and was not taken yet."""

import enum
from collections.abc import Callable

from changeover.workers.channel.waiters import Waiters
from changeover.workers.serving.exchange import Disconnected

HIGH_WATER = 96 * 1024
"""Most bytes that wait for the application to take them; the connection stops reading there.

So many are read at a time, too: from 128 KiB on malloc asks the kernel for every piece, and gives it back.
"""

MOST_PARTS = 256
"""Most chunks that wait, however small they are: each takes its time, and others have to have a turn."""
SMALL = 1024
"""Up to this size pieces that nobody takes are put together: one byte would cost forty otherwise."""


class Source(enum.Enum):
    """What is to be expected of the body."""

    OPEN = enum.auto()
    """More will come."""
    COMPLETE = enum.auto()
    """Its last byte has come."""
    BROKEN = enum.auto()
    """The client left before the last byte."""


def _unwanted() -> None:
    """Nothing more will come, whoever wants it: who brought it need not be kept for that."""


class Incoming:
    """Between the connection, which puts pieces in, and the application, which takes them.

    Args:
        on_wanted: Called whenever the application has taken everything and asks for more.

    Attributes:
        source: What is to be expected.
        size: Bytes that wait to be taken.
    """

    __slots__ = ("_on_wanted", "_parts", "_pieces", "_waiters", "size", "source")

    def __init__(self, on_wanted: Callable[[], None]) -> None:
        self.source = Source.OPEN
        self.size = self._parts = 0
        self._pieces: list[bytes] = []
        self._waiters = Waiters()
        self._on_wanted = on_wanted

    @property
    def full(self) -> bool:
        """Whether nothing more should be read until the application takes some."""
        return self.size >= HIGH_WATER or self._parts >= MOST_PARTS

    @property
    def wanted(self) -> bool:
        """Whether the application waits for more."""
        return not self._pieces and bool(self._waiters)

    def put(self, piece: bytes, *, last: bool, parts: int = 0) -> None:
        """Add a piece that came in so many chunks; `last` when it completes the body."""
        if piece:
            self._parts += parts
            self.size += len(piece)
            if self._pieces and len(self._pieces[-1]) + len(piece) <= SMALL:
                self._pieces[-1] += piece
            else:
                self._pieces.append(piece)
        if last:
            self.source = Source.COMPLETE
            self._on_wanted = _unwanted
        self._waiters.wake()

    def break_off(self) -> None:
        """The rest will not come."""
        if self.source is Source.OPEN:
            self.source = Source.BROKEN
            self._on_wanted = _unwanted
        self._waiters.wake()

    async def take(self) -> bytes | None:
        """Everything that has come, waiting for at least one byte; None at the end.

        Raises:
            Disconnected: The rest will not come.
        """
        while not self._pieces:
            if self.source is Source.COMPLETE:
                return None
            if self.source is Source.BROKEN:
                raise Disconnected("the client left before the end of the request body")
            self._on_wanted()
            await self._waiters.wait()
        return self._taken()

    def _taken(self) -> bytes:
        pieces, self._pieces, self.size, self._parts = self._pieces, [], 0, 0
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
