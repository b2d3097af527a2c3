"""What a keeper hears of a rehearsal: pipes that may bring anything, in any amount."""

import os

CHUNK = 64 * 1024
"""Bytes that are read at once: what a pipe holds."""
AT_LAST = 32
"""Chunks that are read at the most once nobody should write any more."""


class Heard:
    """The reading end of a pipe, and what came out of it.

    Args:
        fd: The end; owned from here on.
        most: Bytes that are kept, the last ones.

    Attributes:
        fd: The end.
        kept: What is kept.
        cut: Whether more came than that.
    """

    def __init__(self, fd: int, most: int) -> None:
        os.set_blocking(fd, False)
        self.fd = fd
        self.kept = bytearray()
        self.cut = False
        self._most = most

    def take(self) -> bytes | None:
        """Read what is there, at most `CHUNK` bytes: empty at the end, None when there is nothing now."""
        try:
            data = os.read(self.fd, CHUNK)
        except BlockingIOError:
            return None
        self.kept += data
        self.cut = self.cut or len(self.kept) > self._most
        del self.kept[: max(0, len(self.kept) - self._most)]
        return data

    def close(self) -> None:
        """Read what is left in the pipe, and close it."""
        for _ in range(AT_LAST):
            if not self.take():
                break
        os.close(self.fd)
