"""What a request is for: its target in the four forms of RFC 9112, 3.2, and its Host (RFC 9110, 7.2)."""

import re
from functools import lru_cache
from urllib.parse import unquote

from changeover.workers.http.faults import BadMessage
from changeover.workers.serving.request_head import RequestTarget

AUTHORITY = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(:[0-9]{0,5})?")
ABSOLUTE = re.compile(rb"(?i:https?)://([^/?#]*)([^#]*)")


def split_target(method: str, raw: bytes) -> RequestTarget:
    """Take a request target apart.

    Raises:
        BadMessage: It has none of the forms that its method may have.
    """
    if raw[:1] != b"/":
        return _other_form(method, raw)
    return _origin_form(raw, None)


def _origin_form(raw: bytes, authority: bytes | None) -> RequestTarget:
    if b"#" in raw or not raw.isascii():
        raise BadMessage(400, "the request target has a fragment or bytes outside ASCII")
    raw_path, _, query = raw.partition(b"?")
    path = raw_path.decode("ascii")
    return RequestTarget(unquote(path) if "%" in path else path, raw_path, query, authority)


def _other_form(method: str, raw: bytes) -> RequestTarget:
    if method == "CONNECT":
        raise BadMessage(501, "CONNECT is not served")
    if raw == b"*":
        if method != "OPTIONS":
            raise BadMessage(400, "only OPTIONS may ask for *")
        return RequestTarget("*", raw, b"")
    absolute = ABSOLUTE.fullmatch(raw)
    if absolute is None or not absolute[1] or not is_authority(absolute[1]):
        raise BadMessage(400, "the request target is neither a path nor a valid http URL")
    rest = absolute[2]
    return _origin_form(rest if rest[:1] == b"/" else b"/" + rest, absolute[1])


@lru_cache(maxsize=256)
def is_authority(value: bytes) -> bool:
    """Whether `value` is a host with an optional port, as a Host field may have it; empty is allowed."""
    return AUTHORITY.fullmatch(value) is not None
