"""What a WSGI application gives `start_response`, checked while it still runs and can be told."""

import re
from typing import NoReturn

import msgspec

from changeover.workers.errors import ChangeoverError

HOP_BY_HOP = frozenset(
    {
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "trailers",
        "transfer-encoding",
        "upgrade",
    }
)
"""Fields that are the server's own business, and refused."""
KNOWN_NAMES = 1024
KNOWN_HEADS = 256
"""Most heads of responses that are remembered, each with what was read from it."""
LONGEST_HEAD = 1024
"""Most characters of one."""
LONGEST_LENGTH = 18
"""Most digits of a Content-Length."""

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-zA-Z-]+")
_STATUS = re.compile(r"([2-5][0-9]{2})(?: .*)?")
_names: dict[str, bytes] = {}
_statuses: dict[str, int] = {}
_heads: dict[tuple[object, ...], "WsgiHead"] = {}


class WsgiViolation(ChangeoverError):
    """A WSGI application did what PEP 3333 forbids.

    Attributes:
        fact: What it did, and what to do.
    """

    def __init__(self, fact: str) -> None:
        self.fact = fact
        super().__init__(fact)


class WsgiHead(msgspec.Struct, frozen=True, gc=False):
    """Status and fields of a response.

    Attributes:
        status: 200 to 599.
        fields: Names in lower case.
        length: The Content-Length among them.
    """

    status: int
    fields: tuple[tuple[bytes, bytes], ...]
    length: int | None


def checked_head(status: object, headers: object) -> WsgiHead:
    """Read what `start_response` was called with; what is like something recent costs little.

    Raises:
        WsgiViolation: It cannot be sent.
    """
    if type(headers) is not list:
        return _read(status, headers)
    key = (status, *headers)
    try:
        known = _heads.get(key)
    except TypeError:  # what has no hash is nothing that can be sent
        return _read(status, headers)
    if known is None:
        known = _read(status, headers)
        if _is_plain(status, headers) and sum(len(name) + len(value) for name, value in headers) <= LONGEST_HEAD:
            if len(_heads) >= KNOWN_HEADS:
                _heads.clear()
            _heads[key] = known
    return known


def _is_plain(status: object, headers: list[tuple[str, str]]) -> bool:
    """Whether nothing in it is of a class that an application has made, which would be kept with it."""
    return type(status) is str and all(
        type(pair) is tuple and type(pair[0]) is str and type(pair[1]) is str for pair in headers
    )


def _read(status: object, headers: object) -> WsgiHead:
    code = (_statuses.get(status) or _learn_status(status)) if isinstance(status, str) else _no_status(status)
    if not isinstance(headers, list):
        raise WsgiViolation(f"start_response was called with headers in a {type(headers).__name__}; give a list")
    fields = []
    length: int | None = None
    for pair in headers:
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise WsgiViolation(f"{pair!r} among the headers is no tuple of name and value")
        name, value = pair
        if not isinstance(name, str) or not isinstance(value, str):
            raise WsgiViolation(f"the header {name!r}: {value!r} is not two strings")
        known, encoded = _names.get(name) or _learn(name), value.encode() if value.isascii() else _latin(name, value)
        if known == b"content-length":
            length = _length(encoded, length)
        elif b"\n" in encoded or b"\r" in encoded or b"\0" in encoded:
            raise WsgiViolation("a header's value has a line break or NUL")
        fields.append((known, encoded))
    return WsgiHead(code, tuple(fields), length)


def _latin(name: str, value: str) -> bytes:
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        fact = f"the header {name!r}: {value!r} has characters outside latin-1; encode them, as UTF-8 in latin-1 say"
        raise WsgiViolation(fact) from None


def _learn_status(status: str) -> int:
    matched = _STATUS.fullmatch(status)
    if matched is None:
        _no_status(status)
    if len(_statuses) >= KNOWN_NAMES:
        _statuses.clear()
    code = _statuses[status] = int(matched[1])
    return code


def _no_status(status: object) -> NoReturn:
    raise WsgiViolation(f"start_response was called with the status {status!r}; write it like '200 OK'")


def _learn(name: str) -> bytes:
    if _NAME.fullmatch(name) is None:
        raise WsgiViolation(f"{name!r} is no name of a header")
    if name.lower() in HOP_BY_HOP:
        raise WsgiViolation(f"the header {name} is about one connection, which is the server's business; leave it out")
    if len(_names) >= KNOWN_NAMES:
        _names.clear()
    encoded = _names[name] = name.lower().encode("ascii")
    return encoded


def _length(value: bytes, before: int | None) -> int:
    if not value.isdigit() or len(value) > LONGEST_LENGTH:
        raise WsgiViolation(f"Content-Length is {value.decode('latin-1')}, and not one number")
    length = int(value)
    if before is not None and before != length:
        raise WsgiViolation(f"Content-Length is {before}, {length}, and not one number")
    return length
