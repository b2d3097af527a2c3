"""Reads one HTTP/1.1 answer from bytes as they come, without doing any I/O."""

from dataclasses import dataclass

HEAD_END = b"\r\n\r\n"
LINE_END = b"\r\n"
LONGEST_HEAD = 64 * 1024


class Malformed(Exception):
    """What came is no HTTP/1.1 answer, or more than one."""


@dataclass(slots=True)
class Answer:
    """A whole answer.

    Attributes:
        status: Its status.
        fields: Header fields, lower-case names; of repeated ones the last.
        body: Without framing.
    """

    status: int
    fields: dict[bytes, bytes]
    body: bytes

    @property
    def closing(self) -> bool:
        """Whether it announces the end of the connection."""
        return b"close" in self.fields.get(b"connection", b"").lower()


class AnswerReader:
    """Takes bytes until one answer is whole; a new reader for each request.

    Attributes:
        begun: Whether any byte of the answer came.
    """

    __slots__ = ("_body", "_buffer", "_fields", "_length", "_status", "begun")

    def __init__(self) -> None:
        self.begun = False
        self._buffer = b""
        self._status = 0
        self._fields: dict[bytes, bytes] = {}
        self._length: int | None = None
        self._body = bytearray()

    def feed(self, data: bytes) -> Answer | None:
        """Take what came; the answer once it is whole.

        Raises:
            Malformed: It never can be.
        """
        self.begun = True
        self._buffer += data
        while not self._status:
            if not self._read_head():
                return None
        body = self._chunked() if self._length is None else self._sized(self._length)
        return None if body is None else Answer(self._status, self._fields, body)

    def _read_head(self) -> bool:
        head, separator, rest = self._buffer.partition(HEAD_END)
        if not separator:
            if len(head) > LONGEST_HEAD:
                raise Malformed(f"no end of the head within {LONGEST_HEAD} bytes")
            return False
        status_line, *lines = head.split(LINE_END)
        status = _status(status_line)
        self._buffer = rest
        if status >= 200:
            self._fields = dict(_field(line) for line in lines)
            self._length = _length(self._fields, status)
            self._status = status
        return bool(self._status) or bool(rest)

    def _sized(self, length: int) -> bytes | None:
        if len(self._buffer) < length:
            return None
        self._refuse_surplus(length)
        return self._buffer

    def _chunked(self) -> bytes | None:
        while True:
            line, separator, rest = self._buffer.partition(LINE_END)
            if not separator:
                return None
            size = _chunk_size(line)
            if len(rest) < size + len(LINE_END):
                return None
            if rest[size : size + 2] != LINE_END:
                raise Malformed(f"a chunk of {size} bytes is followed by {rest[size : size + 2]!r}")
            self._body += rest[:size]
            self._buffer = rest[size + 2 :]
            if not size:
                self._refuse_surplus(0)
                return bytes(self._body)

    def _refuse_surplus(self, length: int) -> None:
        if len(self._buffer) > length:
            raise Malformed(f"bytes after the answer's end: {self._buffer[length : length + 40]!r}")


def _status(line: bytes) -> int:
    version, _, rest = line.partition(b" ")
    code = rest[:3]
    if version != b"HTTP/1.1" or not code.isdigit():
        raise Malformed(f"no status line: {line[:60]!r}")
    return int(code)


def _field(line: bytes) -> tuple[bytes, bytes]:
    name, separator, value = line.partition(b":")
    if not separator or not name:
        raise Malformed(f"no header field: {line[:60]!r}")
    return name.lower(), value.strip()


def _length(fields: dict[bytes, bytes], status: int) -> int | None:
    if fields.get(b"transfer-encoding", b"").lower() == b"chunked":
        return None
    if status in (204, 304):
        return 0
    length = fields.get(b"content-length", b"")
    if not length.isdigit():
        raise Malformed("neither chunked nor with a length: it would end only with the connection")
    return int(length)


def _chunk_size(line: bytes) -> int:
    try:
        return int(line.partition(b";")[0], 16)
    except ValueError as error:
        raise Malformed(f"no chunk size: {line[:40]!r}") from error
