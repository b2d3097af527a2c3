"""Whether HTTP/2 can be spoken here: its library is optional."""

from importlib.util import find_spec

ALPN = "h2"
"""Name of HTTP/2 in TLS."""
INSTALL = "HTTP/2 needs the library h2: pip install 'changeover[http2]'"
"""What to do where it is missing."""


def is_installed() -> bool:
    """Whether the library is there; it is not imported for that."""
    return find_spec("h2") is not None


def offered() -> tuple[str, ...]:
    """The protocols that TLS offers when nobody says which, best first."""
    return (ALPN, "http/1.1") if is_installed() else ("http/1.1",)
