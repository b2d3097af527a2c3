"""What a WebSocket writes in one turn of the loop: an only message leaves at once, several leave together.

Whether there are several is told by what came: of one message there is mostly one answer. Where an answer has left in
this turn, or several messages came together, the rest leaves with the end of the turn in one piece.
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
    """

    __slots__ = ("_held", "_outlet", "_several", "_transport", "_turns", "_unsent", "corked")

    def __init__(self, turns: Turns, outlet: Outlet, transport: asyncio.Transport) -> None:
        self._turns = turns
        self._outlet = outlet
        self._transport = transport
        self._held: list[bytes] = []
        self._unsent = 0
        self._several = False
        self.corked = False

    def begin(self) -> None:
        """Something was read: what is written next is the first of its turn, unless some of it waits."""
        if not self._held:
            self._several = False

    def expect_several(self) -> None:
        """Several messages came together: so will answers."""
        self._several = True

    def add(self, pieces: Sequence[bytes], size: int) -> None:
        """Write a message, `size` bytes beside its head; at once, or with the end of the turn."""
        if not self._several:
            self._several = True
            self._send(pieces, size)
            return
        if not self.corked:
            self.corked = True
            self._turns.cork(self)
        self._held += pieces
        self._unsent += size
        if self._unsent >= JOIN or len(self._held) >= MANY:
            self.let_go()

    def let_go(self) -> None:
        """Write what waits: something is to leave behind it, or somebody waits for it."""
        if self._held:
            pieces, size = self._held, self._unsent
            self._held, self._unsent = [], 0
            self._send(pieces, size)

    def uncork(self) -> None:
        """The turn is over."""
        self.corked = self._several = False
        self.let_go()

    def abort(self) -> None:
        """See `Corked`: nothing of it will leave any more."""
        self.forget()
        self._outlet.abort()

    def forget(self) -> None:
        """Nothing can be written any more."""
        self._held.clear()
        self._unsent = 0

    def _send(self, pieces: Sequence[bytes], size: int) -> None:
        if not self._outlet.ended and not self._transport.is_closing():
            self._outlet.send(pieces, size)
