"""A response's head: from status and fields to bytes, and how the body behind it is framed. Pure."""

import enum
import re
from http import HTTPStatus

import msgspec

from changeover.workers.http.faults import BadResponse, worded
from changeover.workers.http.fields import UNTRAILED, tokens
from changeover.workers.serving.exchange import BODILESS, RawHeaders
from changeover.workers.serving.message import LONGEST_KNOWN

NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9a-zA-Z-]+")
DIGITS = re.compile(rb"[0-9]{1,18}")


class Kind(enum.Enum):
    """What a field of a response means to framing."""

    PLAIN = enum.auto()
    LENGTH = enum.auto()
    CODING = enum.auto()
    CONNECTION = enum.auto()
    DATE = enum.auto()
    SERVER = enum.auto()


class Framing(enum.Enum):
    """How the client finds the end of the body."""

    NOTHING = enum.auto()
    """There is no body: HEAD, 204, 304."""
    LENGTH = enum.auto()
    """Content-Length."""
    CHUNKED = enum.auto()
    """Chunks."""
    CLOSE = enum.auto()
    """The connection ends: HTTP/1.0 without a length."""


_NOTHING, _SIZED, _CHUNKED, _CLOSE = Framing  # looking a member up costs at every request


TELLING = {
    b"content-length": Kind.LENGTH,
    b"transfer-encoding": Kind.CODING,
    b"connection": Kind.CONNECTION,
    b"date": Kind.DATE,
    b"server": Kind.SERVER,
}
KNOWN_NAMES = 1024
"""Names that were found valid and are remembered."""

_kinds = dict(TELLING)


_PLAIN, _LENGTH, _CODING, _CONNECTION, _DATE, _SERVER = Kind


def _learn(name: bytes) -> Kind:
    if NAME.fullmatch(name) is None:
        raise BadResponse(f"{name!r} is no field name")
    kind = TELLING.get(name.lower(), Kind.PLAIN)
    if len(name) <= LONGEST_KNOWN:
        if len(_kinds) >= KNOWN_NAMES:
            _kinds.clear()
            _kinds.update(TELLING)
        _kinds[name] = kind
    return kind


def _status_line(status: int) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}\r\n".encode("ascii")


WANTED = {426: b"upgrade: websocket\r\nsec-websocket-version: 13\r\n"}
"""What an answer of the server's own says further."""
STATUS_LINES = {status: _status_line(status) for status in range(200, 600)}


class ResponseHead(msgspec.Struct, gc=False):
    """The head as far as the application determines it. Remembered for a second at most, for others like it.

    Attributes:
        status: 200 to 599.
        lines: Status line and fields, Content-Length included, without the connection's own.
        length: The Content-Length that the application gave, or that of a body that was at hand.
        persistent: False when the application wants the connection closed.
        dated: Whether the application gave a Date.
        served: Whether the application gave a Server.
        framing: Of its body, for requests whose head is plain.
        whole: The whole head for a connection that has nothing of its own to say; empty where there is no telling.
    """

    status: int
    lines: bytes
    length: int | None
    persistent: bool
    dated: bool
    served: bool
    framing: Framing = Framing.CHUNKED
    whole: bytes = b""


def encode_head(status: int, fields: RawHeaders, size: int | None = None) -> ResponseHead:
    """Encode what the application gave.

    Args:
        status: Of the response.
        fields: In order.
        size: Bytes of the body, where they are known: its Content-Length, if the application gave none.

    Raises:
        BadResponse: It would break the framing, or split the response.
    """
    line = STATUS_LINES.get(status)
    if line is None:
        raise BadResponse(f"{status!r} is no status of a final response")
    lines = [line]
    length: int | None = None
    persistent, dated, served = True, False, False
    for name, value in fields:
        kind = _kinds.get(name) or _learn(name)
        if kind is not _PLAIN:
            if kind is _LENGTH:
                length = _length(value, length)
                continue
            if kind is _CODING:
                _check_coding(value)
                continue
            if kind is _CONNECTION:
                persistent = persistent and b"close" not in tokens([value])
                continue
            dated, served = dated or kind is _DATE, served or kind is _SERVER
        lines.append(name + b": " + value + b"\r\n")
    encoded = b"".join(lines)
    count = len(lines)
    if encoded.count(b"\n") != count or encoded.count(b"\r") != count or b"\0" in encoded:
        raise BadResponse("a field has a line break or NUL in its value")
    if length is None:
        length = size
    if length is not None:
        encoded += framing_lines(Framing.LENGTH, status, length)
    head = ResponseHead(status, encoded, length, persistent, dated, served)
    head.framing = choose_framing(head, "GET", "1.1", length)
    return head


def encode_trailers(fields: RawHeaders) -> bytes:
    """Encode fields that stand behind a body.

    Raises:
        BadResponse: One of them says how the message is read, or would end it.
    """
    lines = []
    for name, value in fields:
        if (_kinds.get(name) or _learn(name)) is not _PLAIN or name.lower() in UNTRAILED:
            raise BadResponse(f"{name!r} cannot stand behind the body")
        if b"\r" in value or b"\n" in value or b"\0" in value:
            raise BadResponse("a field has a line break or NUL in its value")
        lines.append(name + b": " + value + b"\r\n")
    return b"".join(lines)


def _length(value: bytes, before: int | None) -> int:
    if DIGITS.fullmatch(value) is None or before not in (None, int(value)):
        raise BadResponse("Content-Length is no number, or is given twice")
    return int(value)


def _check_coding(value: bytes) -> None:
    if value.lower() != b"chunked":
        raise BadResponse(f"the transfer coding {value!r} is not served; leave framing to the server")


def choose_framing(head: ResponseHead, method: str, version: str, length: int | None) -> Framing:
    """Say how the body is framed.

    Args:
        head: What the application gave.
        method: Of the request.
        version: Of the request.
        length: The body's length, when it is known.
    """
    if method == "HEAD" or head.status in BODILESS:
        return _NOTHING
    if length is not None:
        return _SIZED
    return _CHUNKED if version == "1.1" else _CLOSE


def framing_lines(framing: Framing, status: int, length: int | None) -> bytes:
    """The fields that tell the client how the body is framed."""
    if framing is _CHUNKED:
        return b"transfer-encoding: chunked\r\n"
    if length is None or status == 204:
        return b""
    return b"content-length: %d\r\n" % length


def connection_lines(version: str, *, persistent: bool) -> bytes:
    """The fields that tell the client what becomes of the connection."""
    if not persistent:
        return b"connection: close\r\n"
    return b"connection: keep-alive\r\n" if version == "1.0" else b""


def error_response(status: int, fact: str) -> tuple[bytes, bytes]:
    """A short answer of the server's own, after which the connection is closed: lines of its head, and its body."""
    body = worded(fact)
    line = STATUS_LINES[status] + WANTED.get(status, b"")
    return line + b"content-type: text/plain\r\ncontent-length: %d\r\nconnection: close\r\n" % len(body), body
