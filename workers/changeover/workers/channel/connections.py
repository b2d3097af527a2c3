"""All open connections of a worker: counted, resumed, swept, and brought to an end."""

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

from changeover.workers.channel.allocator import Tide, give_back
from changeover.workers.channel.connection import Connection, Initializer, Initializers, Parting
from changeover.workers.channel.handshake import Handshake, HandshakeEnd, Witness
from changeover.workers.channel.leftovers import Leftovers
from changeover.workers.channel.limits import Limits
from changeover.workers.channel.luggage import Luggage
from changeover.workers.channel.opening import open_transport
from changeover.workers.channel.packing import pack, unpack
from changeover.workers.channel.phases import Phase, sweep_interval
from changeover.workers.channel.server_channel import ServerChannel
from changeover.workers.channel.waiters import Waiters
from changeover.workers.protocol.assembly import HTTP
from changeover.workers.serving.handshake import HandshakeOutcome

logger = logging.getLogger(__name__)

SETTLED = 1.0
"""Seconds after which connections that left hold nothing any more."""
SILENT_GRACE = 1.0
"""Seconds that a connection which has said nothing gets when the worker stops: it was accepted a moment ago."""


def _nothing(address: str) -> ServerChannel | None:
    """Nothing comes before the first message."""
    return None


def _nobody(count: int) -> None:
    """Nobody wants to know."""


class _Alone:
    """There is nothing but HTTP."""

    def called(self, name: str) -> Initializer:
        """See `Initializers`."""
        raise AssertionError(f"bug: a connection is for {name}, and this worker speaks HTTP only")

    def stop(self) -> None:
        """See `Initializers`."""


ALONE = _Alone()


class Unseen:
    """A witness who tells nobody."""

    def ended(self, channel: str, end: HandshakeEnd, detail: str) -> None:
        """See `Witness`."""


UNSEEN = Unseen()


class _Door:
    """What a connection passes as it opens.

    Args:
        opened: Called with it.

    Attributes:
        passed: Whether one has come so far.
    """

    __slots__ = ("_opened", "passed")

    def __init__(self, opened: Callable[[Connection], None]) -> None:
        self.passed = False
        self._opened = opened

    def __call__(self, connection: Connection) -> None:
        self.passed = True
        self._opened(connection)


class Connections:
    """The open connections.

    Needs no start: the sweep runs on the running loop while there are connections, and only then.

    Args:
        initializer: Makes them of accepted sockets where nothing comes before their first message.
        limits: Bounds on how long they may do what they do.
        channel_at: What comes first at an address in the generation that serves; None for nothing.
        witness: Hears what became of handshakes, and of connections that need none.
        others: What a channel can select beside HTTP.
        on_change: Told how many there are, whenever one comes or goes.

    Attributes:
        on_change: May be set once more, by who accepts.
    """

    def __init__(
        self,
        initializer: Initializer,
        limits: Limits,
        *,
        channel_at: Callable[[str], ServerChannel | None] = _nothing,
        witness: Witness = UNSEEN,
        others: Initializers = ALONE,
        on_change: Callable[[int], None] = _nobody,
    ) -> None:
        self.on_change = on_change
        self._initializer = initializer
        self._limits = limits
        self._channel_at = channel_at
        self._witness = witness
        self._others = others
        self._handshakes: set[Handshake] = set()
        self._open: set[Connection] = set()
        self._resting: set[Connection] = set()
        self._leftovers = Leftovers()
        self._opening = 0
        self._on_rest: Callable[[Connection], None] | None = None
        self._changed = Waiters()
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._tide = Tide()

    def __len__(self) -> int:
        """Open connections, and those about to open."""
        return len(self._open) + self._opening

    def __contains__(self, connection: object) -> bool:
        return connection in self._open

    def __iter__(self) -> Iterator[Connection]:
        """Those that are served here; who is left of one that goes on elsewhere is nobody to be told anything."""
        return iter(tuple(self._leftovers.without(self._open)))

    def accept(self, accepted: socket.socket, address: str) -> None:
        """Serve a new connection; it is counted at once.

        Args:
            accepted: Its socket, owned by the connection from here on.
            address: By which it came, as configured.
        """
        channel = self._channel_at(address)
        if channel is None:
            self._witness.ended(address, HandshakeEnd.PLAIN, "")
            self._open_with(self._opened, accepted, self._initializer)
        else:
            self._shake_hands(channel, accepted)

    def adopt(self, adopted: socket.socket, luggage: Luggage) -> None:
        """Serve a connection that another process has served; it is counted at once.

        Args:
            adopted: Its socket, owned by the connection from here on.
            luggage: What it brought.
        """
        initializer = self._initializer_of(luggage.initializer)
        self._open_with(partial(self._arrived, luggage), adopted, initializer, luggage.outcome)

    def end(self, parted: socket.socket, luggage: Luggage) -> None:
        """Close politely what was parted from and nobody else took.

        Args:
            parted: Its socket, owned by the connection from here on.
            luggage: What it was to take along.
        """
        opened, initializer = partial(self._opened_to_end, luggage), self._initializer_of(luggage.initializer)
        self._open_with(opened, parted, initializer, luggage.outcome)

    def leave(self, on_rest: Callable[[Connection], None]) -> None:
        """Begin no request any more: stop reading, in one sweep, wherever none is in flight.

        Args:
            on_rest: Told of each connection once nothing of it is under way: it can be parted from then.
        """
        self._on_rest = on_rest
        for connection in self:
            connection.leave()

    def part(self, connection: Connection) -> tuple[socket.socket, Luggage] | None:
        """Let go of a connection at rest, with all it needs to go on elsewhere; None when it is not there any more.

        Raises:
            OSError: There is no descriptor free; nothing has happened.
        """
        if connection not in self._resting or connection.outlet.ending:
            return None
        luggage = pack(connection, asyncio.get_running_loop().time())
        try:
            parted = connection.part()
        except OSError:
            self._leftovers.close()
            raise
        self._resting.discard(connection)
        if parted is None:
            return None
        if connection in self._open:  # nothing took its place here
            self._leftovers.add(connection)
        return parted, luggage

    async def changed(self) -> None:
        """Return when the next one comes or goes."""
        await self._changed.wait()

    def _shake_hands(self, channel: ServerChannel, accepted: socket.socket) -> None:
        self._opening += 1
        self.on_change(len(self))
        loop = asyncio.get_running_loop()
        handshake = Handshake(
            loop,
            accepted,
            channel,
            self._initializer_of,
            self,
            self._shaken,
            self._witness,
            self._channel_at,
        )
        self._handshakes.add(handshake)
        handshake.begin()

    def _shaken(self, handshake: Handshake, connection: Connection | None) -> None:
        self._handshakes.discard(handshake)
        if connection is not None:
            self._opened(connection)
        else:
            self._forget_opening()

    def _open_with(
        self,
        opened: Callable[[Connection], None],
        accepted: socket.socket,
        initializer: Initializer,
        outcome: HandshakeOutcome | None = None,
    ) -> None:
        self._opening += 1
        self.on_change(len(self))
        door = _Door(opened)
        make = partial(initializer.protocol, self, door, outcome)
        open_transport(asyncio.get_running_loop(), make, accepted, self._failed, partial(self._look_after, door))

    def _look_after(self, door: "_Door", transport: asyncio.Transport) -> None:
        """Let go of a client whose connection failed before it was open: nobody else knows of it."""
        if not door.passed:
            transport.abort()
            self._forget_opening()

    def _initializer_of(self, name: str) -> Initializer:
        return self._initializer if name == HTTP else self._others.called(name)

    def _failed(self, error: Exception) -> None:
        told = "an accepted connection was closed, because it could not be given to the loop: %r"
        logger.error(told, error, exc_info=None if isinstance(error, OSError) else error)
        self._forget_opening()

    def _forget_opening(self) -> None:
        self._opening -= 1
        self._note_change()

    def phases(self) -> Counter[Phase]:
        """How many connections do what."""
        return Counter(connection.sight().phase for connection in self)

    def resume_all(self) -> None:
        """Offer every held request again: what may be dispatched has changed."""
        for connection in self:
            connection.resume()

    def sweep(self, now: float) -> None:
        """See to every deadline that has passed.

        Args:
            now: Seconds of the loop's clock.
        """
        self._initializer.refresh()
        for connection in self:
            if connection in self._resting and not connection.outlet.ending:
                continue  # nobody reads, so it cannot be late
            overdue = connection.watch.look(connection.sight(), now, self._limits)
            if overdue is not None:
                connection.overdue(overdue)

    async def stop(self, deadline: float) -> int:
        """End gracefully: idle connections and sessions now, others with their next response, the rest at the deadline.

        Args:
            deadline: Seconds from now.

        Returns:
            How many connections had to be cut off.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + deadline
        self._leftovers.close()
        self._initializer.stop()
        self._others.stop()
        await _let_pending_input_in()
        for connection in self:
            if connection.parting is Parting.STAYS:
                connection.farewell()
        self._finish(Phase.IDLE)
        await self._wait_empty(min(until, loop.time() + SILENT_GRACE))
        self._finish(Phase.NEW)
        self._finish(Phase.IDLE)
        await self._wait_empty(until)
        late = (*self, *self._handshakes)
        for each in late:
            each.abort()
        return len(late)

    def _finish(self, phase: Phase) -> None:
        for connection in self:
            if connection.sight().phase is phase:
                connection.farewell()

    async def _wait_empty(self, until: float) -> None:
        try:
            async with asyncio.timeout_at(until):
                while len(self):
                    await self._changed.wait()
        except TimeoutError:
            return

    def _opened(self, connection: Connection) -> None:
        self._enter(connection)
        if self._on_rest is not None:
            connection.leave()

    def _arrived(self, luggage: Luggage, connection: Connection) -> None:
        self._opened(connection)
        unpack(luggage, connection, asyncio.get_running_loop().time(), self._limits)

    def _opened_to_end(self, luggage: Luggage, connection: Connection) -> None:
        self._enter(connection)
        connection.farewell(asked=bool(luggage.unread))

    def _enter(self, connection: Connection) -> None:
        self._open.add(connection)
        self._opening -= 1
        if len(self._open) == 1:
            self._initializer.refresh()
            self._schedule_sweep()

    def rested(self, connection: Connection) -> None:
        """See `Owner`."""
        if connection not in self._resting and self._on_rest is not None:
            self._resting.add(connection)
            self._on_rest(connection)

    def replaced(self, old: Connection, new: Connection) -> None:
        """See `Owner`."""
        self._open.remove(old)
        self._open.add(new)
        if self._on_rest is not None:
            new.leave()

    def closed(self, connection: Connection) -> None:
        """See `Owner`."""
        self._open.discard(connection)
        self._resting.discard(connection)
        if not self._open and self._sweep_timer is not None:
            self._sweep_timer.cancel()
            self._sweep_timer = None
        self._note_change()

    def _note_change(self) -> None:
        count = len(self)
        self._changed.wake()
        self.on_change(count)
        if self._tide.falls(count):
            asyncio.get_running_loop().call_later(SETTLED, give_back)

    def _schedule_sweep(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweep_timer = loop.call_later(sweep_interval(self._limits), self._on_sweep)

    def _on_sweep(self) -> None:
        self._schedule_sweep()
        self.sweep(asyncio.get_running_loop().time())


async def _let_pending_input_in() -> None:
    """Let the loop poll twice, so that what has already arrived is read before anything is called idle."""
    for _ in range(3):
        await asyncio.sleep(0)
