"""What ends politely that cannot go on in another process: the contract of every kind of connection."""

from typing import Protocol

from changeover.workers.serving.lease import LeaseKind


class Departing(Protocol):
    """A connection of a worker that leaves.

    Attributes:
        kind: Its class, whose drain deadline it is under.
        portable: Whether it comes to rest between two messages, from where another process can go on with it. One that
            does not is told farewell at a moment of its own, before its class's deadline.
        since: When it was opened here, seconds of the loop's clock.
    """

    @property
    def kind(self) -> LeaseKind:
        """See above."""

    @property
    def portable(self) -> bool:
        """See above."""

    @property
    def since(self) -> float:
        """See above."""

    def farewell(self) -> None:
        """End politely: say so in the protocol's own way, and close once the client can have seen it.

        HTTP/1.1 says `connection: close` with the answer under way; a WebSocket sends a close frame (1001), HTTP/2 says
        GOAWAY.
        """
