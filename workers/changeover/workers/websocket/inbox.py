"""Messages of a client between the wire, which puts frames in, and the application, which takes messages. Pure."""

from collections import deque

from websockets.frames import Frame, Opcode

from changeover.workers.serving.session import WebSocketMessage

HIGH_WATER = 64 * 1024
"""Nothing more is read at this many bytes that the application has not taken."""


class Inbox:
    """Whole messages, and the beginning of the next one.

    Args:
        most: At this many messages that were not taken nothing more is read.

    Attributes:
        messages: The whole ones, the oldest first.
    """

    __slots__ = ("_beginning", "_most", "_size", "_text", "messages")

    def __init__(self, most: int) -> None:
        self._most = most
        self.messages: deque[WebSocketMessage] = deque()
        self._size = 0
        self._beginning: bytearray | None = None
        self._text = False

    @property
    def full(self) -> bool:
        """Whether nothing more should be read until the application takes some."""
        return self._size >= HIGH_WATER or len(self.messages) >= self._most

    def put(self, frame: Frame) -> None:
        """Add a data frame; pieces of a message are joined.

        Raises:
            UnicodeDecodeError: A text is not UTF-8.
        """
        if frame.opcode is not Opcode.CONT:
            self._text = frame.opcode is Opcode.TEXT
            if frame.fin:
                self._add(frame.data)
            else:
                self._beginning = bytearray(frame.data)
            return
        assert self._beginning is not None, "a continuation of nothing is no frame"
        self._beginning += frame.data
        if frame.fin:
            whole, self._beginning = self._beginning, None
            self._add(whole)

    def add(self, message: WebSocketMessage) -> None:
        """Add a whole message."""
        self.messages.append(message)
        self._size += len(message)

    def pop(self) -> WebSocketMessage:
        """Take the oldest message."""
        message = self.messages.popleft()
        self._size -= len(message)
        return message

    def _add(self, data: bytes | bytearray | memoryview) -> None:
        self.add(str(data, "utf-8") if self._text else bytes(data))
