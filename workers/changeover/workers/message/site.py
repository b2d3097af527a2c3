"""What the connections of raw protocols have in common: which generation is theirs, and what is done for all."""

import asyncio
import contextvars
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from changeover.workers.channel.limits import Limits
from changeover.workers.channel.unsent import give_up
from changeover.workers.message.pipeline import MessagePipeline
from changeover.workers.serving.lease import UnitSet

MESSAGES = 32
"""Messages of a connection that are begun in one turn of the loop: other clients have a turn, too."""
MOVES = 64
"""Most connections that move to another generation in one turn of the loop."""


@dataclass(frozen=True, slots=True)
class MessageTarget:
    """A pipeline, and what it needs.

    Attributes:
        pipeline: Answers messages.
        unit_set: Held while one is answered.
    """

    pipeline: MessagePipeline
    unit_set: UnitSet


class Generation(Protocol):
    """What a connection needs of a generation."""

    @property
    def epoch(self) -> int:
        """The number it goes by."""

    @property
    def messages(self) -> Mapping[tuple[str, str], MessageTarget]:
        """Address and initializer -> what answers."""


class Admission(Protocol):
    """Says which generation a message that is dispatched now belongs to."""

    def admit(self) -> Generation | None:
        """The generation, or None: nothing may be dispatched now. Reads the commit cell."""


class Moving(Protocol):
    """A connection, as far as another generation concerns it."""

    def hold(self, generation: Generation) -> None:
        """This generation serves from now on: keep what is needed of the earlier one. Runs no user code."""

    def move(self) -> None:
        """Go on in the generation that serves, if nothing is under way."""


class Corked(Protocol):
    """What holds messages back for the rest of this turn of the loop."""

    def flush(self) -> None:
        """Let everything leave that was written."""

    def cut(self) -> None:
        """Cut the client off."""


class MessageSite:
    """What all connections of a worker share.

    Args:
        admission: The switch.
        limits: Bounds on connections.
        worker: The slot.

    Attributes:
        admission: As above.
        limits: As above.
        worker: As above.
        context: Copied for whatever user code runs in: one message leaves nothing to the next.
        stopping: Whether the message under way is the last one of its connection.
    """

    def __init__(self, admission: Admission, limits: Limits, worker: int) -> None:
        self.admission = admission
        self.limits = limits
        self.worker = worker
        self.context = contextvars.copy_context()
        self.stopping = False
        self._connections: set[Moving] = set()
        self._corked: list[Corked] = []

    @cached_property
    def buffer(self) -> memoryview:
        """Where the loop reads to; its content is copied before anything else happens."""
        return memoryview(bytearray(self.limits.unread))

    def enter(self, connection: Moving) -> None:
        """It is open."""
        self._connections.add(connection)

    def exit(self, connection: Moving) -> None:
        """It is gone."""
        self._connections.discard(connection)

    def cork(self, outbox: Corked) -> None:
        """Have it flushed once what runs now has run; one call of the loop serves all connections."""
        if not self._corked:
            asyncio.get_running_loop().call_soon(self._uncork, context=self.context)
        self._corked.append(outbox)

    def _uncork(self) -> None:
        corked, self._corked = self._corked, []
        for outbox in corked:
            try:
                outbox.flush()
            except Exception as error:  # noqa: BLE001 - whatever it is, the others get theirs
                give_up(error, outbox.cut)

    def hold(self, generation: Generation) -> None:
        """This generation serves from now on; `move` follows. Runs no user code."""
        for connection in self._connections:
            connection.hold(generation)

    def move(self) -> None:
        """Let all that is idle go on in the generation that serves: what does not serve any more is not kept by it."""
        self._move(deque(self._connections))

    def _move(self, connections: deque[Moving]) -> None:
        for _ in range(min(MOVES, len(connections))):
            connections.popleft().move()
        if connections:
            asyncio.get_running_loop().call_soon(self._move, connections)
