"""What TLS can agree on here: the library of HTTP/2 is optional."""

from collections.abc import Sequence
from importlib.util import find_spec

from changeover.workers.errors import ChangeoverError

HTTP2 = "h2"
HTTP1 = "http/1.1"
INSTALL = "HTTP/2 needs the library h2, which is not installed here: pip install 'changeover[http2]'"
"""What to do where it is missing."""


class ProtocolMissing(ChangeoverError):
    """A protocol is to be offered that cannot be spoken."""

    def __init__(self) -> None:
        super().__init__(INSTALL)


_INSTALLED = find_spec("h2") is not None
# Looked for once, before workers are forked: a search of the import path writes to memory that they share.


def speaks_http2() -> bool:
    """Whether the library is there; it is not imported for that."""
    return _INSTALLED


def offered(wanted: Sequence[str]) -> list[str]:
    """The protocols that TLS offers, best first.

    Args:
        wanted: As configured; empty for all that can be spoken.

    Raises:
        ProtocolMissing: HTTP/2 is wanted by name and cannot be spoken.
    """
    if HTTP2 in wanted and not speaks_http2():
        raise ProtocolMissing
    return list(wanted) or ([HTTP2, HTTP1] if speaks_http2() else [HTTP1])
