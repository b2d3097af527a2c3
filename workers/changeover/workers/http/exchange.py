"""One request and its answer over a connection: `serving.exchange.Exchange` on the wire.

What is started, written and ended in one turn of the loop leaves in one system call, and with a
Content-Length even when the application gave none. Nothing is held back longer than that turn.
"""

from changeover.workers.channel.addresses import worded
from changeover.workers.channel.outlet import MANY
from changeover.workers.channel.waiters import Waiters
from changeover.workers.http.faults import BadMessage, BadResponse, unfinished
from changeover.workers.http.head import Head
from changeover.workers.http.incoming import Incoming, Source
from changeover.workers.http.response import (
    Framing,
    ResponseHead,
    choose_framing,
    connection_lines,
    encode_trailers,
    framing_lines,
)
from changeover.workers.http.stage import Stage
from changeover.workers.http.wire import Wire
from changeover.workers.serving.arrival import arrived
from changeover.workers.serving.exchange import RawHeaders, Undone, sized
from changeover.workers.serving.handshake import HandshakeOutcome, Transport
from changeover.workers.serving.message import Request

HELD_BACK = 16 * 1024
"""Bytes of a body that do not wait for the end of the loop's turn, once its length need not be found out."""
LAST_CHUNK = b"0\r\n\r\n"

_FRESH, _STARTED, _SENT, _OVER, _LOST, _BROKEN = Stage
_NOTHING, _LENGTH, _CHUNKED, _CLOSE = Framing  # members by their own names: looking them up costs at every request


class WireExchange:
    """One request of a connection.

    Args:
        wire: The connection.
        head: The request's head.
        incoming: The request's body; None when there is none, or it is held.
        held: The body that came with the head; empty for none.

    Attributes:
        wire, head, incoming: As above.
        made: See `request`.
        corked: Whether it is to be uncorked at the end of the loop's turn.
    """

    __slots__ = (
        "_departed",
        "_departure",
        "_framing",
        "_held",
        "_left",
        "_pending",
        "_response",
        "_size",
        "_stage",
        "_undone",
        "corked",
        "head",
        "incoming",
        "made",
        "wire",
    )

    _undone: Undone  # only what was broken off has it

    def __init__(self, wire: Wire, head: Head, incoming: Incoming | None, held: bytes = b"") -> None:
        self.wire = wire
        self.head = head
        self.incoming = incoming
        self._held: bytes | None = held
        self.made: Request | None = None
        self._stage = _FRESH
        self._pending: list[bytes] | None = None
        self._size = 0
        self.corked = False
        self._departed = False
        self._departure: Waiters | None = None

    @property
    def request(self) -> Request:
        """What handlers and services see: made for who asks first, as applications alone do without it."""
        made = self.made
        if made is None:
            take = None if self.incoming is None else self.incoming.take
            made = self.made = arrived(self.head, self.wire, take, self._held)
            self._held = b""
        return made

    def take_held(self) -> bytes | None:
        """The whole body if it is at hand; see `Request.take_held`."""
        if self.made is not None:
            return self.made.take_held()
        held = self._held
        if held:
            self._held = None
        return held

    @property
    def connected(self) -> bool:
        """Whether the client is still there."""
        return not self._departed

    @property
    def outcome(self) -> HandshakeOutcome:
        """How the connection came about."""
        wire = self.wire
        if wire.outcome is not None:
            return wire.outcome
        transport = Transport.TCP if wire.client is not None else Transport.UNIX
        return HandshakeOutcome(worded(wire.server), transport, wire.client, wire.server)

    @property
    def stage(self) -> Stage:
        """How far the answer has come."""
        return self._stage

    @property
    def ends_with_connection(self) -> bool:
        """Whether its client finds the end of the body by the connection's end alone; once it is started."""
        return self._framing is _CLOSE

    async def receive(self) -> bytes | None:
        """The next piece of the request body, or None at its end.

        Raises:
            Disconnected: The client went away before the end of the body.
        """
        return await (self.request.receive() if self.incoming is None else self.incoming.take())

    async def wait_disconnected(self) -> None:
        """Return once the client is gone, or the answer is complete."""
        if self._departed or self._stage is _OVER or self._stage is _BROKEN:
            return
        if self._departure is None:
            self._departure = Waiters()
        await self._departure.wait()

    def start(self, status: int, headers: RawHeaders) -> None:
        """Give the answer's head.

        Raises:
            BadResponse: It cannot be sent; nothing has happened, another may be started.
        """
        if self._stage is not _FRESH:
            if self._stage is _LOST:
                return
            raise BadResponse("it is started twice, or after its end")
        head, site = self.head, self.wire.site
        try:
            response = site.encoded[(status, None, *headers)]
        except (KeyError, TypeError):
            response = site.encode(status, headers)
        self._response: ResponseHead = response
        length = response.length
        self._framing = response.framing if head.plain else choose_framing(response, head.method, head.version, length)
        self._left = length or 0
        self._stage = _STARTED
        self.corked = True
        corked = site.corked
        if corked:  # the way of most where there is load, for a call less
            corked.append(self)
        else:
            site.cork(self)

    def answer(self, status: int, headers: RawHeaders, body: bytes) -> None:
        """Give the whole answer.

        Raises:
            BadResponse: It cannot be sent; nothing has happened, another may be started.
        """
        if self._stage is not _FRESH or not body or self.incoming is not None or self._departure is not None:
            self._answer_by_steps(status, headers, body)
            return
        site, size = self.wire.site, len(body)
        try:
            response = site.encoded[(status, size, *headers)]
        except (KeyError, TypeError):
            response = site.encode(status, headers, size)
        if not self.head.plain or response.framing is not _LENGTH or response.length != size:
            self._answer_by_steps(status, headers, body)
            return
        self._stage = _OVER
        if not (response.whole and self.wire.answer(response.whole, body)):
            self._response, self._framing = response, _LENGTH
            self._send_last(body)

    def write(self, data: bytes) -> None:
        """Give a piece of the body.

        Raises:
            BadResponse: It is outside of `start` and `end`, or the body is longer than its Content-Length.
        """
        stage = self._stage
        if stage is not _STARTED and stage is not _SENT:
            self._refuse_stray()
            self.wire.outlet.leave_out(len(data))
            return
        if not data:
            return
        if stage is _STARTED and self._is_whole(data):
            self._left = 0
            self._stage = _SENT
            self.wire.outlet.send_whole(self._encode_head(), data)
            return
        self._size += len(data)
        if self._framing is _NOTHING:
            self.wire.outlet.leave_out(len(data))
            return
        if self._pending is None:
            self._pending = []
        self._pending.append(data if type(data) is bytes else bytes(data))
        if self._framing is _LENGTH:
            self._left -= len(data)
            if self._left < 0:
                self._break("its body is longer than its Content-Length")
        if (stage is _SENT and self._size >= HELD_BACK) or (self._framing is _LENGTH and not self._left):
            self._flush(b"")
        elif not self.corked:
            self.corked = True
            self.wire.site.cork(self)

    def pressed(self) -> bool:
        """Whether `drain` has something to wait for. Sends first what is held back and much."""
        pending = self._pending
        if pending and (self._size >= HELD_BACK or len(pending) >= MANY):
            self._flush(b"")
        return self.wire.outlet.pressed

    def backed_up(self) -> bool:
        """Whether the client has not taken enough of what was written."""
        return self.wire.outlet.clogged

    @property
    def untaken(self) -> int:
        """Bytes of what was written that the client has not acknowledged."""
        return self._size + self.wire.outlet.unacknowledged

    async def drain(self) -> None:
        """Wait until the client has taken enough of what was written."""
        if self.pressed():
            await self.wire.outlet.drain()

    def end(self) -> None:
        """Complete the answer.

        Raises:
            BadResponse: The body is shorter than its Content-Length, or was never started.
        """
        if self._stage is not _STARTED and self._stage is not _SENT:
            self._refuse_stray()
            return
        if self._framing is _LENGTH and self._left:
            self._break("its body is shorter than its Content-Length")
        if self._stage is _STARTED and (self._framing is _CHUNKED or self._framing is _CLOSE):
            self._framing = _LENGTH
        last = LAST_CHUNK if self._framing is _CHUNKED else b""
        if last or self._pending or self._stage is _STARTED:
            self._flush(last)
        if self.incoming is None and self._departure is None:
            self._stage = _OVER
        else:
            self._conclude(_OVER)
        self.wire.finished()

    def end_after(self, data: bytes) -> None:
        """Give the last piece of the body, and complete the answer.

        Raises:
            BadResponse: As in `write` and `end`.
        """
        # As `_is_whole` and `answer` ask, for a call less at every request.
        if (
            (self._stage is not _STARTED or self._framing is not _LENGTH or self._left != len(data) or not data)
            or (self.incoming is not None or self._departure is not None or self._pending)
            or type(data) is not bytes
        ):
            self.write(data)
            self.end()
            return
        self._stage, self.corked, known = _OVER, False, self._response.whole
        if not (known and self.head.plain and self.wire.answer(known, data)):
            self._send_last(data)

    def end_with(self, trailers: RawHeaders) -> None:
        """Complete the answer with fields behind its body, where it has chunks and the client asked for such fields.

        Raises:
            BadResponse: As in `end`, or one of them cannot be sent; the answer is broken off then.
        """
        answering = self._stage is _STARTED or self._stage is _SENT
        if not (answering and trailers and self._framing is _CHUNKED and self.head.takes_trailers):
            self.end()
            return
        try:
            section = encode_trailers(trailers)
        except BadResponse:
            self.abort()
            raise
        self._flush(b"0\r\n" + section + b"\r\n")
        self._conclude(_OVER)
        self.wire.finished()

    def abort(self, status: int = 500) -> Undone | None:
        """Break the answer off so that the client can tell: with a short one where its head has not left yet."""
        stage = self._stage
        if stage is _BROKEN:
            return self._undone
        if stage is _LOST or stage is _OVER:
            return None
        begun = 0 if stage is _FRESH else self._response.status
        self._undone = Undone(begun, status if stage is _STARTED else 0)
        self._conclude(_BROKEN)
        if stage is _STARTED:
            self.wire.fail(status, unfinished(status).fact, bodiless=self.head.method == "HEAD")
        else:
            self.wire.cut(reset=stage is _SENT and self._framing is _CLOSE)
        return self._undone

    def uncork(self) -> None:
        """Send what was held back; called at the end of the loop's turn."""
        if self._stage is _OVER:
            return
        self.corked = False
        if self._framing is _NOTHING:
            self._size = 0  # more may come, so how long the body would be is not known
        if self._stage is _STARTED or (self._stage is _SENT and self._pending):
            self._flush(b"")

    def depart(self) -> None:
        """The client seems to be gone: tell whoever asked. The answer may still be given."""
        self._departed = True
        if self._departure is not None:
            self._departure.wake()

    def lose(self, error: BadMessage | None = None) -> None:
        """The connection is gone; or answers in the application's place, with that error."""
        if self._stage is not _OVER and self._stage is not _BROKEN:
            self._conclude(_LOST)
        self.depart()

    def _answer_by_steps(self, status: int, headers: RawHeaders, body: bytes) -> None:
        self.start(status, sized(self.head.method, status, headers, body))
        self.write(body)
        self.end()

    def _send_last(self, body: bytes) -> None:
        """Send the whole answer, where something is to be said of the connection or done with it."""
        self.wire.outlet.send_whole(self._encode_head(), body)
        self.wire.finished()

    def _is_whole(self, data: bytes) -> bool:
        """Whether that is all of the body, and nothing was sent or waits."""
        said = self._stage is _STARTED and self._framing is _LENGTH and not self._pending
        return said and self._left == len(data) != 0 and type(data) is bytes

    def _flush(self, last: bytes) -> None:
        pieces, size = self._pending or [], self._size
        if size and self._framing is _CHUNKED:
            pieces = [b"%x\r\n" % size, *pieces, b"\r\n", last]
        elif last:
            pieces = [last]
        if self._stage is _STARTED:
            pieces = [self._encode_head(), *pieces]
            self._stage = _SENT
        self._pending, self._size = None, 0
        self.wire.outlet.send(pieces, size)

    def _encode_head(self) -> bytes:
        head, response = self.head, self._response
        persistent = self.wire.persists(head, wanted=response.persistent and self._framing is not _CLOSE)
        if persistent and response.whole and head.version != "1.0":
            return response.whole
        lines = response.lines
        if response.length is None:
            whole = self._framing is _LENGTH or (head.method == "HEAD" and self._size)
            lines += framing_lines(self._framing, response.status, self._size if whole else None)
        if not persistent or head.version == "1.0":
            lines += connection_lines(head.version, persistent=persistent)
        return lines + self.wire.site.tail_of(response)

    def _break(self, fact: str) -> None:
        self.abort()
        raise BadResponse(fact)

    def _refuse_stray(self) -> None:
        if self._stage is not _LOST:
            raise BadResponse("it is written before its start or after its end")

    def _conclude(self, stage: Stage) -> None:
        self._stage = stage
        self._pending = None
        if self.incoming is not None and self.incoming.source is Source.OPEN:
            self.incoming.break_off()
        if self._departure is not None:
            self._departure.wake()
