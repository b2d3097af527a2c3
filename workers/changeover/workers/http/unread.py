"""The raw bytes of a connection that nothing has looked behind yet. Pure."""

import re

from changeover.workers.channel.limits import Limits
from changeover.workers.http.head import END, check_beginning

BLANK = b"\r\n"
_blank_lines = re.compile(rb"(?:\r\n)++").match


class Unread:
    """Bytes since the end of the last message that was begun.

    Args:
        limits: Bounds on a head.

    Attributes:
        data: The bytes.
    """

    __slots__ = ("_limits", "_searched", "data")

    def __init__(self, limits: Limits) -> None:
        self.data = bytearray()
        self._limits = limits
        self._searched = 0

    @property
    def room(self) -> int:
        """How many bytes may still be added."""
        return self._limits.unread - len(self.data)

    def add(self, data: bytes) -> None:
        """Append what was read."""
        self.data += data

    def cut_head(self) -> bytes | None:
        """Cut a complete head off the front; None while there is none. Blank lines before it are dropped.

        Raises:
            BadMessage: What is there can become no valid head.
        """
        if self.data.startswith(BLANK):
            self.drop(_blank(self.data))
        if not self.data:
            return None
        end = self.data.find(END, max(0, self._searched - len(END) + 1))
        if end < 0:
            check_beginning(self.data, self._searched, self._limits)
            self._searched = len(self.data)
            return None
        return self.cut(end + len(END))

    def cut_body(self, size: int) -> bytes:
        """Cut a body of so many bytes off the front; empty while not all of it is there."""
        return self.cut(size) if 0 < size <= len(self.data) else b""

    def put_back(self, message: bytes) -> None:
        """Undo `cut_head` and `cut_body`: the message is nobody's yet."""
        self.data[:0] = message
        self._searched = 0

    def cut(self, size: int) -> bytes:
        """Cut bytes off the front."""
        taken = bytes(self.data[:size])
        self.drop(size)
        return taken

    def drop(self, size: int) -> None:
        """Forget bytes at the front."""
        del self.data[:size]
        self._searched = 0


def _blank(data: bytearray) -> int:
    """How many bytes of blank lines are at the front."""
    found = _blank_lines(data)
    return 0 if found is None else found.end()
