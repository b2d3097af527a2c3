"""The ready-made codecs: lines, and frames that begin with their length.

Public: re-exported by `changeover.plugin`.
"""

from collections.abc import Mapping
from types import MappingProxyType

from changeover.workers.message.codec import MOST_FRAME, Codec, Goodbye, MalformedMessage

_WIDTHS = (1, 2, 4)
_NONE: Mapping[Goodbye, bytes] = MappingProxyType({})


class LineCodec(Codec[str]):
    r"""A message is a line of text, ended by `\n`; a `\r` before it is dropped.

    Args:
        longest: Most bytes of a line, without its end.
        encoding: How text is written.
        goodbyes: The last line that a client gets, by why; none where it is left out.

    Raises:
        ValueError: `longest` is less than 1, or does not fit 64 KiB with the line's end.
    """

    def __init__(
        self, longest: int = 8192, *, encoding: str = "utf-8", goodbyes: Mapping[Goodbye, str] | None = None
    ) -> None:
        _check_longest(longest, len(b"\r\n"))
        self._longest = longest
        self._encoding = encoding
        self._goodbyes = {why: self.encode(line) for why, line in (goodbyes or {}).items()}

    def decode(self, data: bytearray, start: int) -> tuple[str, int] | None:
        """See `Codec`."""
        end = data.find(b"\n", start)
        if end < 0:
            if len(data) - start > self._longest + 1:  # a \r may be the last byte
                raise MalformedMessage(f"a line is longer than {self._longest} bytes")
            return None
        line = bytes(data[start:end]).removesuffix(b"\r")
        if len(line) > self._longest:
            raise MalformedMessage(f"a line is longer than {self._longest} bytes")
        try:
            return line.decode(self._encoding), end + 1
        except UnicodeDecodeError as error:
            raise MalformedMessage(f"a line is not {self._encoding}: {error.reason}") from None

    def encode(self, message: str) -> bytes:
        """See `Codec`."""
        if "\n" in message:
            raise ValueError("a line has a line break in it")
        return message.encode(self._encoding) + b"\n"

    def goodbye(self, goodbye: Goodbye) -> bytes:
        """See `Codec`."""
        return self._goodbyes.get(goodbye, b"")


class FrameCodec(Codec[bytes]):
    """A message is a number of bytes, after that number.

    Args:
        longest: Most bytes of a message, without its length.
        width: Bytes of the length, the most significant one first: 1, 2 or 4.
        goodbyes: The last message that a client gets, by why; none where it is left out.

    Raises:
        ValueError: `width` is another one, or `longest` is less than 1 or does not fit `width` and 64 KiB.
    """

    def __init__(
        self, longest: int = 32 * 1024, *, width: int = 4, goodbyes: Mapping[Goodbye, bytes] | None = None
    ) -> None:
        if width not in _WIDTHS:
            raise ValueError(f"a length of {width} bytes: it has {', '.join(map(str, _WIDTHS))}")
        _check_longest(longest, width)
        if longest >= 1 << 8 * width:
            raise ValueError(f"{longest} does not fit a length of {width} bytes")
        self._longest = longest
        self._width = width
        self._goodbyes = {why: self.encode(message) for why, message in (goodbyes or _NONE).items()}

    def decode(self, data: bytearray, start: int) -> tuple[bytes, int] | None:
        """See `Codec`."""
        begin = start + self._width
        if len(data) < begin:
            return None
        length = int.from_bytes(data[start:begin])
        if length > self._longest:
            raise MalformedMessage(f"a message of {length} bytes is announced, and {self._longest} are allowed")
        end = begin + length
        return (bytes(data[begin:end]), end) if len(data) >= end else None

    def encode(self, message: bytes) -> bytes:
        """See `Codec`."""
        if len(message) >= 1 << 8 * self._width:
            raise ValueError(f"{len(message)} bytes do not fit a length of {self._width} bytes")
        return len(message).to_bytes(self._width) + message

    def goodbye(self, goodbye: Goodbye) -> bytes:
        """See `Codec`."""
        return self._goodbyes.get(goodbye, b"")


def _check_longest(longest: int, framing: int) -> None:
    if not 0 < longest <= MOST_FRAME - framing:
        raise ValueError(f"longest = {longest}: a message has 1 to {MOST_FRAME - framing} bytes")
