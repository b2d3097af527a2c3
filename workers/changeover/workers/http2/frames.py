"""Cuts the bytes of a client into frames, before a parser sees them. Pure.

So nothing is waited for that is too long, what costs the client nothing is counted, and a frame is
dealt with before the next one is looked at.
"""

import msgspec

from changeover.workers.http2.faults import Violation

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADER = 9
"""Bytes of a frame beside its payload."""
LONGEST = 16 * 1024
"""Longest payload: what RFC 9113 demands, and nobody is told of more."""

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS = 0x1, 0x1, 0x4
OPENING = frozenset({HEADERS, CONTINUATION})
FRAME_SIZE_ERROR, PROTOCOL_ERROR, CALM = 0x6, 0x1, 0xB


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One frame.

    Attributes:
        kind: Its type.
        flags: Its flags.
        length: Bytes of its payload.
        raw: All of it.
    """

    kind: int
    flags: int
    length: int
    raw: bytes


class Frames:
    """The frames of a connection, in order.

    Args:
        block: Most bytes of the fields of one message, as they are encoded.
    """

    __slots__ = ("_begun", "_block", "_data", "_prefaced", "_size")

    def __init__(self, block: int) -> None:
        self._data = bytearray()
        self._prefaced = False
        self._block = block
        self._size = 0
        self._begun = False

    @property
    def begun(self) -> bool:
        """Whether the rest of a frame, or of a message's fields, is to come."""
        return self._begun or bool(self._data)

    def add(self, data: bytes) -> None:
        """Append what was read."""
        self._data += data

    def take(self) -> Frame | None:
        """The next frame, once it is complete; the preface counts as one, of no type.

        Raises:
            Violation: The client does not speak HTTP/2, or a frame is too long.
        """
        if not self._prefaced:
            return self._take_preface()
        if len(self._data) < HEADER:
            return None
        length = int.from_bytes(self._data[:3], "big")
        if length > LONGEST:
            raise Violation(FRAME_SIZE_ERROR, f"a frame is longer than {LONGEST} bytes")
        if len(self._data) < HEADER + length:
            return None
        kind, flags = self._data[3], self._data[4]
        self._bound_fields(kind, flags, length)
        return self._cut(kind, flags, length)

    def _take_preface(self) -> Frame | None:
        if self._data[: len(PREFACE)] != PREFACE[: len(self._data)]:
            raise Violation(PROTOCOL_ERROR, "this is not the beginning of HTTP/2")
        if len(self._data) < len(PREFACE):
            return None
        self._prefaced = True
        return self._cut(-1, 0, len(PREFACE) - HEADER)

    def _bound_fields(self, kind: int, flags: int, length: int) -> None:
        if kind not in OPENING:
            return
        self._size = length + (self._size if kind == CONTINUATION else 0)
        self._begun = not flags & END_HEADERS
        if self._size > self._block:
            raise Violation(CALM, f"the fields of a message take more than {self._block} bytes")

    def _cut(self, kind: int, flags: int, length: int) -> Frame:
        raw = bytes(self._data[: HEADER + length])
        del self._data[: HEADER + length]
        return Frame(kind, flags, length, raw)
