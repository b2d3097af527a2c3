"""An open WebSocket, and the request that may become one: the seam between the wire and the request path.

`websocket` implements `Session` over a socket, `http` the `Upgrade` that leads to it.
"""

import enum
from collections.abc import Awaitable
from typing import Protocol

from changeover.workers.serving.exchange import Disconnected, Dispatcher, Exchange, RawHeaders

WebSocketMessage = str | bytes
RESTART = "service restart"
"""The reason beside 1012."""


class CloseCode(enum.IntEnum):
    """Why a WebSocket was closed, as far as it is said from here (RFC 6455, section 7.4)."""

    DONE = 1000
    PROTOCOL_ERROR = 1002
    NONE_GIVEN = 1005
    LOST = 1006
    BAD_TEXT = 1007
    TOO_BIG = 1009
    FAILED = 1011
    RESTART = 1012


class WebSocketClosed(Disconnected):
    """The WebSocket is closed, or was never opened.

    Public: re-exported by `changeover.plugin`.

    Attributes:
        code: What the client gave; 1005 when it gave none, 1006 when the connection was lost, ours when we closed.
        reason: In words; may be empty.
    """

    def __init__(self, code: int, reason: str = "") -> None:
        self.code = code
        self.reason = reason
        super().__init__(f"the WebSocket is closed ({code}{f', {reason}' if reason else ''})")


class Session(Protocol):
    """An open WebSocket, on the loop's thread."""

    @property
    def closed(self) -> WebSocketClosed | None:
        """Why nothing can be sent any more; None while it is open."""

    @property
    def at_hand(self) -> bool:
        """Whether `pop` has something to give, or to raise."""

    def stir(self) -> Awaitable[None]:
        """Wait until something is at hand that was not, or what serves has changed."""

    def pop(self) -> WebSocketMessage:
        """The next message that is at hand.

        Raises:
            WebSocketClosed: There is none and none will come.
        """

    def send(self, message: WebSocketMessage) -> None:
        """Send a message, with the turn of the loop; never blocks.

        Raises:
            WebSocketClosed: It is closed.
        """

    def begin(self) -> None:
        """What speaks over it goes on: what is sent from now on leaves when it rests."""

    def rest(self) -> None:
        """What speaks over it waits, or has ended: what it has sent leaves."""

    @property
    def pressed(self) -> bool:
        """Whether `drain` has something to wait for."""

    async def drain(self) -> None:
        """Wait until the client has taken enough of what was sent (backpressure)."""

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake; does nothing when it has begun."""


class Upgrade(Exchange, Protocol):
    """A request that becomes a WebSocket when it is accepted, and is answered like any other when not."""

    @property
    def subprotocols(self) -> tuple[str, ...]:
        """What the client offers to speak, in its order."""

    def accept(self, headers: RawHeaders) -> Session:
        """Switch protocols, once.

        Args:
            headers: Fields beside those of the handshake itself.

        Raises:
            WebSocketClosed: The client is gone.
            ValueError: A field would break the framing; nothing has happened.
        """


class Dispatchers(Dispatcher, Protocol):
    """What a connection hands requests to, those for a WebSocket apart."""

    def dispatch_upgrade(self, upgrade: Upgrade) -> bool:
        """Take it, or answer False: nothing may be dispatched now, hold it (see `Dispatcher`)."""
