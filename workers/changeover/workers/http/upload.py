"""The request body under way: from the connection's unread bytes into what the application takes."""

from collections.abc import Callable

from changeover.workers.channel.outlet import MAX_DISCARD
from changeover.workers.channel.stint import Stint
from changeover.workers.http.body import Body, LengthBody, least_to_come
from changeover.workers.http.fields import Expectation
from changeover.workers.http.incoming import HIGH_WATER, MOST_PARTS, Incoming

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
"""Sent to a client that waits for it, once its body is asked for."""
STEP = 1024
"""Bytes that are read at a time of a body in chunks, until they turn out to be more than a few bytes long."""
FEW = 16
"""Bytes that a chunk takes with its size and line ends; below, there are many in whatever is read."""
AT_ONCE = MOST_PARTS // 2
"""Chunks between two rests."""


class Upload:
    """One body, to its last byte.

    Args:
        body: Decodes it.
        incoming: What the application takes it from.
        expectation: What the client waits for before it sends it.

    Attributes:
        incoming: As above; None once the application is done, and the rest is dropped.
        received: Bytes of the connection that it has taken.
    """

    __slots__ = ("_body", "_dropped", "_expectation", "_step", "_stint", "incoming", "received")

    def __init__(self, body: Body, incoming: Incoming, expectation: Expectation) -> None:
        self.incoming: Incoming | None = incoming
        self.received = 0
        self._body = body
        self._expectation = expectation
        self._dropped = 0
        self._step = HIGH_WATER if isinstance(body, LengthBody) else STEP
        self._stint = None if isinstance(body, LengthBody) else Stint(AT_ONCE)

    @property
    def complete(self) -> bool:
        """Whether its last byte has come."""
        return self._body.complete

    @property
    def excessive(self) -> bool:
        """Whether so much of it was dropped that the connection had better end."""
        return self._dropped > MAX_DISCARD

    @property
    def is_worth_reading(self) -> bool:
        """Whether dropping the rest is cheaper than a new connection."""
        return least_to_come(self._body) <= MAX_DISCARD

    @property
    def rests(self) -> bool:
        """Whether others have their turn before it goes on with what came together with the head."""
        return self._stint is not None and self._stint.rests

    @property
    def full(self) -> bool:
        """Whether nothing more is to be read now."""
        return self.rests or (self.incoming is not None and self.incoming.full)

    def next_of(self, data: bytearray) -> bytes:
        """What is fed next of what came together with the head: as much as would be read at a time."""
        return bytes(data if self._stint is None else data[: self._step])

    def spend(self, go_on: Callable[[], None]) -> None:
        """Count what was fed last; `go_on` is called after a rest, where there has to be one."""
        if self._stint is not None:
            self._stint.spend(self._body.parts, go_on)

    def room(self, beyond: int) -> int:
        """How many bytes may be read: no more than may wait for the application, and `beyond` of what follows."""
        room = min(least_to_come(self._body) + beyond, self._step)
        return room if self.incoming is None else min(room, HIGH_WATER - self.incoming.size)

    def feed(self, data: bytes) -> int:
        """Take of what has come what belongs to it.

        Returns:
            How many bytes that were.

        Raises:
            BadMessage: It breaks its coding, or is too long.
        """
        body = self._body
        piece, taken = body.feed(data)
        self.received += taken
        self._expectation = Expectation.NONE
        parts = body.parts
        if parts * FEW > taken:
            self._step = STEP
        elif self._step < HIGH_WATER:
            self._step = min(2 * self._step, HIGH_WATER)
        if self.incoming is not None:
            self.incoming.put(piece, last=body.complete, parts=parts)
        else:
            self._dropped += taken
        return taken

    def unasked(self) -> bool:
        """Whether the client still waits to be asked for it; it counts as answered from now on."""
        unasked, self._expectation = self._expectation is Expectation.CONTINUE, Expectation.NONE
        return unasked
