"""One HTTP/2 connection: its streams, each an exchange of its own, and its end.

A stream is dispatched at its own moment, so that a connection spans generations. What is said in
one turn of the loop leaves in one system call; the streams that have something to say take turns,
a frame each.
"""

import asyncio
import enum
import socket
import weakref
from collections.abc import Callable
from typing import Any, cast

from h2 import events

from changeover.workers.channel.addresses import client_of, server_of
from changeover.workers.channel.connection import Connection, Owner
from changeover.workers.channel.outlet import Course, Outlet
from changeover.workers.channel.phases import Overdue, Phase, Sight, Watch, sight_between
from changeover.workers.http.faults import BadMessage
from changeover.workers.http2.exchange import StreamExchange
from changeover.workers.http2.faults import Malformed, Violation
from changeover.workers.http2.frames import PROTOCOL_ERROR
from changeover.workers.http2.head import REFUSED, RequestHead, parse_head
from changeover.workers.http2.ledger import REFUSAL
from changeover.workers.http2.outflow import Rounds
from changeover.workers.http2.session import ENDLESS, NO_ERROR, REFUSED_STREAM, Session
from changeover.workers.http2.site import Http2Site
from changeover.workers.http2.watch import StreamsWatch
from changeover.workers.serving.handshake import HandshakeOutcome
from changeover.workers.serving.lease import LeaseKind

PER_TURN = 64 * 1024
"""Bytes of bodies that a connection sends before the loop does something else."""
WAITING = 256 * 1024
"""Bytes of all answers that wait for a client before their applications wait, shared among its streams."""
LEAST_SHARE = 16 * 1024
"""Bytes that each of them may have waiting at the least."""
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
        client: Peer address and port; None on a Unix socket.
        server: Own address and port, or path and None on a Unix socket.
        scheme: `http` or `https`.
        outlet: The write side.
        requests: How many were dispatched.
        watch: Since when it has been doing what it does, for the sweep.
        since: When it was opened here, seconds of the loop's clock.
    """

    kind, portable, at_boundary = LeaseKind.HTTP, False, False

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
        self.client: tuple[str, int] | None = None
        self.server: tuple[str, int | None] | None = None
        self.scheme = "http" if outcome is None else outcome.scheme
        self.requests = 0
        self.watch: Watch = StreamsWatch(lambda: tuple(self._streams.values()))
        self._site = site
        self._owner = owner
        self._opened = opened
        self._loop = asyncio.get_running_loop()
        self._session = Session(site.limits, self._loop.time())
        self._streams: dict[int, StreamExchange] = {}
        self._given_up: weakref.WeakSet[StreamExchange] = weakref.WeakSet()
        self._rounds = Rounds[StreamExchange]()
        self._clogged = False
        self._notice = Notice.NONE
        self._noticing: asyncio.TimerHandle | None = None

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)
        self.outlet = Outlet(self._transport)
        outcome = self.outcome
        if outcome is None:
            self.client, self.server = client_of(transport), server_of(transport)
        else:
            self.client, self.server = outcome.client, outcome.server
        self.since = self._loop.time()
        self._site.connections.add(self)
        self._opened(self)
        self._site.cork(self)

    def data_received(self, data: bytes) -> None:
        """Go on with what was read."""
        if self.outlet.course is Course.LINGERING:
            self.outlet.drop(len(data))
        else:
            self.take(data)

    def eof_received(self) -> bool:
        """The client has shut its write side; it still gets the answers to what it asked."""
        self.outlet.client_shut = True
        if not self._streams:
            self.outlet.close()
        return self._transport.can_write_eof()

    def pause_writing(self) -> None:
        """The client does not take what is written."""
        self._clogged = True

    def resume_writing(self) -> None:
        """The client has taken enough."""
        self._clogged = False
        self._site.cork(self)

    def connection_lost(self, error: Exception | None) -> None:
        """End."""
        self._lose_streams()
        if self._noticing is not None:
            self._noticing.cancel()
        self._site.connections.discard(self)
        self.outlet.lost()
        self._owner.closed(self)

    # What the owner of all connections calls.

    def unread(self) -> bytes:
        """Nothing of it can be named: it is not portable."""
        return b""

    def take(self, data: bytes) -> None:
        """Go on with bytes of the client."""
        try:
            for event in self._session.receive(data, self._loop.time()):
                handle = HANDLERS.get(type(event))
                if handle is not None:
                    handle(self, event)
        except Violation as violation:
            self._condemn(violation)
        self._site.cork(self)

    def resume(self) -> None:
        """Offer what is held again."""
        for stream in [each for each in self._streams.values() if each.held]:
            self._offer(stream)

    def leave(self) -> None:
        """Begin no request any more: the client is told which was the last, and asks the rest on another connection."""
        for stream in [each for each in self._streams.values() if each.held]:
            self.reset(stream, REFUSED_STREAM)
        self._give_notice()

    def part(self) -> socket.socket | None:
        """Its socket stays: GOAWAY is the protocol's own way to another process."""
        return None

    def farewell(self, *, asked: bool = False) -> None:
        """See `Connection`."""
        self._give_notice()

    def abort(self) -> None:
        """Cut it off."""
        self.outlet.abort()

    def sight(self) -> Sight:
        """What it is doing; what its streams do is for each of them to say."""
        writing = self.outlet.sight()
        if writing is not None:
            return writing
        if not self._streams:
            return sight_between(self.requests, begun=self._session.begun, held=False)
        return Sight(Phase.HALF_CLOSED if self.outlet.client_shut else Phase.BUSY, self.requests)

    def overdue(self, overdue: Overdue) -> None:
        """Its phase has lasted too long."""
        match overdue:
            case Overdue.GONE:
                for stream in self._streams.values():
                    stream.depart()
            case Overdue.ABORT:
                self.outlet.abort()
            case _:
                self._give_notice()

    # What its site calls.

    def speak(self) -> None:
        """Send what there is to send, stream by stream in turn, as far as the client takes it."""
        if self.outlet.ended:
            return
        room = PER_TURN
        while self._rounds and room > 0 and not self._clogged:
            room -= self._send_frame(self._rounds.next())
        self._write()
        if self._rounds and not self._clogged:
            self._site.cork(self)
        self._close_after_last()

    def wind_down(self) -> None:
        """The worker stops: warn the client, and go on until it has heard."""
        if self._notice is Notice.NONE and self._streams:
            self._notice = Notice.WARNED
            self._session.part(ENDLESS)
            self._session.ping()
            self._noticing = self._loop.call_later(NOTICE, self._give_notice)
            self._site.cork(self)

    # What its streams call.

    @property
    def share(self) -> int:
        """How many bytes an answer may have waiting before its application waits."""
        return max(LEAST_SHARE, WAITING // max(4, len(self._streams)))

    def waits_for_window(self, stream: StreamExchange) -> bool:
        """Whether the client has yet to let a stream go on."""
        return self._rounds.is_blocked(stream)

    def want(self, stream: StreamExchange) -> None:
        """A stream has something to send."""
        if stream.number in self._streams:
            self._rounds.want(stream)
            self._site.cork(self)

    def ask_for_body(self, stream: StreamExchange) -> None:
        """The client of a stream waits to be asked for its body."""
        if stream.number in self._streams and stream.response is None:
            self._session.start(stream.number, ((b":status", b"100"),), last=False)
            self._site.cork(self)

    def acknowledge(self, stream: StreamExchange, size: int) -> None:
        """Bytes of a body were taken, or dropped."""
        if not self.outlet.ended:
            self._session.acknowledge(stream.number, size)
            self._site.cork(self)

    def reset(self, stream: StreamExchange, code: int) -> None:
        """A stream ends at once."""
        if self._forget(stream):
            self._session.reset(stream.number, code)
            self._site.cork(self)

    def released(self, stream: StreamExchange) -> None:
        """An application has noticed that its client gave up."""
        self._given_up.discard(stream)

    # What the client says.

    def _on_request(self, event: events.RequestReceived) -> None:
        number = event.stream_id
        busy = len(self._streams) + len(self._given_up)
        if self._notice is Notice.GIVEN or busy >= self._site.limits.streams:
            self._refuse(number, REFUSED_STREAM)
            return
        ended = event.stream_ended is not None
        try:
            head = parse_head(event.headers, self._site.limits)
        except Malformed:
            self._refuse(number, PROTOCOL_ERROR)
        except BadMessage as error:
            self._add(number, REFUSED, ended=ended).fail(error)
        else:
            self._offer(self._add(number, head, ended=ended))

    def _add(self, number: int, head: RequestHead, *, ended: bool) -> StreamExchange:
        stream = StreamExchange(self, number, head, ended=ended, limit=self._site.limits.body)
        self._streams[number] = stream
        return stream

    def _offer(self, stream: StreamExchange) -> None:
        stream.held = not self._site.dispatcher.dispatch(stream)
        self.requests += not stream.held

    def _refuse(self, number: int, code: int) -> None:
        self._session.reset(number, code)
        self._session.ledger.spend(REFUSAL, self._loop.time())

    def _on_data(self, event: events.DataReceived) -> None:
        stream = self._streams.get(event.stream_id)
        if stream is None:
            self._session.acknowledge(event.stream_id, event.flow_controlled_length)
            return
        try:
            wanted = stream.feed(event.data, event.flow_controlled_length)
        except BadMessage as error:
            stream.fail(error)
        else:
            if not wanted:
                self.reset(stream, NO_ERROR)

    def _on_end(self, event: events.StreamEnded) -> None:
        stream = self._streams.get(event.stream_id)
        if stream is not None:
            stream.finish_input()
            if stream.is_over:
                self._forget(stream)

    def _on_reset(self, event: events.StreamReset) -> None:
        stream = self._streams.get(event.stream_id)
        if stream is not None:
            self._forget(stream)
            if stream.lose():
                self._given_up.add(stream)

    def _on_window(self, event: events.WindowUpdated) -> None:
        if event.stream_id == 0:
            self._rounds.unblock_all()
        elif event.stream_id in self._streams:
            self._rounds.unblock(self._streams[event.stream_id])

    def _on_settings(self, event: events.RemoteSettingsChanged) -> None:
        self._rounds.unblock_all()

    def _on_pong(self, event: events.PingAckReceived) -> None:
        if self._notice is Notice.WARNED:
            self._give_notice()

    # What the client is told.

    def _send_frame(self, stream: StreamExchange) -> int:
        """Send one stream's next frame; the bytes of a body in it."""
        number, response = stream.number, stream.response
        if stream.is_unsent and response is not None:
            last = stream.complete and not stream.outflow.size
            self._session.start(number, stream.head(self._site.own_fields(response)), last=last)
            if last:
                self._end_output(stream)
                return 0
        room = self._session.room(number) if stream.outflow.size else 0
        if stream.outflow.size and not room:
            self._rounds.block(stream)
            return 0
        piece = stream.cut(room)
        last = stream.complete and not stream.outflow.size
        if piece or last:
            self._session.write(number, piece, last=last)
        if last:
            self._end_output(stream)
        elif stream.outflow.size:
            self._rounds.want(stream)
        return len(piece)

    def _end_output(self, stream: StreamExchange) -> None:
        stream.answered = True
        if stream.is_over:
            self._forget(stream)
        elif not stream.is_worth_reading:
            self.reset(stream, NO_ERROR)

    def _write(self) -> None:
        pieces = self._session.take()
        if pieces:
            self.outlet.send(pieces, sum(map(len, pieces)))

    # The end.

    def _forget(self, stream: StreamExchange) -> bool:
        self._rounds.leave(stream)
        return self._streams.pop(stream.number, None) is not None

    def _lose_streams(self) -> None:
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            self._rounds.leave(stream)
            stream.lose()

    def _give_notice(self) -> None:
        """Tell the client the last stream that is served; the connection ends with it."""
        if self._notice is not Notice.GIVEN and not self.outlet.ended:
            self._notice = Notice.GIVEN
            self._session.part(self._session.last)
            self._site.cork(self)

    def _close_after_last(self) -> None:
        if self._streams:
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
        self._lose_streams()
        self._write()
        self._linger()

    def _linger(self) -> None:
        """Close; until the client does, what it still sends is dropped: a reset could destroy what it was told."""
        if self._transport.can_write_eof() or self.outlet.client_shut:
            self.outlet.linger()
        else:
            self.outlet.course = Course.LINGERING


HANDLERS: dict[type[events.Event], Callable[[Http2Connection, Any], None]] = {
    events.RequestReceived: Http2Connection._on_request,
    events.DataReceived: Http2Connection._on_data,
    events.StreamEnded: Http2Connection._on_end,
    events.StreamReset: Http2Connection._on_reset,
    events.WindowUpdated: Http2Connection._on_window,
    events.RemoteSettingsChanged: Http2Connection._on_settings,
    events.PingAckReceived: Http2Connection._on_pong,
}
