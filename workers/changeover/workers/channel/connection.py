"""What the owner of all connections needs of each, whatever is spoken over it."""

import asyncio
import enum
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol

from changeover.workers.channel.outlet import Outlet
from changeover.workers.channel.phases import Overdue, Sight, Watch
from changeover.workers.serving.handshake import HandshakeOutcome
from changeover.workers.serving.lease import LeaseKind


class Parting(enum.Enum):
    """How a connection leaves a worker that leaves."""

    RESTS = enum.auto()
    """It comes to rest between two messages, from where another process goes on with it."""
    STAYS = enum.auto()
    """It cannot go on elsewhere, and may come to its own end here: it is told farewell after its class's deadline, at a
    moment of its own; in a worker that stops at once."""
    LATE = enum.auto()
    """Another process answers over it meanwhile, or it ends with what is under way: it is told farewell after its
    class's deadline."""


class Departing(Protocol):
    """What is told farewell when a worker leaves.

    Attributes:
        kind: Its class, whose drain deadline it is under.
        parting: How it leaves.
        since: When it was opened here, seconds of the loop's clock.
    """

    @property
    def kind(self) -> LeaseKind:
        """See above."""

    @property
    def parting(self) -> Parting:
        """See above."""

    @property
    def since(self) -> float:
        """See above."""

    def farewell(self, *, asked: bool = False) -> None:
        """End politely: say so in the protocol's own way, and close once the client can have seen it.

        HTTP/1.1 says `connection: close` with the answer under way; a WebSocket sends a close frame (1012), HTTP/2 says
        GOAWAY.

        Args:
            asked: Whether the process that read before has read something.
        """


class Connection(Departing, Protocol):
    """A connection of a client. It is the protocol object of its transport, too.

    Attributes:
        client: Peer address and port; None on a Unix socket.
        server: Own address and port, or path and None on a Unix socket.
        outcome: How it came about; None when nothing came before its first message.
        outlet: The write side.
        requests: How many messages were dispatched.
        watch: Since when it has been doing what it does, for the sweep.
    """

    @property
    def client(self) -> tuple[str, int] | None:
        """See above."""

    @property
    def server(self) -> tuple[str, int | None] | None:
        """See above."""

    @property
    def outcome(self) -> HandshakeOutcome | None:
        """See above."""

    outlet: Outlet
    requests: int
    watch: Watch

    @property
    def at_boundary(self) -> bool:
        """Whether no message is under way, so that `unread` is all that somebody else needs to go on."""

    def unread(self) -> bytes:
        """The raw bytes of every message that was not dispatched, complete or not."""

    def take(self, data: bytes) -> None:
        """Go on with bytes of the client, from the process that read them."""

    def resume(self) -> None:
        """Offer what is held again: what may be dispatched has changed."""

    def leave(self) -> None:
        """Begin no message any more: the owner is told once it is at rest, if it can be."""

    def part(self) -> socket.socket | None:
        """Let go of the socket, at rest, so that another process goes on; the client notices nothing.

        Returns:
            What that process is given; None when the connection is lost already.

        Raises:
            OSError: There is no descriptor free; nothing has happened.
        """

    def abort(self) -> None:
        """Cut it off."""

    def sight(self) -> Sight:
        """What it is doing."""

    def overdue(self, overdue: Overdue) -> None:
        """Its phase has lasted too long."""


class Carrying(ABC):
    """A connection that takes along more than bytes of its client.

    A class and no protocol: who hands over hundreds of connections asks each of them, and a protocol is asked by all of
    its names.

    Attributes:
        initializer: What is spoken.
    """

    __slots__ = ()

    initializer: str

    @abstractmethod
    def carried(self) -> bytes | None:
        """What its service exported, at rest; None when no service knows of the connection."""

    @abstractmethod
    def go_on(self, state: bytes | None) -> None:
        """Go on with what was `carried`; before anything is taken."""


class Owner(Protocol):
    """Who is told what becomes of a connection."""

    def rested(self, connection: Connection) -> None:
        """It is leaving, and nothing of it is under way."""

    def replaced(self, old: Connection, new: Connection) -> None:
        """Another protocol goes on over the same transport."""

    def closed(self, connection: Connection) -> None:
        """It is gone."""


class Initializer(Protocol):
    """Makes of an accepted socket what speaks over it."""

    def protocol(
        self, owner: Owner, opened: Callable[[Connection], None], outcome: HandshakeOutcome | None = None
    ) -> asyncio.BaseProtocol:
        """What the transport is given.

        Args:
            owner: Told of the connection, from when it is open.
            opened: Called once, as soon as there is a connection.
            outcome: How it came about; None when nothing came before its first message.
        """

    def refresh(self) -> None:
        """Bring up to date what goes stale within a second."""

    def stop(self) -> None:
        """The worker stops: every message under way is the last one of its connection."""


class Initializers(Protocol):
    """Every initializer beside the one that speaks HTTP."""

    def called(self, name: str) -> Initializer:
        """One by its name; whether the generation that serves has it turns out at the first message."""

    def stop(self) -> None:
        """See `Initializer`."""
