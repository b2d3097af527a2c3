"""Takes connections from workers that leave: the end of the handover that stays."""

import asyncio
import contextvars
import errno
import itertools
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from itertools import zip_longest
from pathlib import Path

from changeover.workers.channel.connections import Connections
from changeover.workers.channel.handed import HandedSocket
from changeover.workers.handover import effects, events
from changeover.workers.handover.drive import Drive
from changeover.workers.handover.effects import Effect
from changeover.workers.handover.link import Link
from changeover.workers.handover.messages import (
    MOST_TOGETHER,
    Adopted,
    Declined,
    Introduction,
    Offer,
    Offered,
    State,
    decode_from_sender,
    encode,
    shortened,
)
from changeover.workers.handover.receiver import Receiver
from changeover.workers.handover.sealed import NotSealed, unseal
from changeover.workers.link.credentials import ROOT, peer_is_us
from changeover.workers.link.packets import Packet
from changeover.workers.protocol.belongings import ASK
from changeover.workers.protocol.codec import MalformedFrame
from changeover.workers.protocol.refusal import Fault, Refusal, Stage

logger = logging.getLogger(__name__)

MODE = 0o660
BACKLOG = 64
"""Senders that may be waiting to be accepted."""
PER_TURN = 32
"""Connections after which no further packet is read in one turn of the loop."""
RETRY = 0.1
"""Seconds until senders are accepted again, after there was no descriptor for one."""
GONE = frozenset({errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN})

TakeState = Callable[[State, bytes, bytes], Awaitable[Refusal | None]]
"""Gives a plugin what was imported the last time and what is exported now; why that failed, if it did."""


def _nobody(adopted: socket.socket) -> None:
    """Nobody wants to know."""


async def _nobody_takes(state: State, imported: bytes, latest: bytes) -> Refusal | None:
    """There are no plugins."""
    return None


class Reception:
    """Listens on the worker's own socket, and adopts what others hand over.

    Args:
        loop: The worker's loop.
        path: Where to listen.
        journal: The journal this worker belongs to.
        connections: Where adopted connections go.
        room: How many more connections this worker may hold.
        belongings: What a supervisor is told that did not have this worker forked: a packet, and descriptors beside it.
        on_arrival: Told of the socket of the first connection that came by each address, and of the first tunnel.
        take_state: Takes the state of plugins.

    Attributes:
        receiver: Decides, and counts what it refused.
        malformed: Packets that were no messages.
        strangers: Senders of another user, cut off; root is none.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        path: Path,
        journal: str,
        connections: Connections,
        room: Callable[[], events.Room],
        belongings: Callable[[], tuple[bytes, tuple[int, ...]]],
        on_arrival: Callable[[socket.socket], None] = _nobody,
        take_state: TakeState = _nobody_takes,
    ) -> None:
        self.receiver = Receiver(journal)
        self.malformed = self.strangers = 0
        self._loop = loop
        self._path = path
        self._connections = connections
        self._room = room
        self._belongings = belongings
        self._on_arrival = on_arrival
        self._seen: set[tuple[str, bool]] = set()
        self._take_state = take_state
        self._numbers = itertools.count(1)
        self._links: dict[int, Link] = {}
        self._arrived: dict[tuple[int, int], tuple[socket.socket, Offered]] = {}
        self._states: dict[tuple[int, int], tuple[State, Packet]] = {}
        self._takings: set[asyncio.Task[None]] = set()
        self._left = PER_TURN
        self._listener: socket.socket | None = None
        self._pause: asyncio.TimerHandle | None = None
        perform: dict[type[Effect], Callable[..., None]] = {
            effects.Say: self._say,
            effects.Adopt: self._adopt,
            effects.Drop: self._drop,
            effects.HangUp: self._hang_up,
            effects.Take: self._take,
            effects.Forget: self._forget,
        }
        self._drive = Drive(loop, self.receiver, perform, self._on_time)

    def start(self) -> None:
        """Listen.

        Raises:
            OSError: The socket cannot be bound.
        """
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            listener.bind(os.fspath(self._path))
            self._path.chmod(MODE)
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
        listener.setblocking(False)
        self._listener = listener
        self._listen()

    def refresh(self) -> None:
        """There may be room now, or none: tell the senders at once."""
        self._drive.feed(events.Standing(self._room(), len(self._connections)))

    def close(self) -> None:
        """Take nothing more; what a sender was not told to be ours stays its own."""
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None
            self._path.unlink(missing_ok=True)
        if self._pause is not None:
            self._pause.cancel()
        self._drive.stop()
        for link in self._links.values():
            link.close()
        self._links.clear()

    # ---- what happens ----

    def _listen(self) -> None:
        if self._listener is not None:
            self._loop.add_reader(self._listener, self._on_connecting, self._listener)

    def _on_connecting(self, listener: socket.socket) -> None:
        try:
            accepted, _ = listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            logger.warning("a worker that leaves cannot be accepted, next attempt in %s s: %r", RETRY, error)
            self._loop.remove_reader(listener)
            self._pause = self._loop.call_later(RETRY, self._listen)
            return
        if peer_is_us(accepted, ROOT):
            number = next(self._numbers)
            self._links[number] = Link(self._loop, accepted, MOST_TOGETHER, lambda: self._on_readable(number))
            self._drive.feed(events.LinkMade(number))
        else:
            self.strangers += 1
            accepted.close()

    def _on_readable(self, number: int) -> None:
        arrivals: list[events.Arrival] = []
        ended = False
        for packet in self._links[number].take(self._take_turn()):
            ended = not packet.data
            if packet.data:
                self._read(number, packet, arrivals)
            if self._left <= 0:
                break
        if arrivals:
            self.refresh()
            self._drive.feed(events.Arrived(number, tuple(arrivals)))
        if ended:
            self._drive.feed(events.SenderEnded(number))

    def _take_turn(self) -> int:
        """How many connections may still be read in this turn of the loop, and so at most how many packets."""
        if self._left == PER_TURN:
            self._loop.call_soon(self._next_turn)
        return self._left

    def _next_turn(self) -> None:
        self._left = PER_TURN

    def _read(self, number: int, packet: Packet, arrivals: list[events.Arrival]) -> None:
        if packet.data == ASK:
            packet.close_fds()
            return self._tell_belongings(self._links[number])
        try:
            message = decode_from_sender(packet.data)
        except MalformedFrame:
            self.malformed += 1
            packet.close_fds()
            self._drive.feed(events.Nonsense(number))
            return
        if isinstance(message, Introduction):
            packet.close_fds()
            self.refresh()
            self._drive.feed(events.Introduced(number, message))
            return
        if isinstance(message, State):
            self._left -= 1
            self._states[number, message.id] = message, packet
            self._drive.feed(events.StateArrived(number, message.id))
            return
        self._left -= len(message.connections)
        for offered, sock in _unpack(message, packet):
            if sock is not None:
                self._arrived[number, offered.id] = sock, offered
            arrivals.append(events.Arrival(offered.id, sock is not None))

    def _tell_belongings(self, link: Link) -> None:
        try:
            link.send(*self._belongings())
        except OSError as error:
            logger.warning("a supervisor that wants to adopt this worker cannot be answered: %r", error)

    # ---- what is wanted ----

    def _say(self, effect: effects.Say) -> None:
        link = self._links.get(effect.link)
        if link is None:
            return
        try:
            link.send(encode(effect.message))
        except OSError as error:
            self._drive.feed(events.Unsaid(effect.link, error.errno in GONE))
            return
        if isinstance(effect.message, Adopted | Declined):
            self._drive.feed(events.Said(effect.link, effect.message))

    def _adopt(self, effect: effects.Adopt) -> None:
        sock, offer = self._arrived.pop((effect.link, effect.id))
        came = offer.listener, offer.luggage.last
        if came not in self._seen:
            self._seen.add(came)
            self._on_arrival(sock)
        self._connections.adopt(sock, offer.luggage)

    def _drop(self, effect: effects.Drop) -> None:
        sock, _ = self._arrived.pop((effect.link, effect.id))
        sock.close()

    def _hang_up(self, effect: effects.HangUp) -> None:
        self._links.pop(effect.link).close()

    def _take(self, effect: effects.Take) -> None:
        state, packet = self._states.pop((effect.link, effect.id))
        try:
            parts = _parts(state, packet)
        except (NotSealed, OSError) as error:
            fault = Fault.INTERNAL if isinstance(error, NotSealed) else Fault.RESOURCE
            refusal = Refusal(Stage.PREPARE, fault, str(error), unit=f"plugin {state.plugin}")
            self._drive.feed(events.StateJudged(effect.link, effect.id, refusal))
            return
        finally:
            packet.close_fds()
        # Runs to its end, also when its sender is gone meanwhile: what was begun cannot be undone.
        task = self._loop.create_task(self._taking(effect, state, *parts), context=contextvars.Context())
        self._takings.add(task)
        task.add_done_callback(self._takings.discard)

    async def _taking(self, effect: effects.Take, state: State, imported: bytes, latest: bytes) -> None:
        refusal = await self._take_state(state, imported, latest)
        told = None if refusal is None else shortened(refusal)
        self._drive.feed(events.StateJudged(effect.link, effect.id, told))

    def _forget(self, effect: effects.Forget) -> None:
        _, packet = self._states.pop((effect.link, effect.id))
        packet.close_fds()

    def _on_time(self) -> None:
        self.refresh()
        self._drive.feed(events.Woken())


def _unpack(offer: Offer, packet: Packet) -> Iterator[tuple[Offered, socket.socket | None]]:
    """Each connection with its socket; None where that is missing: when descriptors ran short the last ones are."""
    fds = packet.fds
    if len(fds) > len(offer.connections):  # which is whose?
        packet.close_fds()
        fds = ()
    for offered, fd in zip_longest(offer.connections, fds):
        yield offered, None if fd is None else _socket_of(fd)


def _parts(state: State, packet: Packet) -> tuple[bytes, bytes]:
    """What the state of a plugin consists of.

    Raises:
        NotSealed: It is not what its message says.
        OSError: Its descriptor did not arrive, or cannot be read.
    """
    if len(packet.fds) != 1:
        raise OSError(errno.EMFILE, f"the state of {state.plugin} came with {len(packet.fds)} descriptors")
    imported, latest = unseal(packet.fds[0], state.imported, state.latest)
    return imported, latest


def _socket_of(fd: int) -> socket.socket | None:
    try:
        return HandedSocket(fileno=fd)
    except OSError:
        logger.error("a descriptor that was handed over is no socket")
        os.close(fd)
        return None
