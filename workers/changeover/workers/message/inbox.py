"""The raw bytes of a connection that nothing was made of yet. Pure."""

from typing import Any

from changeover.workers.message.codec import MOST_FRAME, Codec, MalformedMessage


class Inbox:
    """Bytes since the end of the last message that was taken.

    Args:
        most: Most of them.
    """

    __slots__ = ("_data", "_most", "_start")

    def __init__(self, most: int) -> None:
        self._data = bytearray()
        self._start = 0
        self._most = min(most, MOST_FRAME)

    def __len__(self) -> int:
        return len(self._data) - self._start

    def __bytes__(self) -> bytes:
        return bytes(self._data[self._start :])

    @property
    def room(self) -> int:
        """How many bytes may still be added."""
        return self._most - len(self)

    def add(self, data: bytes) -> None:
        """Append what was read."""
        del self._data[: self._start]
        self._start = 0
        self._data += data

    def take(self, codec: Codec[Any]) -> tuple[Any] | None:
        """Take the next message; None while there is none.

        Raises:
            MalformedMessage: What is there can become none.
            ValueError: The codec names an end that cannot be: a bug in it.
        """
        if not self:
            return None
        found = codec.decode(self._data, self._start)
        if found is None:
            if self.room <= 0:
                raise MalformedMessage(f"a message is longer than {self._most} bytes")
            return None
        message, end = found
        if not self._start < end <= len(self._data):
            raise ValueError(f"{type(codec).__name__}.decode names an end that is outside of what it was given")
        self._start = end
        return (message,)

    def clear(self) -> None:
        """Forget all."""
        self._data.clear()
        self._start = 0
