"""What a WSGI application gives `start_response`, checked while it still runs and can be told."""

import re
from typing import Any

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

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-zA-Z-]+")
_STATUS = re.compile(r"([2-5][0-9]{2})(?: .*)?")
_LENGTH = re.compile(r"[0-9]{1,18}")
_names: dict[str, bytes] = {}


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
    fields: list[tuple[bytes, bytes]]
    length: int | None


def checked_head(status: object, headers: object) -> WsgiHead:
    """Read what `start_response` was called with.

    Raises:
        WsgiViolation: It cannot be sent.
    """
    matched = _STATUS.fullmatch(status) if isinstance(status, str) else None
    if matched is None:
        raise WsgiViolation(f"start_response was called with the status {status!r}; write it like '200 OK'")
    if not isinstance(headers, list):
        raise WsgiViolation(f"start_response was called with headers in a {type(headers).__name__}; give a list")
    fields = [_field(*pair) if isinstance(pair, tuple) and len(pair) == 2 else _no_pair(pair) for pair in headers]
    values = b"".join([value for _, value in fields])
    if b"\n" in values or b"\r" in values or b"\0" in values:
        raise WsgiViolation("a header's value has a line break or NUL")
    lengths = {value for name, value in fields if name == b"content-length"}
    return WsgiHead(int(matched[1]), fields, _length(lengths) if lengths else None)


def _field(name: Any, value: Any) -> tuple[bytes, bytes]:
    if not isinstance(name, str) or not isinstance(value, str):
        raise WsgiViolation(f"the header {name!r}: {value!r} is not two strings")
    try:
        return _names.get(name) or _learn(name), value.encode("latin-1")
    except UnicodeEncodeError:
        fact = f"the header {name!r}: {value!r} has characters outside latin-1; encode them, as UTF-8 in latin-1 say"
        raise WsgiViolation(fact) from None


def _learn(name: str) -> bytes:
    if _NAME.fullmatch(name) is None:
        raise WsgiViolation(f"{name!r} is no name of a header")
    if name.lower() in HOP_BY_HOP:
        raise WsgiViolation(f"the header {name} is about one connection, which is the server's business; leave it out")
    if len(_names) >= KNOWN_NAMES:
        _names.clear()
    encoded = _names[name] = name.lower().encode("ascii")
    return encoded


def _no_pair(pair: object) -> tuple[bytes, bytes]:
    raise WsgiViolation(f"{pair!r} among the headers is no tuple of name and value")


def _length(values: set[bytes]) -> int:
    text = b", ".join(sorted(values)).decode("latin-1")
    if _LENGTH.fullmatch(text) is None:
        raise WsgiViolation(f"Content-Length is {text}, and not one number")
    return int(text)
