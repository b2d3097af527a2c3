"""The header fields that say how a message is framed and what becomes of the connection after it."""

import enum
import re
from collections.abc import Sequence

import msgspec

from changeover.workers.http.faults import BadMessage
from changeover.workers.http.target import is_authority

RawFields = list[tuple[bytes, bytes]]

CHUNKED = -1
"""The length of a body whose chunks tell it."""

TELLING = frozenset({b"host", b"content-length", b"transfer-encoding", b"connection", b"expect"})
UNTRAILED = frozenset({b"host", b"content-length", b"transfer-encoding", b"connection", b"expect", b"te", b"trailer"})
"""What cannot come after the body: it says how the message is read, or where it goes."""
DIGITS = re.compile(rb"[0-9]{1,18}")


class Expectation(enum.Enum):
    """Whether the client waits for an interim response before it sends the body."""

    NONE = enum.auto()
    CONTINUE = enum.auto()


class Facts(msgspec.Struct, frozen=True, gc=False):
    """What the telling fields say.

    Attributes:
        persistent: Whether the client wants the connection to stay open.
        length: Bytes of the body, 0 for none, or `CHUNKED`.
        expectation: What the client waits for.
    """

    persistent: bool
    length: int
    expectation: Expectation


PLAIN = Facts(True, 0, Expectation.NONE)
"""HTTP/1.1 with a Host and no other telling field: most requests."""


def judge(fields: RawFields, version: str, body_limit: int) -> Facts:
    """Read the telling fields of one request.

    Args:
        fields: Lower-case names and values.
        version: `1.1` or `1.0`.
        body_limit: Longest body in bytes, 0 = unlimited.

    Raises:
        BadMessage: They contradict each other, or ask for what is not served.
    """
    telling = [field for field in fields if field[0] in TELLING]
    if len(telling) == 1 and version == "1.1" and telling[0][0] == b"host" and is_authority(telling[0][1]):
        return PLAIN
    _check_host(_values(telling, b"host"), version)
    return Facts(
        persistent=_persistent(_values(telling, b"connection"), version),
        length=_length(telling, version, body_limit),
        expectation=_expectation(_values(telling, b"expect"), version),
    )


def _values(telling: Sequence[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    return [value for key, value in telling if key == name]


def _check_host(hosts: Sequence[bytes], version: str) -> None:
    if len(hosts) > 1 or (not hosts and version == "1.1"):
        raise BadMessage(400, "there must be exactly one Host field")
    if hosts and not is_authority(hosts[0]):
        raise BadMessage(400, "the Host field is no host with an optional port")


def tokens(values: Sequence[bytes]) -> frozenset[bytes]:
    """The members of a comma-separated field, lower case."""
    return frozenset(token.strip(b" \t").lower() for value in values for token in value.split(b","))


def _persistent(connection: Sequence[bytes], version: str) -> bool:
    options = tokens(connection)
    if b"close" in options:
        return False
    return version == "1.1" or b"keep-alive" in options


def _length(telling: Sequence[tuple[bytes, bytes]], version: str, body_limit: int) -> int:
    codings = _values(telling, b"transfer-encoding")
    lengths = _values(telling, b"content-length")
    if codings:
        return _coded_length(codings, lengths, version)
    if not lengths:
        return 0
    if len(lengths) > 1 or DIGITS.fullmatch(lengths[0]) is None:
        raise BadMessage(400, "Content-Length is repeated or no number")
    length = int(lengths[0])
    if 0 < body_limit < length:
        raise BadMessage(413, f"the request body is longer than {body_limit} bytes")
    return length


def _coded_length(codings: Sequence[bytes], lengths: Sequence[bytes], version: str) -> int:
    if version != "1.1" or lengths:
        raise BadMessage(400, "Transfer-Encoding is for HTTP/1.1 and excludes Content-Length")
    if len(codings) > 1 or codings[0].lower() != b"chunked":
        raise BadMessage(501, "the only transfer coding served is chunked")
    return CHUNKED


def _expectation(expect: Sequence[bytes], version: str) -> Expectation:
    if not expect or version != "1.1":
        return Expectation.NONE
    if len(expect) > 1 or expect[0].lower() != b"100-continue":
        raise BadMessage(417, "the only expectation served is 100-continue")
    return Expectation.CONTINUE
