"""What a connection takes along to another process, beside its socket."""

import msgspec


class Luggage(msgspec.Struct, frozen=True, array_like=True):
    """Everything but the addresses, which the socket knows.

    Attributes:
        unread: The raw bytes of every message that was not begun.
        requests: How many were.
        phase: Name of what its time is measured in.
        since: When that began, in seconds of CLOCK_MONOTONIC, which all processes share.
        client_shut: Whether the client has shut its write side.
    """

    unread: bytes
    requests: int
    phase: str
    since: float
    client_shut: bool
