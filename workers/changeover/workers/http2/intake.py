"""The part of one stream's body that has come: as much as is taken of it, its client may send again."""

from collections.abc import Callable

from changeover.workers.http.incoming import Incoming


class Intake(Incoming):
    """Between the stream, which puts pieces in, and the application, which takes them.

    Args:
        on_wanted: Called whenever the application has taken everything and asks for more.
        acknowledge: Told how many bytes the client may send again.
    """

    __slots__ = ("_acknowledge", "_owed")

    def __init__(self, on_wanted: Callable[[], None], acknowledge: Callable[[int], None]) -> None:
        super().__init__(on_wanted)
        self._acknowledge = acknowledge
        self._owed = 0

    def put(self, piece: bytes, *, last: bool, parts: int = 0) -> None:
        """See `Incoming`."""
        self._owed += len(piece)
        super().put(piece, last=last, parts=parts)

    async def take(self) -> bytes | None:
        """See `Incoming`."""
        piece = await super().take()
        self.settle()
        return piece

    def settle(self) -> None:
        """Nothing of what has come counts any more."""
        owed, self._owed = self._owed, 0
        if owed:
            self._acknowledge(owed)
