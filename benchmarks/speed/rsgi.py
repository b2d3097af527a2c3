"""The same for granian's own interface."""

from typing import Any


async def app(scope: Any, protocol: Any) -> None:
    """Answer one request."""
    protocol.response_bytes(200, [("content-type", "text/plain")], b"Hello, world!")
