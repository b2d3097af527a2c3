"""A response's head: from status and fields to the fields of a stream. Pure."""

import re

import msgspec

from changeover.workers.http.faults import BadResponse
from changeover.workers.serving.exchange import RawHeaders

NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
BREAKING = re.compile(rb"[\0\r\n]")
DIGITS = re.compile(rb"[0-9]{1,18}")
STATUSES = range(200, 600)
FOR_CONNECTIONS = frozenset({b"connection", b"proxy-connection", b"keep-alive", b"upgrade"})


class ResponseHead(msgspec.Struct, frozen=True):
    """The head as far as the application determines it.

    Attributes:
        status: 200 to 599.
        fields: `:status` first, without Content-Length, and without what is about an HTTP/1.1 connection.
        length: The Content-Length that the application gave.
        dated: Whether the application gave a Date.
        served: Whether the application gave a Server.
    """

    status: int
    fields: tuple[tuple[bytes, bytes], ...]
    length: int | None
    dated: bool
    served: bool


def encode_head(status: int, fields: RawHeaders) -> ResponseHead:
    """Put in order what the application gave.

    Raises:
        BadResponse: It would break the framing.
    """
    if status not in STATUSES:
        raise BadResponse(f"{status!r} is no status of a final response")
    kept = [(b":status", b"%d" % status)]
    length: int | None = None
    for given, value in fields:
        name = given.lower()
        if NAME.fullmatch(name) is None:
            raise BadResponse(f"{given!r} is no field name")
        if BREAKING.search(value) is not None:
            raise BadResponse("a field has a line break or NUL in its value")
        if name == b"content-length":
            length = _length(value, length)
        elif name == b"transfer-encoding":
            _check_coding(value)
        elif name not in FOR_CONNECTIONS:
            kept.append((bytes(name), bytes(value).strip(b" \t")))
    names = {name for name, _ in kept}
    return ResponseHead(status, tuple(kept), length, b"date" in names, b"server" in names)


def _length(value: bytes, before: int | None) -> int:
    if DIGITS.fullmatch(value) is None or before not in (None, int(value)):
        raise BadResponse("Content-Length is no number, or is given twice")
    return int(value)


def _check_coding(value: bytes) -> None:
    if value.lower() != b"chunked":
        raise BadResponse(f"the transfer coding {value!r} is not served; leave framing to the server")
