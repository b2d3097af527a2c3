"""Request bodies: where they end, and what they carry.

The connection has to know where a message ends before anything else may look at what follows it,
so framing is found here and not by the parser: a body takes its own bytes of what it is fed and
leaves the rest alone. Chunked bodies are scanned for their end, and what the scanner takes is
decoded, and judged once more, by httptools. Pure: no IO.
"""

import enum
import re
from typing import ClassVar

import httptools

from changeover.workers.http.faults import BadMessage
from changeover.workers.http.fields import CHUNKED, UNTRAILED

SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[^\r\n\0]*)?")
MAX_LINE = 4 * 1024
"""Longest size line with its extension, and longest trailer field."""
MAX_EXTRA = 16 * 1024
"""Most bytes that extensions and trailers of one body may have together."""
TRAILER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*\r\n")
PREAMBLE = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
"""Puts a parser where a chunked body begins."""


class LengthBody:
    """A body whose length its head told.

    Attributes:
        remaining: Bytes to come.
        trailers: Nothing: only chunks have fields behind them.
        parts: No chunks, whatever is fed.
    """

    parts: ClassVar[int] = 0
    __slots__ = ("remaining", "trailers")

    def __init__(self, length: int) -> None:
        self.remaining: int = length
        self.trailers: list[tuple[bytes, bytes]] = []

    @property
    def complete(self) -> bool:
        """Whether the last byte was taken."""
        return self.remaining == 0

    def feed(self, data: bytes) -> tuple[bytes, int]:
        """Take what belongs to the body.

        Returns:
            The content, and how many bytes of `data` were taken.
        """
        piece = data if len(data) <= self.remaining else data[: self.remaining]
        self.remaining -= len(piece)
        return piece, len(piece)


class Place(enum.Enum):
    """Where in a chunked body the scanner is."""

    SIZE = enum.auto()
    """In a size line."""
    DATA = enum.auto()
    """In a chunk's content or the line end behind it."""
    TRAILER = enum.auto()
    """Behind the last chunk."""
    END = enum.auto()
    """Behind the empty line that ends the message."""


class ChunkScanner:
    """Finds the end of a chunked body.

    Args:
        limit: Most bytes of content, 0 = unlimited.

    Attributes:
        place: Where it is.
        trailers: Lower-case names and values of the fields behind the last chunk.
        chunks: How many have begun.
    """

    __slots__ = ("_extra", "_left", "_limit", "_line", "_size", "chunks", "place", "trailers")

    def __init__(self, limit: int) -> None:
        self.place = Place.SIZE
        self.trailers: list[tuple[bytes, bytes]] = []
        self.chunks = 0
        self._limit = limit
        self._size = 0
        self._left = 0
        self._extra = 0
        self._line = b""

    def scan(self, data: bytes) -> int:
        """Go on through `data`.

        Returns:
            How many bytes of it belong to the body; all of them unless its end was found.

        Raises:
            BadMessage: It is no chunked body, or longer than allowed.
        """
        offset = 0
        while offset < len(data) and self.place is not Place.END:
            offset = (self._skip if self.place is Place.DATA else self._read_line)(data, offset)
        return offset

    def _skip(self, data: bytes, offset: int) -> int:
        step = min(self._left, len(data) - offset)
        self._left -= step
        if self._left == 0:
            self.place = Place.SIZE
        return offset + step

    def _read_line(self, data: bytes, offset: int) -> int:
        found = data.find(b"\n", offset)
        end = len(data) if found < 0 else found + 1
        self._line += data[offset:end]
        if len(self._line) > MAX_LINE:
            raise BadMessage(400, f"a chunk's size line or a trailer is longer than {MAX_LINE} bytes")
        if found >= 0:
            line, self._line = self._line, b""
            self._end_line(line)
        return end

    def _end_line(self, line: bytes) -> None:
        if not line.endswith(b"\r\n"):
            raise BadMessage(400, "lines end with CR LF")
        if self.place is Place.TRAILER:
            self._trailer(line)
        else:
            self._size_line(line[:-2])

    def _trailer(self, line: bytes) -> None:
        if line == b"\r\n":
            self.place = Place.END
            return
        self._bound_extra(len(line))
        match = TRAILER.fullmatch(line)
        if match is None:
            raise BadMessage(400, "a trailer is no header field")
        name = match[1].lower()
        if name in UNTRAILED:
            raise BadMessage(400, f"{name.decode()} cannot be a trailer")
        self.trailers.append((name, match[2]))

    def _size_line(self, line: bytes) -> None:
        match = SIZE_LINE.fullmatch(line)
        if match is None:
            raise BadMessage(400, "a chunk's size is no hexadecimal number")
        self._bound_extra(len(line) - len(match[1]))
        size = int(match[1], 16)
        self.chunks += 1
        self._size += size
        if 0 < self._limit < self._size:
            raise BadMessage(413, f"the request body is longer than {self._limit} bytes")
        self._left = size + 2
        self.place = Place.DATA if size else Place.TRAILER

    def _bound_extra(self, size: int) -> None:
        self._extra += size
        if self._extra > MAX_EXTRA:
            raise BadMessage(400, f"chunk extensions and trailers take more than {MAX_EXTRA} bytes")


class _Content:
    """What httptools decoded."""

    __slots__ = ("_pieces", "complete")

    def __init__(self) -> None:
        self.complete = False
        self._pieces: list[bytes] = []

    def on_body(self, piece: bytes) -> None:
        self._pieces.append(piece)

    def on_message_complete(self) -> None:
        self.complete = True

    def take(self) -> bytes:
        content = b"".join(self._pieces)
        self._pieces.clear()
        return content


class ChunkedBody:
    """A body in chunks.

    Args:
        limit: Most bytes of content, 0 = unlimited.

    Attributes:
        parts: Chunks that began in what was fed last.
    """

    __slots__ = ("_content", "_parser", "_scanner", "parts")

    def __init__(self, limit: int) -> None:
        self.parts = 0
        self._scanner = ChunkScanner(limit)
        self._content = _Content()
        self._parser = httptools.HttpRequestParser(self._content)
        self._parser.feed_data(PREAMBLE)

    @property
    def trailers(self) -> list[tuple[bytes, bytes]]:
        """The fields behind the last chunk, once it is complete."""
        return self._scanner.trailers

    @property
    def complete(self) -> bool:
        """Whether the last byte was taken."""
        return self._scanner.place is Place.END

    def feed(self, data: bytes) -> tuple[bytes, int]:
        """Take what belongs to the body.

        Returns:
            The content, and how many bytes of `data` were taken.

        Raises:
            BadMessage: It is no chunked body, or longer than allowed.
        """
        before = self._scanner.chunks
        taken = self._scanner.scan(data)
        self.parts = self._scanner.chunks - before
        try:
            self._parser.feed_data(data[:taken])
        except httptools.HttpParserError as error:
            raise BadMessage(400, str(error) or "this is no chunked body") from None
        if self.complete != self._content.complete:
            raise BadMessage(400, "the end of the chunked body is ambiguous")
        return self._content.take(), taken


Body = LengthBody | ChunkedBody


def body_of(length: int, limit: int) -> Body:
    """What reads a body of `length` bytes, or `CHUNKED`; `limit` bounds the latter."""
    return ChunkedBody(limit) if length == CHUNKED else LengthBody(length)


def least_to_come(body: Body | None) -> int:
    """The least number of bytes that are to come of a body; None has come."""
    return body.remaining if isinstance(body, LengthBody) else 0
