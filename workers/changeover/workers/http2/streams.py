"""The streams of one connection: what the client says on each, and whose turn it is to answer."""

import weakref
from collections.abc import Callable, Iterator
from typing import Any

from h2 import events

from changeover.workers.channel.addresses import client_of, server_of
from changeover.workers.http.faults import BadMessage
from changeover.workers.http2.exchange import StreamExchange
from changeover.workers.http2.faults import Malformed
from changeover.workers.http2.frames import PROTOCOL_ERROR
from changeover.workers.http2.head import parse_head, parse_trailers, refused_head
from changeover.workers.http2.ledger import REFUSAL
from changeover.workers.http2.logged import LoggedStream
from changeover.workers.http2.outflow import Rounds
from changeover.workers.http2.session import NO_ERROR, REFUSED_STREAM, Session
from changeover.workers.http2.site import Http2Site
from changeover.workers.serving.handshake import HandshakeOutcome

WAITING = 256 * 1024
"""Bytes of all answers that wait for a client before their applications wait, shared among its streams."""
LEAST_SHARE = 16 * 1024
"""Bytes that each of them may have waiting at the least."""
FEW = 4
"""Streams that get the same share as one alone."""
AT_ONCE = 16
"""Most requests of one connection that begin in one turn of the loop: what comes of them shows before others begin."""
UNTAKEN = 1024 * 1024
"""Bytes of all answers that wait for a client before none of its further requests begins unless it takes some."""
FOR_ONE = 256 * 1024
"""Bytes of them that it takes before one more begins all the same."""
TORN = BadMessage(400, "the request body is cut short")


def _unheard() -> None:
    """Nobody listens any more."""


class Streams:
    """The streams that are open.

    Args:
        site: What their connection has in common with others.
        session: What is said on the connection.
        clock: Seconds.
        spoken: Told whenever there is something to send.
        outcome: How the connection came about; None when nothing came before its first message.

    Attributes:
        client: Peer address and port; None on a Unix socket.
        server: Own address and port, or path and None on a Unix socket.
        scheme: `http` or `https`.
        outcome: As above.
        dispatched: How many requests were.
        closed: Whether no further one is served.
    """

    def __init__(
        self,
        site: Http2Site,
        session: Session,
        clock: Callable[[], float],
        spoken: Callable[[], None],
        outcome: HandshakeOutcome | None,
    ) -> None:
        self.client: tuple[str, int] | None = None
        self.server: tuple[str, int | None] | None = None
        self.scheme = "http" if outcome is None else outcome.scheme
        self.outcome = outcome
        self.dispatched = 0
        self.closed = False
        self._site = site
        self._session = session
        self._clock = clock
        self._spoken = spoken
        self._open: dict[int, StreamExchange] = {}
        self._given_up: weakref.WeakSet[StreamExchange] = weakref.WeakSet()
        self._may_begin = AT_ONCE
        self._taken = 0
        self._goes_on = False
        self._shut = False
        self._rounds = Rounds[StreamExchange]()

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[StreamExchange]:
        return iter(tuple(self._open.values()))

    def connect(self, transport: Any) -> None:
        """There is a transport."""
        making = self._site.making
        if self.outcome is None:
            self.client, self.server = client_of(transport), server_of(transport)
        else:
            self.client, self.server = self.outcome.client, self.outcome.server
        self._make = StreamExchange if making is None else making.maker(self.client, StreamExchange, LoggedStream)

    # What the connection calls.

    def hear(self, event: events.Event) -> None:
        """The client says something.

        Raises:
            Violation: It says so too often.
        """
        handle = _HANDLERS.get(type(event))
        if handle is not None:
            handle(self, event)

    def resume(self) -> None:
        """Offer what is held again."""
        for stream in self:
            if stream.held:
                self._offer(stream)

    def close(self) -> None:
        """Serve no further request, also none that is held: the client may ask again elsewhere."""
        self.closed = True
        for stream in self:
            if stream.held:
                self.reset(stream, REFUSED_STREAM)

    def shut(self) -> None:
        """The client says nothing more: whatever waits for it to do so would wait for ever, and ends."""
        self._shut = True
        for stream in self:
            if stream.answered:
                self._forget(stream)
            elif self._rounds.is_blocked(stream):
                stream.cut_off()
            elif not stream.ended and not stream.complete:
                stream.fail(TORN)
        self._spoken()

    def lose(self) -> None:
        """The client is gone."""
        streams = tuple(self)
        self._open.clear()
        self._spoken = _unheard
        for stream in streams:
            self._rounds.leave(stream)
            stream.lose()

    @property
    def have_more(self) -> bool:
        """Whether it is the turn of one of them."""
        return bool(self._rounds) or self._goes_on

    def send(self, most: int) -> None:
        """Let them say about `most` bytes of bodies, a frame each in turn; then more may begin."""
        left = most
        while self._rounds and left > 0:
            left -= self._send_frame(self._rounds.next())
        self._goes_on = False
        if self._may_begin < AT_ONCE:
            self._taken += most - left
            self._may_begin = self._beginning()
            if self._may_begin:
                self._taken = 0
                self.resume()
                self._goes_on = not self._may_begin

    # What the streams call.

    @property
    def share(self) -> int:
        """How many bytes an answer may have waiting before its application waits."""
        return max(LEAST_SHARE, WAITING // max(FEW, len(self._open)))

    @property
    def is_full(self) -> bool:
        """Whether none may begin before the client takes some of what waits for it."""
        return not self._may_begin

    def waits_for_window(self, stream: StreamExchange) -> bool:
        """Whether the client has yet to let a stream go on."""
        return self._rounds.is_blocked(stream)

    def want(self, stream: StreamExchange) -> None:
        """A stream has something to send."""
        if stream.number in self._open:
            self._rounds.want(stream)
            self._spoken()

    def ask_for_body(self, stream: StreamExchange) -> None:
        """The client of a stream waits to be asked for its body."""
        if stream.number in self._open and stream.response is None:
            self._session.start(stream.number, ((b":status", b"100"),), last=False)
            self._spoken()

    def acknowledge(self, number: int, size: int) -> None:
        """Bytes of a body were taken, or dropped."""
        self._session.acknowledge(number, size)
        self._spoken()

    def reset(self, stream: StreamExchange, code: int) -> None:
        """A stream ends at once."""
        if self._forget(stream):
            self._session.reset(stream.number, code)
            self._spoken()

    def released(self, stream: StreamExchange) -> None:
        """An application has noticed that its client gave up."""
        self._given_up.discard(stream)

    # What the client says.

    def _on_request(self, event: events.RequestReceived) -> None:
        number = event.stream_id
        busy = len(self._open) + len(self._given_up)
        if self.closed or busy >= self._site.limits.streams:
            self._refuse(number, REFUSED_STREAM)
            return
        ended = event.stream_ended is not None
        try:
            head = parse_head(event.headers, self._site.limits)
        except Malformed as error:
            self._tell_refused(BadMessage(400, error.fact), complete=False)
            self._refuse(number, PROTOCOL_ERROR)
        except BadMessage as error:
            self._tell_refused(error, complete=True)
            self._open[number] = refused = StreamExchange(self, number, refused_head(event.headers), ended=ended)
            refused.fail(error)
        else:
            self._open[number] = stream = self._make(self, number, head, ended=ended, limit=self._site.limits.body)
            self._offer(stream)

    def _tell_refused(self, error: BadMessage, *, complete: bool) -> None:
        if self._site.making is not None:
            self._site.making.refused(self.client, error, complete=complete)

    def _offer(self, stream: StreamExchange) -> None:
        stream.held = not (self._may_begin and self._site.dispatcher.dispatch(stream))
        if not stream.held:
            self._may_begin -= 1
            self.dispatched += 1

    def _beginning(self) -> int:
        """How many requests may begin now; what waits because of a stream's own window is no reason against it."""
        stopped, open = self._session.is_stopped, self._open.values()
        untaken = sum(each.outflow.size for each in open if stopped or not self._rounds.is_blocked(each))
        return AT_ONCE if untaken < UNTAKEN else int(self._taken >= FOR_ONE)

    def _refuse(self, number: int, code: int) -> None:
        self._session.reset(number, code)
        self._session.ledger.spend(REFUSAL, self._clock())

    def _on_data(self, event: events.DataReceived) -> None:
        stream = self._open.get(event.stream_id)
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

    def _on_trailers(self, event: events.TrailersReceived) -> None:
        stream = self._open.get(event.stream_id)
        if stream is not None:
            try:
                stream.request.expect_trailers(parse_trailers(event.headers))
            except BadMessage as error:
                stream.fail(error)

    def _on_end(self, event: events.StreamEnded) -> None:
        stream = self._open.get(event.stream_id)
        if stream is not None:
            stream.finish_input()
            if stream.is_over:
                self._forget(stream)

    def _on_reset(self, event: events.StreamReset) -> None:
        stream = self._open.get(event.stream_id)
        if stream is not None:
            self._forget(stream)
            if stream.lose():
                self._given_up.add(stream)

    def _on_window(self, event: events.WindowUpdated) -> None:
        if event.stream_id == 0:
            self._rounds.unblock_all()
        elif event.stream_id in self._open:
            self._rounds.unblock(self._open[event.stream_id])

    def _on_settings(self, event: events.RemoteSettingsChanged) -> None:
        self._rounds.unblock_all()

    # What the client is told.

    def _send_frame(self, stream: StreamExchange) -> int:
        """Send one stream's next frame, with its head if that has not left; the bytes of a body in it."""
        number, response = stream.number, stream.response
        if stream.is_unsent and response is not None:
            last = stream.complete and not stream.outflow.size and not stream.trailers
            self._session.start(number, stream.opening(self._site.own_fields(response)), last=last)
            if last:
                self._end(stream)
                return 0
        room = self._session.room(number)
        if stream.outflow.size and not room:
            self._await_window(stream)
            return 0
        piece = stream.cut(room)
        last = stream.complete and not stream.outflow.size
        if piece or (last and not stream.trailers):
            self._session.write(number, piece, last=last and not stream.trailers)
        if last:
            if stream.trailers:
                self._session.start(number, stream.trailers, last=True)
            self._end(stream)
        elif stream.outflow.size:
            self._rounds.want(stream)
        return len(piece)

    def _await_window(self, stream: StreamExchange) -> None:
        if self._shut:
            stream.cut_off()
        else:
            self._rounds.block(stream)

    def _end(self, stream: StreamExchange) -> None:
        stream.answered = True
        if stream.is_over or self._shut:
            self._forget(stream)
        elif not stream.is_worth_reading:
            self.reset(stream, NO_ERROR)

    def _forget(self, stream: StreamExchange) -> bool:
        self._rounds.leave(stream)
        return self._open.pop(stream.number, None) is not None


_HANDLERS: dict[type[events.Event], Callable[[Streams, Any], None]] = {
    events.RequestReceived: Streams._on_request,
    events.DataReceived: Streams._on_data,
    events.TrailersReceived: Streams._on_trailers,
    events.StreamEnded: Streams._on_end,
    events.StreamReset: Streams._on_reset,
    events.WindowUpdated: Streams._on_window,
    events.RemoteSettingsChanged: Streams._on_settings,
}
