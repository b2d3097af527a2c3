"""A connection as handlers and services see it.

Public: re-exported by `changeover.plugin`.
"""

import enum
from typing import Any, Protocol

from changeover.workers.serving.handshake import HandshakeOutcome

UNASKED = "a channel is read where a message is answered; there is none under way"


class Pressure(enum.Enum):
    """How well a client takes what is written to it."""

    FREE = "free"
    """Everything has left."""
    BUFFERED = "buffered"
    """Something has yet to leave; more may be written."""
    CLOGGED = "clogged"
    """The client does not take what is written: `drain` before more is."""
    GONE = "gone"
    """Nothing that is written reaches it any more."""


class Way(Protocol):
    """The way back to a client."""

    @property
    def pressure(self) -> Pressure:
        """How well the client takes what is written."""

    def post(self, message: Any) -> None:
        """Write, with all that is written in this turn of the loop."""

    def flush(self) -> None:
        """Let everything leave that was written."""

    async def drain(self) -> None:
        """Wait until the client has taken enough."""


class Wire(Protocol):
    """What a channel needs of its connection."""

    @property
    def outcome(self) -> HandshakeOutcome:
        """How it came about."""

    @property
    def way(self) -> Way:
        """The way back."""

    @property
    def client_shut(self) -> bool:
        """Whether the client says no more."""

    async def next_message(self) -> Any:
        """The next message; None when there will be none."""

    def shut(self) -> None:
        """Say no more."""

    def leave_off(self) -> None:
        """Close once the message under way is answered."""


class _NoWay:
    """The way back to a client that is gone."""

    pressure = Pressure.GONE

    def post(self, message: Any) -> None:
        """It reaches nobody."""

    def flush(self) -> None:
        """Nothing waits."""

    async def drain(self) -> None:
        """There is nothing to wait for."""


class _Gone:
    """What is left of a connection for whoever keeps its channel.

    Args:
        outcome: How it came about.

    Attributes:
        outcome: As above.
        way: The way back, which there is none.
        client_shut: Whether the client says no more.
    """

    way, client_shut = _NoWay(), True

    def __init__(self, outcome: HandshakeOutcome) -> None:
        self.outcome = outcome

    async def next_message(self) -> Any:
        """See `Wire`."""
        raise RuntimeError(UNASKED)

    def shut(self) -> None:
        """Nothing can be said any more."""

    def leave_off(self) -> None:
        """It is closed."""


class Channel:
    """One connection of a client; the same object in every generation that serves it in this process.

    Attributes:
        state: What the service keeps for this connection; None at first. It stays with the version that made it: a
            later one gets what `MessageService.export_state` makes of it.
    """

    __slots__ = ("__weakref__", "_wire", "state")

    def __init__(self, wire: Wire) -> None:
        self.state: Any = None
        self._wire = wire

    @property
    def outcome(self) -> HandshakeOutcome:
        """How the connection came about: client, address, TLS, names, what a proxy said."""
        return self._wire.outcome

    @property
    def pressure(self) -> Pressure:
        """How well the client takes what is written."""
        return self._wire.way.pressure

    @property
    def client_shut(self) -> bool:
        """Whether the client has shut its write side: no further message comes, and answers still reach it."""
        return self._wire.client_shut

    def write(self, message: Any) -> Pressure:
        """Send a message; it leaves with the others of this turn of the loop, or with `flush`. Never waits.

        A client that lets more than 1 MiB wait is cut off.
        """
        self._wire.way.post(message)
        return self._wire.way.pressure

    def flush(self) -> Pressure:
        """Let everything leave that was written: through the outbound handlers, then in one piece."""
        self._wire.way.flush()
        return self._wire.way.pressure

    async def drain(self) -> None:
        """Wait until the client has taken enough; at once when it has, or is gone."""
        await self._wire.way.drain()

    async def read(self) -> Any:
        """Take the next message as a part of the one under way; None when the client says no more.

        Raises:
            MalformedMessage: What came is none.
        """
        return await self._wire.next_message()

    def shut(self) -> None:
        """Shut the write side, after what was written; the client may go on. Over TLS this closes."""
        self._wire.shut()

    def close(self) -> None:
        """Close once the message under way is answered; without one, now."""
        self._wire.leave_off()


def let_go(channel: Channel) -> None:
    """The connection is gone: who keeps its channel does not keep it."""
    channel._wire = _Gone(channel.outcome)
