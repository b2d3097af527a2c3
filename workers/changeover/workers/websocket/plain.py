"""Frames of a WebSocket without extensions: whole messages are read and written here, all else by the library. Pure.

A message in one frame changes nothing for the frames behind it. So the library need not see it, as long as the library
itself stands between two messages; whether it does is told from the heads of the frames that it is given.
"""

import struct

from changeover.workers.serving.session import WebSocketMessage
from changeover.workers.websocket.inbox import Inbox

try:
    from websockets.speedups import apply_mask
except ImportError:  # where the library was installed without its compiled part
    from websockets.utils import apply_mask

_FIN = 0x80
_MASKED = 0x80
_CONTROL = 0x08
_WHOLE_TEXT, _WHOLE_BINARY = _FIN | 1, _FIN | 2
_SHORT, _LONG, _LONGER = 125, 126, 127
_head, _long_head, _longer_head = struct.Struct("!BB").pack, struct.Struct("!BBH").pack, struct.Struct("!BBQ").pack


class PlainFrames:
    """Takes whole messages out of what a client sends.

    Args:
        longest: Most bytes of a message.
    """

    __slots__ = ("_begun", "_head", "_longest", "_missing")

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._begun = False
        self._head = b""
        self._missing = 0

    def take(self, data: bytes, inbox: Inbox) -> bytes:
        """Put the whole messages with which `data` begins into the inbox; the rest is for the library.

        Raises:
            UnicodeDecodeError: A text is not UTF-8.
        """
        at, end = 0, len(data)
        if not (self._begun or self._head or self._missing):
            while end - at >= 6:
                first, length, mask = data[at], data[at + 1] - _MASKED, at + 2
                if (first != _WHOLE_TEXT and first != _WHOLE_BINARY) or length < 0 or length == _LONGER:
                    break
                if length == _LONG:
                    length, mask = data[mask] << 8 | data[mask + 1], mask + 2
                start = mask + 4
                behind = start + length
                if behind > end or length > self._longest:
                    break
                payload = apply_mask(data[start:behind], data[mask:start])
                inbox.add(str(payload, "utf-8") if first == _WHOLE_TEXT else payload)
                at = behind
            if at == end:
                return b""
        rest = data[at:]
        self._follow(rest)
        return rest

    def _follow(self, data: bytes) -> None:
        """See where it ends: in a frame, in the head of one, or behind one, in the middle of a message or not."""
        seen, at = self._head + data, self._missing
        while len(seen) - at >= 2:
            first, length, behind = seen[at], seen[at + 1] & ~_MASKED, at + 6
            if length > _SHORT:
                behind += 2 if length == _LONG else 8
                if len(seen) < behind - 4:
                    break
                length = int.from_bytes(seen[at + 2 : behind - 4])
            if not first & _CONTROL:
                self._begun = not first & _FIN
            at = behind + length
        self._head = seen[at:]
        self._missing = max(0, at - len(seen))


def framed(message: WebSocketMessage) -> tuple[bytes, bytes]:
    """The head of the frame that carries a whole message to the client, and what is in it."""
    first, payload = (_WHOLE_TEXT, message.encode()) if isinstance(message, str) else (_WHOLE_BINARY, message)
    size = len(payload)
    if size <= _SHORT:
        return _head(first, size), payload
    if size < 1 << 16:
        return _long_head(first, _LONG, size), payload
    return _longer_head(first, _LONGER, size), payload
