"""One line of an access log: what is told of a request, in the forms that people's tools read. Pure."""

import re
from collections.abc import Callable
from datetime import datetime

import msgspec

UNKNOWN = 0
"""Epoch of what was answered before it was dispatched to a generation."""
UNSAFE = re.compile(r'["\\\x00-\x1f\x7f-\xff]|[^\x00-\xff]')
"""What could end a line, or what it stands in: none of it may come from a client."""


class Access(msgspec.Struct, frozen=True, gc=False):
    """What is told of one request.

    Attributes:
        at: When it came, seconds since 1970.
        client: Address, of the client behind trusted proxies; empty on a Unix socket.
        method: Empty, as are target and version, of what could not be read.
        target: As it came.
        version: `2`, `1.1` or `1.0`.
        status: Of the response; 499 where the client left before there was one, 101 of a WebSocket.
        size: Bytes of the response's body; of the messages that were sent over a WebSocket.
        ms: From the request's head to the last byte of its response, or the end of its WebSocket, milliseconds.
        complete: Whether the response was sent to its end, or the WebSocket was closed and not just lost.
        epoch: The generation that served it; 0 where none did.
        worker: The slot.
        route: The pipeline; empty where none served it.
        request_id: `x-request-id` of the response, or of the request.
        referer: As the client says.
        agent: As the client says.
    """

    at: float
    client: str
    method: str
    target: str
    version: str
    status: int
    size: int
    ms: float
    complete: bool
    epoch: int
    worker: int
    route: str = ""
    request_id: str = ""
    referer: str = ""
    agent: str = ""


Encode = Callable[[Access], bytes]
"""Makes a line of it, with its end."""


def common(access: Access) -> bytes:
    """The Common Log Format, followed by what is ours."""
    return f"{_beginning(access)} {_ours(access)}\n".encode("latin-1")


def combined(access: Access) -> bytes:
    """The Combined Log Format, followed by what is ours."""
    quoted = f'"{_safe(access.referer) or "-"}" "{_safe(access.agent) or "-"}"'
    return f"{_beginning(access)} {quoted} {_ours(access)}\n".encode("latin-1")


def as_json(access: Access) -> bytes:
    """A JSON object with every attribute."""
    return msgspec.json.encode(access) + b"\n"


FORMATS: dict[str, Encode] = {"common": common, "combined": combined, "json": as_json}
"""By the names that the configuration has for them."""


def _beginning(access: Access) -> str:
    at = datetime.fromtimestamp(access.at).astimezone().strftime("%d/%b/%Y:%H:%M:%S %z")
    version = access.version if "." in access.version else f"{access.version}.0"
    asked = f"{access.method} {access.target} HTTP/{version}" if access.method else "-"
    return f'{_safe(access.client) or "-"} - - [{at}] "{_safe(asked)}" {access.status} {access.size or "-"}'


def _ours(access: Access) -> str:
    served = f"epoch={access.epoch or '-'} worker={access.worker} route={_word(access.route)}"
    cut = "" if access.complete else " cut"
    return f"{served} request={_word(access.request_id)} ms={access.ms:.1f}{cut}"


def _word(text: str) -> str:
    return _safe(text).replace(" ", "\\x20") or "-"


def _safe(text: str) -> str:
    return UNSAFE.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
