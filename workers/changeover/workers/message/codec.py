"""What a protocol looks like on the wire: bytes in, messages out, and back. Without IO.

Public: re-exported by `changeover.plugin`.
"""

import enum
from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from changeover.workers.errors import ChangeoverError

M = TypeVar("M")

MOST_FRAME = 64 * 1024
"""Longest message with its framing, in bytes: one that is not complete has to fit what a connection takes along."""


class Goodbye(enum.Enum):
    """Why a connection is closed by the server."""

    MALFORMED = "malformed message"
    """What came is no message, or longer than allowed."""
    SLOW = "message not completed in time"
    """A message was begun and not completed in time."""
    IDLE = "idle for too long"
    """Nothing came for too long."""
    UNSERVED = "nothing serves this"
    """Nothing answers here any more, or not yet."""
    FAILED = "internal error"
    """A handler, the service or the codec failed; the log says how."""
    LEAVING = "going away, connect again"
    """The process ends, and nobody goes on with this connection."""


class MalformedMessage(ChangeoverError):
    """What a client sent is no message.

    Attributes:
        fact: What is wrong with it.
    """

    def __init__(self, fact: str) -> None:
        self.fact = fact
        super().__init__(fact)


class Codec(ABC, Generic[M]):
    """Cuts messages out of bytes, and makes bytes of messages.

    One object serves all connections, in every order: what it knows of one it is told each time.
    """

    @abstractmethod
    def decode(self, data: bytearray, start: int) -> tuple[M, int] | None:
        """Take one message.

        Args:
            data: What was read; not to be changed or kept.
            start: Where the message begins.

        Returns:
            The message, and where in `data` it ends; None when it is not complete yet.

        Raises:
            MalformedMessage: It can become no message.
        """

    @abstractmethod
    def encode(self, message: M) -> bytes:
        """The message as it is sent.

        Raises:
            ValueError: It cannot be sent.
        """

    def goodbye(self, goodbye: Goodbye) -> bytes:
        """What is sent last when the server closes; nothing unless overridden."""
        return b""
