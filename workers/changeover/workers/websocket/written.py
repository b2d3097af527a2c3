"""What a WebSocket writes in one turn of the loop leaves in one piece.

What speaks over it tells when it begins and when it comes to rest, so that its messages leave without waiting for the
end of the turn; those of anybody else leave with that.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from changeover.workers.channel.outlet import JOIN, MANY, Outlet


class Turns(Protocol):
    """Tells of the end of a turn."""

    def cork(self, answer: "Written") -> None:
        """Have it uncorked once what runs now has run."""


class Written:
    """The messages of one WebSocket on their way to the transport.

    Args:
        turns: Tells when a turn is over.
        outlet: The write side.
        transport: Under it.

    Attributes:
        corked: Whether it is told of the end of this turn.
        held: What waits.
        spoken: Whether what speaks over it is at it, and lets go when it comes to rest.
    """

    __slots__ = ("_outlet", "_transport", "_turns", "_unsent", "corked", "held", "spoken")

    def __init__(self, turns: Turns, outlet: Outlet, transport: asyncio.Transport) -> None:
        self._turns = turns
        self._outlet = outlet
        self._transport = transport
        self.held: list[bytes] = []
        self._unsent = 0
        self.corked = self.spoken = False

    def add(self, pieces: Sequence[bytes], size: int) -> None:
        """Write a message, `size` bytes beside its head, with all others of this turn."""
        if not (self.spoken or self.corked):
            self.corked = True
            self._turns.cork(self)
        self.held += pieces
        self._unsent += size
        if self._unsent >= JOIN or len(self.held) >= MANY:
            self.let_go()

    def add_last(self, pieces: Sequence[bytes], size: int) -> None:
        """Write what nothing of this turn follows, and all that waits before it."""
        self.held += pieces
        self._unsent += size
        self.let_go()

    def let_go(self) -> None:
        """Write what waits."""
        if self.held:
            pieces, size = self.held, self._unsent
            self.held, self._unsent = [], 0
            if not self._outlet.ended and not self._transport.is_closing():
                self._outlet.send(pieces, size)

    def uncork(self) -> None:
        """The turn is over."""
        self.corked = False
        self.let_go()

    def abort(self) -> None:
        """See `Corked`: nothing of it will leave any more."""
        self.forget()
        self._outlet.abort()

    def forget(self) -> None:
        """Nothing can be written any more."""
        self.held.clear()
        self._unsent = 0
