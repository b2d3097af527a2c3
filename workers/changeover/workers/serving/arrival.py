"""What is known of a request that came, before anybody has made a `Request` of it.

Most requests that go straight to an application never need one: the scope of ASGI is made of this.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from changeover.workers.serving.message import Headers, Request


class Target(msgspec.Struct, frozen=True, gc=False):
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
    target: Target
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


class Made:
    """An exchange whose request was made before anything else; by what was asked it says the same."""

    __slots__ = ()

    @property
    def made(self) -> Request:
        """See `Exchange`."""
        return self.request  # type: ignore[attr-defined,no-any-return]

    @property
    def head(self) -> RequestHead:
        """See `Exchange`."""
        request = self.made
        target = Target(request.path, request.raw_path, request.query)
        return RequestHead(request.method, target, tuple(request.headers.raw), request.http_version)

    @property
    def wire(self) -> Origin:
        """See `Exchange`."""
        return self.made

    def take_held(self) -> bytes | None:
        """See `Exchange`."""
        return self.made.take_held()


def arrived(
    head: RequestHead, wire: Origin, receive: Callable[[], Awaitable[bytes | None]] | None, held: bytes | None
) -> Request:
    """Make the request of what came.

    Args:
        head: Its head.
        wire: Where it comes from.
        receive: Gives the pieces of its body; None where that is held.
        held: The body where it is; empty where there is none, None where somebody has taken it.
    """
    # Past `Request.__init__`: that takes three times as long.
    request, target = Request.__new__(Request), head.target
    request.method = head.method
    request.path = target.path
    request.root_path = ""
    request.raw_path = target.raw_path
    request.query = target.query
    request.headers = Headers(list(head.fields))
    request.http_version = head.version
    request.scheme = wire.scheme
    request.client = wire.client
    request.server = wire.server
    request.held_body = held if receive is None else None
    request._receive = receive
    return request
