"""What is known of a request that came, before anybody has made a `Request` of it.

Most requests that go straight to an application never need one: the scope of ASGI is made of this.
"""

from typing import Protocol

import msgspec


class RequestTarget(msgspec.Struct, frozen=True, gc=False):
    """A request target, taken apart.

    Attributes:
        path: Percent-decoded; `*` in asterisk-form.
        raw_path: As it came, without the query.
        query: As it came, without `?`.
        authority: Host and port of an absolute-form, which overrule the Host field; otherwise None.
    """

    path: str
    raw_path: bytes
    query: bytes
    authority: bytes | None = None


class RequestHead(msgspec.Struct, frozen=True):
    """The head of a request.

    Attributes:
        method: Upper case.
        target: What is asked for.
        fields: Lower-case names and values, in order.
        version: `1.0`, `1.1` or `2`.
    """

    method: str
    target: RequestTarget
    fields: tuple[tuple[bytes, bytes], ...]
    version: str


class Origin(Protocol):
    """Where a request comes from: its connection."""

    @property
    def scheme(self) -> str:
        """`http` or `https`."""

    @property
    def client(self) -> tuple[str, int] | None:
        """Peer address and port; None on a Unix socket."""

    @property
    def server(self) -> tuple[str, int | None] | None:
        """Own address and port, or path and None on a Unix socket."""
