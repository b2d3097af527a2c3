"""A request's head: from the fields of a stream to facts, by the rules of RFC 9113, 8. Pure.

The library is asked not to judge fields: it would end the connection, and with it every other
stream, for what is one stream's mistake.
"""

import re
from collections.abc import Iterable, Sequence

from changeover.workers.channel.limits import Limits
from changeover.workers.http.body import MAX_EXTRA
from changeover.workers.http.faults import BadMessage
from changeover.workers.http.fields import UNTRAILED, Expectation
from changeover.workers.http.target import is_authority, split_target
from changeover.workers.http2.faults import Malformed
from changeover.workers.serving.request_head import RequestHead, RequestTarget

Field = tuple[bytes, bytes]

NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
METHOD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
VALUE = re.compile(rb"(?![ \t])[^\0\r\n]*(?<![ \t])")
OVERHEAD = 32
"""What a field counts for beside its bytes (RFC 9113, 6.5.2)."""
PSEUDO = frozenset({b":method", b":scheme", b":authority", b":path"})
FORBIDDEN = frozenset({b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"})
HTTP2 = "2"
SCHEMES = frozenset({b"http", b"https"})


class StreamHead(RequestHead, frozen=True):
    """A request's head: `host` is the first of its fields.

    Attributes:
        length: Bytes of the body, as far as announced.
        expectation: What the client waits for.
    """

    length: int | None
    expectation: Expectation


def refused_head(fields: Iterable[Field]) -> StreamHead:
    """Stands for one that cannot be served, of which no more is known than whether its answer may have a body."""
    method = "HEAD" if (b":method", b"HEAD") in fields else "GET"
    return StreamHead(method, RequestTarget("/", b"/", b""), (), HTTP2, None, Expectation.NONE)


def parse_head(fields: Iterable[Field], limits: Limits) -> StreamHead:
    """Read the fields that open a stream.

    Raises:
        Malformed: They open none.
        BadMessage: The request cannot be served.
    """
    pseudo, plain, size = _divided(fields)
    method, path = _required(pseudo, b":method"), pseudo.get(b":path", b"")
    if METHOD.fullmatch(method) is None:
        raise Malformed("its method is none")
    if method == b"CONNECT":
        raise BadMessage(501, "CONNECT is not served")
    if _required(pseudo, b":scheme").lower() not in SCHEMES:
        raise Malformed("its scheme is neither http nor https")
    if not path.startswith(b"/") and path != b"*":
        raise Malformed("its path does not begin with a slash")
    if any(byte <= 0x20 or byte == 0x7F for byte in path):
        raise Malformed("its path has a space or control character in it")
    _bound(len(path), len(plain), size, limits)
    host = _host(pseudo.get(b":authority"), [value for name, value in plain if name == b"host"])
    return StreamHead(
        method.decode("ascii"),
        split_target(method.decode("ascii"), path),
        ((b"host", host), *_joined(plain)),
        HTTP2,
        _length([value for name, value in plain if name == b"content-length"], limits),
        _expectation([value for name, value in plain if name == b"expect"]),
    )


def parse_trailers(fields: Iterable[Field]) -> list[Field]:
    """Read the fields behind a stream's body.

    Raises:
        BadMessage: One of them cannot stand there, or they take too much.
    """
    found = [(bytes(name), bytes(value)) for name, value in fields]
    if sum(len(name) + len(value) for name, value in found) > MAX_EXTRA:
        raise BadMessage(400, f"trailers take more than {MAX_EXTRA} bytes")
    for name, value in found:
        if NAME.fullmatch(name) is None or VALUE.fullmatch(value) is None:
            raise BadMessage(400, "a trailer is no header field")
        if name in UNTRAILED or name in FORBIDDEN:
            raise BadMessage(400, f"{name.decode()} cannot be a trailer")
    return found


def _divided(fields: Iterable[Field]) -> tuple[dict[bytes, bytes], list[Field], int]:
    pseudo: dict[bytes, bytes] = {}
    plain: list[Field] = []
    size = 0
    for name, value in fields:
        size += len(name) + len(value) + OVERHEAD
        if VALUE.fullmatch(value) is None:
            raise Malformed("a field has blanks around its value, or a line break or NUL in it")
        if name[:1] == b":":
            if plain or name in pseudo or name not in PSEUDO:
                raise Malformed("a field with a colon is unknown, repeated, or behind others")
            pseudo[name] = value
        else:
            _check_plain(name, value)
            plain.append((bytes(name), bytes(value)))
    return pseudo, plain, size


def _check_plain(name: bytes, value: bytes) -> None:
    if NAME.fullmatch(name) is None:
        raise Malformed("a field's name is none")
    if name in FORBIDDEN or (name == b"te" and value.lower() != b"trailers"):
        raise Malformed("a field is about the connection, which is not HTTP/1.1")


def _required(pseudo: dict[bytes, bytes], name: bytes) -> bytes:
    value = pseudo.get(name)
    if not value:
        raise Malformed(f"it has no {name.decode()}")
    return value


def _bound(path: int, count: int, size: int, limits: Limits) -> None:
    if path > limits.url:
        raise BadMessage(414, f"the request target is longer than {limits.url} bytes")
    if size > limits.head:
        raise BadMessage(431, f"the request head is longer than {limits.head} bytes")
    if count > limits.fields:
        raise BadMessage(431, f"the request has more than {limits.fields} header fields")


def _host(authority: bytes | None, hosts: Sequence[bytes]) -> bytes:
    if len({*hosts, *(() if authority is None else (authority,))}) != 1 or len(hosts) > 1:
        raise BadMessage(400, "there must be exactly one :authority or Host field")
    host = hosts[0] if authority is None else authority
    if not is_authority(host):
        raise BadMessage(400, "the authority is no host with an optional port")
    return bytes(host)


def _joined(plain: Sequence[Field]) -> list[Field]:
    """Without `host`, and with all pieces of `cookie` in one, as applications know it."""
    cookies = [value for name, value in plain if name == b"cookie"]
    fields = [field for field in plain if field[0] not in (b"host", b"cookie")]
    return [*fields, (b"cookie", b"; ".join(cookies))] if cookies else fields


def _length(lengths: Sequence[bytes], limits: Limits) -> int | None:
    if not lengths:
        return None
    if len(lengths) > 1 or not lengths[0].isdigit() or len(lengths[0]) > 18:
        raise BadMessage(400, "Content-Length is repeated or no number")
    length = int(lengths[0])
    if 0 < limits.body < length:
        raise BadMessage(413, f"the request body is longer than {limits.body} bytes")
    return length


def _expectation(expect: Sequence[bytes]) -> Expectation:
    if not expect:
        return Expectation.NONE
    if len(expect) > 1 or expect[0].lower() != b"100-continue":
        raise BadMessage(417, "the only expectation served is 100-continue")
    return Expectation.CONTINUE
