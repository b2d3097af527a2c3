"""What a connection takes along to another process, beside its socket."""

import msgspec

from changeover.workers.protocol.assembly import HTTP
from changeover.workers.serving.handshake import HandshakeOutcome


class Luggage(msgspec.Struct, frozen=True, array_like=True):
    """Everything that the socket does not know.

    Attributes:
        unread: The raw bytes of every message that was not begun.
        requests: How many were.
        phase: Name of what its time is measured in.
        since: When that began, in seconds of CLOCK_MONOTONIC, which all processes share.
        client_shut: Whether the client has shut its write side.
        outcome: How the connection came about; None when its socket says it all.
        last: Whether the next answer is to be the last one: it goes through a tunnel.
        initializer: What is spoken.
        state: What a service of a raw protocol exported; None when none knows of the connection.
        cut: The last bytes of an answer that is broken off where its client could not tell otherwise, and where the
            socket cannot be reset; empty where it can.
    """

    unread: bytes
    requests: int
    phase: str
    since: float
    client_shut: bool
    outcome: HandshakeOutcome | None = None
    last: bool = False
    initializer: str = HTTP
    state: bytes | None = None
    cut: bytes = b""

    @property
    def size(self) -> int:
        """How many bytes of it have no bound of a few."""
        return len(self.unread) + len(self.state or b"")
