"""Hands all connections of a worker over to others: the end of the handover that leaves."""

import asyncio
import contextvars
import errno
import itertools
import logging
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from changeover.workers.channel.addresses import worded
from changeover.workers.channel.connection import Connection, Parting
from changeover.workers.channel.connections import Connections
from changeover.workers.channel.luggage import Luggage
from changeover.workers.channel.waiters import Waiters
from changeover.workers.handover import effects, events, outbound
from changeover.workers.handover.drive import Drive
from changeover.workers.handover.effects import Effect
from changeover.workers.handover.errors import Unreachable
from changeover.workers.handover.events import Hindrance
from changeover.workers.handover.giver import Giver
from changeover.workers.handover.link import Link, dial
from changeover.workers.handover.messages import (
    HANDOVER_VERSION,
    MOST_TOGETHER,
    MOST_UNREAD,
    Introduction,
    Offer,
    Offered,
    decode_from_receiver,
    encode,
)
from changeover.workers.handover.sender import Sender
from changeover.workers.link import endpoints
from changeover.workers.protocol.codec import MalformedFrame
from changeover.workers.protocol.epoch import Stamp
from changeover.workers.protocol.identity import WorkerId

logger = logging.getLogger(__name__)

LOOK_AGAIN = 0.005
"""Seconds between two attempts to reach a successor."""
LATER = 5.0
"""Seconds in which successors that were added later have to be reached."""
PER_TURN = 128
"""Packets heard of one receiver in one turn of the loop: more than can be waiting."""
PATIENCE = 30.0
"""Seconds that a connection waits to be taken, unless told otherwise."""


def _nobody(waited: float) -> None:
    """Nobody wants to know."""


@dataclass(slots=True)
class _Parted:
    """A connection on its way: its socket, which nobody reads, and what it takes along."""

    sock: socket.socket
    luggage: Luggage
    listener: str


class Departure:
    """Leaves all connections to successors, and closes none.

    Args:
        loop: The worker's loop.
        runtime: The runtime directory.
        worker: Who leaves.
        stamp: Where in history it stands, whenever asked.
        connections: What is handed over.
        patience: Seconds that a connection waits to be taken before it is closed politely.
        window: Seconds over which the ends of those are spread that began to wait together.
        on_end: Told of each that nobody took how long it had waited, in seconds.

    Attributes:
        sender: Decides.
        giver: Gives the state of plugins to those who were reached.
        adopted: How many connections were taken, or given up to who may have taken them.
        ended: How many nobody took in time.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        runtime: Path,
        worker: WorkerId,
        stamp: Callable[[], Stamp],
        connections: Connections,
        patience: float = PATIENCE,
        window: float = 0.0,
        on_end: Callable[[float], None] = _nobody,
    ) -> None:
        self.sender = Sender(patience, window)
        self._patience, self._on_end = patience, on_end
        self.adopted = self.ended = 0
        self._loop = loop
        self._runtime = runtime
        self._worker = worker
        self._stamp = stamp
        self._connections = connections
        self._numbers = itertools.count(1)
        self._links: dict[WorkerId, Link] = {}
        self._held: dict[int, Connection | _Parted] = {}
        self._since: dict[int, float] = {}
        self._looking: asyncio.TimerHandle | None = None
        self._rested: list[Connection] = []
        self._settled = Waiters()
        self._additions: set[asyncio.Task[None]] = set()
        self.giver = Giver(loop, self._links, self.sender, lambda event: self._drive.feed(event))
        perform: dict[type[Effect], Callable[..., None]] = {
            effects.Introduce: self._introduce,
            effects.Offer: self._offer,
            effects.LetGo: self._let_go,
            effects.End: self._end,
            effects.Disconnect: self._disconnect,
            effects.Give: self.giver.send,
            effects.Settle: self.giver.settle,
        }
        self._drive = Drive(loop, self.sender, perform, lambda: self._drive.feed(events.Woken()))

    async def connect(self, successors: Sequence[WorkerId], deadline: float) -> None:
        """Reach successors; whoever was reached stays so, also when others cannot be.

        Args:
            successors: Who takes connections.
            deadline: Seconds from now.

        Raises:
            Unreachable: Some could not be reached in time, or take nothing from this worker.
        """
        until = self._loop.time() + deadline
        reasons = dict.fromkeys(successors, "it did not answer")
        while True:
            for successor in tuple(reasons):
                reason = self._try_to_reach(successor)
                if reason is None:
                    del reasons[successor]
                else:
                    reasons[successor] = reason
            if not reasons:
                return
            if self._loop.time() >= until or all(successor in self.sender.denials for successor in reasons):
                raise Unreachable(reasons)
            await asyncio.sleep(LOOK_AGAIN)

    def add(self, successors: Sequence[WorkerId]) -> None:
        """Reach further successors meanwhile; who cannot be reached is left out, with a warning."""
        task = self._loop.create_task(self._add(successors), context=contextvars.Context())
        self._additions.add(task)
        task.add_done_callback(self._additions.discard)

    def begin(self) -> None:
        """Begin no request any more, and hand over whatever has none in flight; the rest follows."""
        self._connections.leave(self._on_rest)
        if self._looking is None:
            self._looking = self._loop.call_later(self._patience, self._look_for_receivers)

    async def done(self) -> None:
        """Return when there is no connection left here: each is somebody else's, or has ended."""
        while len(self._connections) or self._held:
            await (self._connections.changed() if len(self._connections) else self._settled.wait())

    def close(self) -> None:
        """End the departure: what nobody has taken is closed politely, what is on its way is given up."""
        self._take_rested()
        for receiver in tuple(self._links):
            self._on_readable(receiver)  # what was said until now counts
        self._drive.feed(events.Closed())
        for task in self._additions:
            task.cancel()
        if self._looking is not None:
            self._looking.cancel()
        self._drive.stop()

    # ---- what happens ----

    def _on_rest(self, connection: Connection) -> None:
        """It may be in the middle of its own doing: it is looked at in the next turn of the loop."""
        if not self._rested:
            self._loop.call_soon(self._take_rested)
        self._rested.append(connection)

    def _take_rested(self) -> None:
        rested, self._rested = self._rested, []
        numbered = dict(zip(self._numbers, rested, strict=False))
        self._held |= numbered
        self._since |= dict.fromkeys(numbered, self._loop.time())
        self._drive.feed(events.Rested(tuple(numbered)))

    def _look_for_receivers(self) -> None:
        """Where nobody is left to take anything, the answers under way say that they are the last."""
        if any(self.sender.link(receiver) in outbound.REACHED for receiver in self._links):
            return
        for connection in self._connections:
            if connection.parting is Parting.RESTS and not connection.at_boundary:
                connection.farewell()

    def _on_readable(self, receiver: WorkerId) -> None:
        for packet in self._links[receiver].take(PER_TURN):
            if not packet.data:
                self._drive.feed(events.LinkEnded(receiver))
                self.add((receiver,))  # it may live, and have closed the link because it could not answer
                return
            try:
                message = decode_from_receiver(packet.data)
            except MalformedFrame as error:
                logger.error("%s takes no more connections of this worker: %s", receiver, error)
                self._drive.feed(events.LinkBroken(receiver))
                return
            self._drive.feed(events.Heard(receiver, message))

    def _try_to_reach(self, successor: WorkerId) -> str | None:
        """Get further in reaching a successor; None when it is reached, otherwise what is missing."""
        if successor in self.sender.denials:
            return self.sender.denials[successor].value
        if successor not in self._links:
            try:
                sock = dial(endpoints.handover(self._runtime, successor))
            except OSError as error:
                return error.strerror or str(error)
            self._links[successor] = Link(self._loop, sock, 0, partial(self._on_readable, successor))
            self._drive.feed(events.Connected(successor))
        return None if self.sender.link(successor) in outbound.REACHED else "it did not answer"

    async def _add(self, successors: Sequence[WorkerId]) -> None:
        try:
            await self.connect(successors, LATER)
        except Unreachable as error:
            logger.warning("%s; those that are reached take its share", error)

    # ---- what is wanted ----

    def _introduce(self, effect: effects.Introduce) -> None:
        introduction = Introduction(HANDOVER_VERSION, self._worker, self._stamp())
        try:
            self._links[effect.receiver].send(encode(introduction))
        except OSError:
            self._drive.feed(events.LinkBroken(effect.receiver))

    def _offer(self, effect: effects.Offer) -> None:
        parted = self._part_with(effect.ids)
        for packet in _packets(parted):
            self._send(effect.receiver, packet)
        left = tuple(number for number in effect.ids if number not in parted and number in self._held)
        if left:
            self._drive.feed(events.NotSent(left, Hindrance.LINK))

    def _send(self, receiver: WorkerId, packet: Mapping[int, _Parted]) -> None:
        offered = tuple(Offered(number, parted.listener, parted.luggage) for number, parted in packet.items())
        try:
            message = encode(Offer(self._stamp(), offered))
            self._links[receiver].send(message, [parted.sock.fileno() for parted in packet.values()])
        except OSError as error:
            hindrance = Hindrance.PACKET if error.errno == errno.EMSGSIZE else Hindrance.LINK
            self._drive.feed(events.NotSent(tuple(packet), hindrance))
        else:
            self._drive.feed(events.Sent(tuple(packet)))

    def _part_with(self, numbers: Sequence[int]) -> dict[int, _Parted]:
        """Take connections from their transports, as far as there are descriptors; the rest stays with its own."""
        taken = dict[int, _Parted]()
        for number in numbers:
            try:
                parted = self._part(number)
            except OSError:
                break
            if parted is None:
                self._forget(number)
                self._drive.feed(events.Vanished(number))
            else:
                taken[number] = parted
        return taken

    def _part(self, number: int) -> _Parted | None:
        """Take a connection from its transport, once; None when it has ended."""
        held = self._held[number]
        if isinstance(held, _Parted):
            return held
        parted = self._connections.part(held)
        if parted is None:
            return None
        sock, luggage = parted
        taken = self._held[number] = _Parted(sock, luggage, worded(held.server))
        return taken

    def _let_go(self, effect: effects.LetGo) -> None:
        self.adopted += 1
        held = self._forget(effect.id)
        if isinstance(held, _Parted):
            held.sock.close()

    def _end(self, effect: effects.End) -> None:
        self.ended += 1
        self._on_end(self._loop.time() - self._since[effect.id])
        held = self._forget(effect.id)
        if isinstance(held, _Parted):
            self._connections.end(held.sock, held.luggage)
        else:
            held.farewell()

    def _forget(self, number: int) -> Connection | _Parted:
        del self._since[number]
        held = self._held.pop(number)
        if not self._held:
            self._settled.wake()
        return held

    def _disconnect(self, effect: effects.Disconnect) -> None:
        self._links.pop(effect.receiver).close()


def _packets(parted: Mapping[int, _Parted]) -> Iterator[dict[int, _Parted]]:
    """Connections as they go together into packets, in order."""
    packet, together = dict[int, _Parted](), 0
    for number, each in parted.items():
        size = each.luggage.size
        if packet and (len(packet) == MOST_TOGETHER or together + size > MOST_UNREAD):
            yield packet
            packet, together = {}, 0
        packet[number] = each
        together += size
    if packet:
        yield packet
