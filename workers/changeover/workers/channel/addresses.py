"""The two addresses of a connection, read from its socket."""

import asyncio
from typing import Any


def client_of(transport: asyncio.BaseTransport) -> tuple[str, int] | None:
    """The peer's address and port; None on a Unix socket."""
    return _address(transport.get_extra_info("peername"))


def server_of(transport: asyncio.BaseTransport) -> tuple[str, int | None] | None:
    """Own address and port, or path and None on a Unix socket."""
    own = transport.get_extra_info("sockname")
    return (own, None) if isinstance(own, str) else _address(own)


def worded(server: tuple[str, int | None] | None) -> str:
    """An own address as people see it."""
    if server is None:
        return "an address that is gone"
    host, port = server
    if port is None:
        return f"unix:{host}"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _address(name: Any) -> tuple[str, int] | None:
    return (name[0], name[1]) if isinstance(name, tuple) else None
