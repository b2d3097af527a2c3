"""ASGI 3 applications as what stands at the end of a pipeline."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from changeover.workers.serving.contract import CallContext, Request
from changeover.workers.serving.exchange import Exchange
from changeover.workers.serving.handshake import HandshakeOutcome
from changeover.workers.serving.lifespan import Lifespan

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiCallable = Callable[[Scope, Receive, Send], Awaitable[None]]

VERSIONS = {"version": "3.0", "spec_version": "2.3"}
"""2.3 and not 2.4: with 2.4, Starlette stops listening for a client that leaves while a stream is
silent, so an event stream without events would hold its lease until the next event."""

EXTENSIONS: dict[str, Any] = {"http.response.pathsend": {}, "http.response.trailers": {}}
"""What an application may send beside what every server takes."""

TLS_VERSIONS = {"TLSv1.2": 0x0303, "TLSv1.3": 0x0304}
"""What ASGI calls those that are spoken here: their number in the protocol."""


class Application:
    """One application instance with its lifespan; shared by the generations that contain it.

    Args:
        name: The unit's name, for messages.
        call: The ASGI 3 callable.
        root_path: Prefix that a proxy in front strips.

    Attributes:
        state: What its lifespan left for requests; copied for each.
    """

    __slots__ = ("_lifespan", "call", "name", "root_path", "state")

    def __init__(self, name: str, call: AsgiCallable, root_path: str = "") -> None:
        self.name = name
        self.call = call
        self.root_path = root_path
        self.state: dict[str, Any] = {}
        self._lifespan = Lifespan(name, call, self.state)

    async def start(self, deadline: float) -> None:
        """Run the lifespan's startup; an application without one is started at once.

        Args:
            deadline: Seconds.

        Raises:
            LifespanFailed: The application refused to start, raised, or took longer.
        """
        await self._lifespan.start(deadline)

    async def stop(self, deadline: float) -> None:
        """Run the lifespan's shutdown. Does nothing when it was not started, or stopped before.

        Args:
            deadline: Seconds.

        Raises:
            LifespanFailed: The application raised, or took longer; it is ended all the same.
        """
        await self._lifespan.stop(deadline)

    def scope(self, exchange: Exchange, call: CallContext) -> Scope:
        """The scope of what an exchange asks: of its request where one was made, and handlers may have changed it."""
        made = exchange.made
        if made is not None:
            return self.scope_of(made, call)
        head, wire, prefix = exchange.head, exchange.wire, self.root_path
        target = head.target
        scope = {
            "type": "http",
            "asgi": VERSIONS,
            "http_version": head.version,
            "method": head.method,
            "scheme": wire.scheme,
            "path": prefix + target.path,
            "raw_path": prefix.encode() + target.raw_path if prefix else target.raw_path,
            "query_string": target.query,
            "root_path": prefix,
            "headers": list(head.fields),
            "client": wire.client,
            "server": wire.server,
            "state": self.state.copy(),
            "extensions": EXTENSIONS.copy(),
        }
        if wire.scheme == "https":
            _tell_tls(scope, exchange.outcome)
        return scope

    def scope_of(self, request: Request, call: CallContext) -> Scope:
        """The scope of one request."""
        prefix = self.root_path + request.root_path
        scope: Scope = {
            "type": "http",
            "asgi": VERSIONS,
            "http_version": request.http_version,
            "method": request.method,
            "scheme": request.scheme,
            "path": prefix + request.path,
            "raw_path": self.root_path.encode() + request.raw_path if self.root_path else request.raw_path,
            "query_string": request.query,
            "root_path": prefix,
            "headers": request.headers.raw,
            "client": request.client,
            "server": request.server,
            "state": self.state.copy(),
            "extensions": EXTENSIONS.copy(),
        }
        if request.scheme == "https":
            _tell_tls(scope, call.connection)
        if call.extensions:
            scope["extensions"]["changeover"] = call.extensions
        return scope


def _tell_tls(scope: Scope, outcome: HandshakeOutcome) -> None:
    """Say who the client is by its certificate, as ASGI's extension `tls` does; nothing of a proxy's TLS."""
    if outcome.tls:
        scope["extensions"]["tls"] = {
            "server_cert": None,
            "client_cert_chain": [],
            "client_cert_name": outcome.subject or None,
            "client_cert_error": None,
            "tls_version": TLS_VERSIONS.get(outcome.tls),
            "cipher_suite": None,
        }
