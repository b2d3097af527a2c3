"""A WebSocket that tells of itself once it is over."""

import asyncio
from collections.abc import Callable

from websockets.server import ServerProtocol

from changeover.workers.channel.connection import Connection, Owner
from changeover.workers.serving.session import CloseCode, WebSocketMessage
from changeover.workers.websocket.connection import Site, WebSocketConnection


class LoggedWebSocket(WebSocketConnection):
    """See `WebSocketConnection`.

    Args:
        over: Told, once, how many bytes of messages were sent, and whether it was closed and not just lost.
        site: What it has in common with others.
        before: The connection that it goes on from.
        transport: Its transport.
        owner: Told when it is gone.
        protocol: Its state.
    """

    __slots__ = ("_over", "_size")

    def __init__(
        self,
        over: Callable[[int, bool], None],
        site: Site,
        before: Connection,
        transport: asyncio.Transport,
        owner: Owner,
        protocol: ServerProtocol,
    ) -> None:
        super().__init__(site, before, transport, owner, protocol)
        self._over = over
        self._size = 0

    def send(self, message: WebSocketMessage) -> None:
        """See `Session`."""
        super().send(message)
        self._size += len(message.encode() if isinstance(message, str) else message)

    def connection_lost(self, error: Exception | None) -> None:
        """End."""
        super().connection_lost(error)
        self._over(self._size, self.closed is not None and self.closed.code != CloseCode.LOST)
