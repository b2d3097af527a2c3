"""A request made of what came: when somebody asks for it, or before anything else."""

from collections.abc import Awaitable, Callable

from changeover.workers.serving.message import Headers, Request
from changeover.workers.serving.request_head import Origin, RequestHead, RequestTarget


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
        target = RequestTarget(request.path, request.raw_path, request.query)
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
