"""One HTTP/2 connection: the transport of its streams, and its end.

Each stream is dispatched at its own moment, so that a connection spans generations. What is said
in one turn of the loop leaves in one system call.
"""

import asyncio
import enum
import socket
from collections.abc import Callable
from typing import cast

from h2.events import Event, PingAckReceived

from changeover.workers.channel.connection import Connection, Owner, Parting
from changeover.workers.channel.outlet import Course, Outlet
from changeover.workers.channel.phases import Overdue, Phase, Sight, Watch, sight_between
from changeover.workers.channel.stint import Stint
from changeover.workers.http2.faults import Violation
from changeover.workers.http2.session import ENDLESS, Session
from changeover.workers.http2.site import Http2Site
from changeover.workers.http2.streams import Streams
from changeover.workers.http2.watch import StreamsWatch
from changeover.workers.serving.handshake import HandshakeOutcome
from changeover.workers.serving.lease import LeaseKind

PER_TURN = 64 * 1024
"""Bytes of bodies that a connection sends before the loop does something else."""
FRAMES = 32
"""Frames of a client that are heard before the loop does something else."""
NOTICE = 1.0
"""Seconds in which a client that was warned is expected to have heard it."""


class Notice(enum.Enum):
    """What the client was told of the end of the connection."""

    NONE = enum.auto()
    WARNED = enum.auto()
    """It is to open no stream; what it opens all the same, because it has not heard yet, is served."""
    GIVEN = enum.auto()
    """It was told the last stream that is served: what comes after is refused, and may be asked elsewhere."""


class Http2Connection(asyncio.Protocol):
    """A connection of a client.

    Args:
        site: What it has in common with others.
        owner: Told when it is gone.
        opened: Called when it has a transport.
        outcome: How it came about; None when nothing came before its first message.

    Attributes:
        outcome: As above.
        outlet: The write side.
        streams: Its streams.
        watch: Since when it has been doing what it does, for the sweep.
        since: When it was opened here, seconds of the loop's clock.
    """

    kind, parting, at_boundary = LeaseKind.HTTP, Parting.LATE, False

    _transport: asyncio.Transport
    outlet: Outlet
    since: float

    def __init__(
        self,
        site: Http2Site,
        owner: Owner,
        opened: Callable[[Connection], None],
        outcome: HandshakeOutcome | None = None,
    ) -> None:
        self.outcome = outcome
        self._site = site
        self._owner = owner
        self._opened = opened
        self._loop = asyncio.get_running_loop()
        self._session = Session(site.limits, self._loop.time())
        self.streams = Streams(site, self._session, self._loop.time, self._cork, outcome)
        self.watch: Watch = StreamsWatch(self.streams)
        self._stint = Stint(FRAMES)
        self._clogged = False
        self._notice = Notice.NONE
        self._noticing: asyncio.TimerHandle | None = None

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)
        self.outlet = Outlet(self._transport)
        self.streams.connect(transport)
        self.since = self._loop.time()
        self._site.connections.add(self)
        self._opened(self)
        del self._opened
        self._cork()

    def data_received(self, data: bytes) -> None:
        """Go on with what was read."""
        if self.outlet.course is Course.LINGERING:
            self.outlet.drop(len(data))
        else:
            self.take(data)

    def eof_received(self) -> bool:
        """The client has shut its write side; it still gets the answers to what it asked, as far as its windows go."""
        self.outlet.client_shut = True
        if self.streams:
            self.streams.shut()
        else:
            self.outlet.close()
        return self._transport.can_write_eof()

    def pause_writing(self) -> None:
        """The client does not take what is written."""
        self._clogged = True

    def resume_writing(self) -> None:
        """The client has taken enough."""
        self._clogged = False
        self._cork()

    def connection_lost(self, error: Exception | None) -> None:
        """End."""
        self.streams.lose()
        self._session.close()
        if self._noticing is not None:
            self._noticing.cancel()
        self._site.connections.discard(self)
        self.outlet.lost()
        self._owner.closed(self)

    # What the owner of all connections calls.

    @property
    def client(self) -> tuple[str, int] | None:
        """See `Connection`."""
        return self.streams.client

    @property
    def server(self) -> tuple[str, int | None] | None:
        """See `Connection`."""
        return self.streams.server

    @property
    def requests(self) -> int:
        """How many were dispatched."""
        return self.streams.dispatched

    @requests.setter
    def requests(self, dispatched: int) -> None:
        self.streams.dispatched = dispatched

    def unread(self) -> bytes:
        """Nothing of it can be named: it is not portable."""
        return b""

    def take(self, data: bytes) -> None:
        """Go on with bytes of the client."""
        self._session.add(data)
        self._advance()

    def resume(self) -> None:
        """Offer what is held again."""
        self.streams.resume()

    def leave(self) -> None:
        """Begin no request any more: the client is told which was the last, and asks the rest on another connection."""
        self._give_notice()

    def part(self) -> socket.socket | None:
        """Its socket stays: GOAWAY is the protocol's own way to another process."""
        return None

    def farewell(self, *, asked: bool = False) -> None:
        """See `Connection`: the client is warned first while there is something under way."""
        if self.streams:
            self.wind_down()
        else:
            self._give_notice()

    def abort(self) -> None:
        """Cut it off."""
        self.outlet.abort()

    def sight(self) -> Sight:
        """What it is doing; what its streams do is for each of them to say."""
        writing = self.outlet.sight()
        if writing is not None:
            return writing
        if not self.streams:
            return sight_between(self.requests, begun=self._session.begun, held=False)
        return Sight(Phase.HALF_CLOSED if self.outlet.client_shut else Phase.BUSY, self.requests)

    def overdue(self, overdue: Overdue) -> None:
        """Its phase has lasted too long."""
        match overdue:
            case Overdue.GONE:
                for stream in self.streams:
                    stream.depart()
            case Overdue.ABORT:
                self.outlet.abort()
            case _:
                self._give_notice()

    # What its site calls.

    def speak(self) -> None:
        """Send what there is to send, as far as the client takes it."""
        if self.outlet.ended:
            return
        if not self._clogged:
            self.streams.send(PER_TURN)
        self._write()
        if self.streams.have_more and not self._clogged:
            self._cork()
        self._close_after_last()

    def wind_down(self) -> None:
        """Warn the client, and go on until it has heard; without a stream there is nobody to be warned."""
        if self._notice is Notice.NONE and self.streams:
            self._notice = Notice.WARNED
            self._session.part(ENDLESS)
            self._session.ping()
            self._noticing = self._loop.call_later(NOTICE, self._give_notice)
            self._cork()

    # Within.

    def _advance(self) -> None:
        """Hear what the client said, for as long as it is this one's turn."""
        try:
            while not self._stint.rests and (events := self._session.receive(self._loop.time())) is not None:
                self._stint.spend(1, self._go_on)
                for event in events:
                    self._hear(event)
        except Violation as violation:
            self._condemn(violation)
        self._cork()
        if self._stint.rests and not self._transport.is_closing():
            self._transport.pause_reading()

    def _hear(self, event: Event) -> None:
        self.streams.hear(event)
        if type(event) is PingAckReceived and self._notice is Notice.WARNED:
            self._give_notice()

    def _go_on(self) -> None:
        if self._transport.is_closing():
            return
        self._transport.resume_reading()
        if not self.outlet.ended:
            self._advance()

    def _cork(self) -> None:
        if not self.outlet.ended:
            self._site.cork(self)

    def _write(self) -> None:
        pieces = self._session.take()
        if pieces:
            self.outlet.send(pieces, sum(map(len, pieces)))

    def _give_notice(self) -> None:
        """Tell the client the last stream that is served; the connection ends with it."""
        if self._notice is not Notice.GIVEN and not self.outlet.ended:
            self._notice = Notice.GIVEN
            self._session.part(self._session.last)
            self.streams.close()
            self._cork()

    def _close_after_last(self) -> None:
        if self.streams:
            return
        if self._notice is Notice.GIVEN or self._session.bid_farewell:
            self._linger()
        elif self.outlet.client_shut:
            self.outlet.close()
        elif self._site.stopping and self.requests:
            self._give_notice()

    def _condemn(self, violation: Violation) -> None:
        if not violation.said:
            self._session.part(self._session.last, violation.code, violation.fact)
        self.streams.lose()
        self._write()
        self._linger()

    def _linger(self) -> None:
        """Close; until the client does, what it still sends is dropped: a reset could destroy what it was told."""
        if self._transport.can_write_eof() or self.outlet.client_shut:
            self.outlet.linger()
        else:
            self.outlet.course = Course.LINGERING
