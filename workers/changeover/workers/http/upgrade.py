"""A request for a WebSocket: an exchange until it is accepted, and then another protocol on the same transport."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from websockets.server import ServerProtocol

from changeover.workers.channel.connection import Connection, Owner
from changeover.workers.http.exchange import WireExchange
from changeover.workers.http.faults import BadMessage
from changeover.workers.http.head import Head
from changeover.workers.http.response import STATUS_LINES, encode_head
from changeover.workers.http.stage import Stage
from changeover.workers.http.wire import Wire
from changeover.workers.serving.exchange import RawHeaders
from changeover.workers.serving.session import CloseCode, Session, WebSocketClosed
from changeover.workers.websocket.connection import Site, WebSocketConnection
from changeover.workers.websocket.handshake import BadHandshake, Handshake

MakeWebSocket = Callable[[Site, Connection, asyncio.Transport, Owner, ServerProtocol], WebSocketConnection]

SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\n"


class Switching(Wire, Protocol):
    """What a request for a WebSocket needs of its connection."""

    def switch(self, protocol: ServerProtocol, make: MakeWebSocket) -> WebSocketConnection:
        """Go on as a WebSocket of that make, from the unread bytes on."""


class WireUpgrade(WireExchange):
    """One request for a WebSocket.

    Args:
        wire: The connection.
        head: The request's head.

    Raises:
        BadMessage: It cannot be accepted, whatever the application says.
    """

    __slots__ = ("_handshake", "_session", "_switching")

    def __init__(self, wire: Switching, head: Head) -> None:
        super().__init__(wire, head, None)
        self._switching = wire
        self._session: WebSocketConnection | None = None
        try:
            self._handshake = Handshake(head.fields, wire.site.limits)
        except BadHandshake as error:
            raise BadMessage(426 if error.outdated else 400, error.fact) from None

    @property
    def connected(self) -> bool:
        """See `Exchange`; once it is accepted, whether the WebSocket is open."""
        return super().connected if self._session is None else self._session.closed is None

    @property
    def subprotocols(self) -> tuple[str, ...]:
        """See `Upgrade`."""
        return self._handshake.subprotocols

    def accept(self, headers: RawHeaders) -> Session:
        """See `Upgrade`."""
        if self.stage is not Stage.FRESH or not self.connected:
            raise WebSocketClosed(CloseCode.LOST)
        wire = self._switching
        response = encode_head(200, self._handshake.answer(headers))
        lines = response.lines.removeprefix(STATUS_LINES[200])
        tail = wire.site.tail_for(dated=response.dated, served=response.served)
        wire.outlet.send([SWITCHING, lines, tail], 0)
        self._session = wire.switch(self._handshake.protocol, self._make)
        self._conclude(Stage.OVER)
        if wire.site.stopping:
            self._session.farewell()
        return self._session

    @property
    def _make(self) -> MakeWebSocket:
        return WebSocketConnection
