"""A WSGI application for clients that send and take slowly."""

from collections.abc import Iterable, Iterator
from typing import Any

PIECE = b"x" * 65536
LARGE = 64
"""Pieces of a response that no buffer of the kernel holds."""


def _large() -> Iterator[bytes]:
    for _ in range(LARGE):
        yield PIECE[1:] + b"~"


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Greets, makes much, and says how much it was sent."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/large":
        return _large()
    if environ["PATH_INFO"] == "/asked":
        return [str(len(environ["wsgi.input"].read())).encode()]
    return [b"hello"]
