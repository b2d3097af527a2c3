"""One stream's request and answer: `serving.exchange.Exchange` over HTTP/2.

Whatever it is given waits here until it is its turn on the connection; what was started, written
and ended by then goes with a Content-Length even when the application gave none.
"""

import asyncio
from functools import partial

from changeover.workers.channel.addresses import worded
from changeover.workers.channel.outlet import EACH, MAX_DISCARD, STRETCH
from changeover.workers.channel.phases import Overdue, Phase, Sight, Watch
from changeover.workers.channel.waiters import Waiters
from changeover.workers.http.faults import LATE, UNSERVED, BadMessage, BadResponse, unfinished
from changeover.workers.http.fields import Expectation
from changeover.workers.http.incoming import Source
from changeover.workers.http.response import encode_trailers
from changeover.workers.http.stage import Stage
from changeover.workers.http2.head import StreamHead
from changeover.workers.http2.intake import Intake
from changeover.workers.http2.line import Line
from changeover.workers.http2.outflow import Outflow
from changeover.workers.http2.response import ResponseHead, encode_head
from changeover.workers.serving.arrival import Made, arrived
from changeover.workers.serving.exchange import BODILESS, RawHeaders, Undone, sized
from changeover.workers.serving.handshake import HandshakeOutcome, Transport

INTERNAL_ERROR, CANCEL = 0x2, 0x8
_SETTLED = (Stage.OVER, Stage.BROKEN)
"""Nothing is expected of the application any more."""


class StreamExchange(Made):
    """One request of a connection.

    Args:
        line: The connection.
        number: The stream's.
        head: The request's head.
        ended: Whether it has no body.

    Attributes:
        request: What handlers and services see.
        number: The stream's.
        response: The answer's head; None before its start.
        outflow: What of the answer's body waits for its turn.
        received: Bytes of the request body.
        ended: Whether the last of them has come.
        held: Whether it may not be dispatched now.
        complete: Whether nothing will be added to the answer.
        answered: Whether the client was told so.
        trailers: Fields behind the answer's body.
        unasked: Whether the client still waits to be asked for the body.
        watch: Since when it has been doing what it does.
    """

    __slots__ = (
        "__weakref__", "_departed", "_departure", "_dropped", "_head", "_incoming", "_left", "_limit", "_line", "_sent",
        "_size", "_stage", "_stretch", "_undone", "_writers", "answered", "complete", "ended", "held", "number",
        "outflow", "received", "request", "response", "trailers", "unasked", "watch",
    )  # fmt: skip

    def __init__(
        self, line: Line["StreamExchange"], number: int, head: StreamHead, *, ended: bool, limit: int = 0
    ) -> None:
        self._incoming = None if ended else Intake(self._want_body, partial(line.acknowledge, number))
        self.request = arrived(head, line, None if self._incoming is None else self._incoming.take, b"")
        self.number = number
        self.response: ResponseHead | None = None
        self.outflow = Outflow()
        self.received = 0
        self.ended = ended
        self.held = False
        self.complete = self.answered = False
        self.trailers: RawHeaders = ()
        self.unasked = head.expectation is Expectation.CONTINUE and not ended
        self.watch = Watch()
        self._line = line
        self._head = head
        self._limit = limit
        self._stage = Stage.FRESH
        self._undone: Undone | None = None
        self._sent = self._size = self._left = self._dropped = self._stretch = 0
        self._writers = Waiters()
        self._departed = False
        self._departure = Waiters()

    # What the application calls.

    @property
    def connected(self) -> bool:
        """Whether the client is still there."""
        return not self._departed

    @property
    def outcome(self) -> HandshakeOutcome:
        """How the connection came about."""
        line = self._line
        if line.outcome is not None:
            return line.outcome
        transport = Transport.TCP if line.client is not None else Transport.UNIX
        return HandshakeOutcome(worded(line.server), transport, line.client, line.server)

    async def receive(self) -> bytes | None:
        """The next piece of the request body, or None at its end.

        Raises:
            Disconnected: The client gave up before the end of the body.
        """
        return None if self._incoming is None else await self._incoming.take()

    async def wait_disconnected(self) -> None:
        """Return once the client is gone, or the answer is complete."""
        if not self._departed and self._stage not in _SETTLED:
            await self._departure.wait()

    def start(self, status: int, headers: RawHeaders) -> None:
        """Give the answer's head.

        Raises:
            BadResponse: It cannot be sent; nothing has happened, another may be started.
        """
        if self._stage is Stage.LOST:
            return
        if self._stage is not Stage.FRESH:
            raise BadResponse("it is started twice, or after its end")
        self.response = encode_head(status, headers)
        self._left = self.response.length or 0
        self._stage = Stage.STARTED
        self._line.want(self)

    def answer(self, status: int, headers: RawHeaders, body: bytes) -> None:
        """See `Exchange`."""
        self.start(status, sized(self.request.method, status, headers, body))
        self.write(body)
        self.end()

    def write(self, data: bytes) -> None:
        """Give a piece of the body.

        Raises:
            BadResponse: It is outside of `start` and `end`, or the body is longer than its Content-Length.
        """
        if not self._is_open() or not data:
            return
        self._size += len(data)
        self._stretch += len(data) + EACH
        if self._is_bodiless:
            return
        if self.response is not None and self.response.length is not None:
            self._left -= len(data)
            if self._left < 0:
                self._break("its body is longer than its Content-Length")
        self.outflow.add(data if type(data) is bytes else bytes(data))
        self._line.want(self)

    def pressed(self) -> bool:
        """Whether `drain` has something to wait for."""
        return self._stretch >= STRETCH or self._stage is Stage.LOST or self.backed_up()

    def backed_up(self) -> bool:
        """Whether the client has not taken enough of what was written."""
        return self.outflow.size >= self._line.share and self._stage in (Stage.STARTED, Stage.SENT)

    @property
    def untaken(self) -> int:
        """Bytes of what was written that wait for their turn, or for the client."""
        return self.outflow.size

    async def drain(self) -> None:
        """Wait until the client has taken enough of what was written; now and then, or for one that is gone, let others
        have a turn."""
        if not self.pressed():
            return
        self._stretch = 0
        if not self.backed_up():
            await asyncio.sleep(0)
        while self.backed_up():
            await self._writers.wait()

    def end(self) -> None:
        """Complete the answer.

        Raises:
            BadResponse: The body is shorter than its Content-Length, or was never started.
        """
        if not self._is_open():
            self._line.released(self)
            return
        if self._left and not self._is_bodiless:
            self._break("its body is shorter than its Content-Length")
        self._finish(Stage.OVER)

    def end_after(self, data: bytes) -> None:
        """Give the last piece, and complete the answer."""
        self.write(data)
        self.end()

    def end_with(self, trailers: RawHeaders) -> None:
        """Complete the answer with fields behind its body, where the client asked for such fields.

        Raises:
            BadResponse: As in `end`, or one of them cannot be sent; the answer is broken off then.
        """
        if trailers and self._is_open() and self.request.headers.get("te", "").lower() == "trailers":
            try:
                encode_trailers(trailers)
            except BadResponse:
                self.abort()
                raise
            self.trailers = tuple((name.lower(), value) for name, value in trailers)
        self.end()

    def abort(self, status: int = 500) -> Undone | None:
        """Break the answer off so that the client can tell: with a short one where its head has not left yet."""
        if self._stage is Stage.LOST:
            self._line.released(self)
        elif self._stage is Stage.STARTED:
            self._undone = Undone(self._begun, status)
            self.outflow.clear()
            self._answer_instead(unfinished(status), Stage.BROKEN)
        elif self._stage not in _SETTLED:
            self._undone = Undone(self._begun, 0)
            self._conclude(Stage.BROKEN)
            self._line.reset(self, INTERNAL_ERROR)
        return self._undone

    # What the connection calls.

    @property
    def is_unsent(self) -> bool:
        """Whether the answer's head has yet to leave."""
        return self.response is not None and self._sent == 0

    @property
    def is_over(self) -> bool:
        """Whether both sides have said all that they will say."""
        return self.ended and self.answered

    @property
    def is_worth_reading(self) -> bool:
        """Whether it is cheaper to drop the rest of the request's body than to cut it off."""
        return not self.unasked and (self._head.length or 0) - self.received <= MAX_DISCARD

    def opening(self, extra: RawHeaders) -> list[tuple[bytes, bytes]]:
        """The answer's head, which leaves now; `extra` are the server's own fields."""
        assert self.response is not None
        response, length = self.response, self.response.length
        self._sent = 1
        if self._stage is Stage.STARTED:
            self._stage = Stage.SENT
        if length is None and self.complete and (self._size or not self._is_bodiless):
            length = self._size
        fields = [*response.fields, *extra]
        if length is not None and response.status != 204:
            fields.append((b"content-length", b"%d" % length))
        return fields

    def cut(self, room: int) -> bytes:
        """The next piece of the answer's body, which leaves now."""
        piece = self.outflow.cut(room)
        self._sent += len(piece)
        if self.outflow.size < self._line.share:
            self._writers.wake()
        return piece

    def feed(self, data: bytes, size: int) -> bool:
        """A piece of the request body has come.

        Args:
            data: The piece.
            size: What it counts for.

        Returns:
            False when so much was dropped that the stream had better end.

        Raises:
            BadMessage: The body is longer than allowed.
        """
        self.received += len(data)
        self.unasked = False
        if self._incoming is None or self._stage in (*_SETTLED, Stage.LOST):
            self._dropped += size
            self._line.acknowledge(self.number, size)
            return self._dropped <= MAX_DISCARD
        if 0 < self._limit < self.received:
            raise BadMessage(413, f"the request body is longer than {self._limit} bytes")
        if size > len(data):
            self._line.acknowledge(self.number, size - len(data))
        self._incoming.put(data, last=False)
        return True

    def finish_input(self) -> None:
        """The last byte of the request body has come."""
        self.ended = True
        if self._incoming is not None and self._incoming.source is Source.OPEN:
            self._incoming.put(b"", last=True)

    def fail(self, error: BadMessage) -> None:
        """Answer in the application's place; what has begun is cut off, and what is complete is let be."""
        if self._stage is not Stage.FRESH:
            if self._stage not in _SETTLED:
                self.cut_off()
            return
        self.held = False
        self.depart()
        self._answer_instead(error, Stage.LOST)

    def depart(self) -> None:
        """The client seems to be gone: tell whoever asked. The answer may still be given."""
        self._departed = True
        self._departure.wake()

    def lose(self) -> bool:
        """The stream is gone; whether an application has yet to notice."""
        settled = self._stage in _SETTLED
        self._conclude(self._stage if settled else Stage.LOST)
        self.depart()
        return not settled and not self.held

    def cut_off(self) -> None:
        """End it at once, whatever is left of it, and tell its client."""
        self.lose()
        self._line.reset(self, CANCEL)

    def sight(self) -> Sight:
        """What it is doing."""
        if self.held:
            return Sight(Phase.BUSY if self._line.is_full else Phase.HELD, 0)
        if self.outflow.size and self._line.waits_for_window(self):
            return Sight(Phase.WRITING, self._sent)
        if not self.ended and (self.complete or (self._incoming is not None and self._incoming.wanted)):
            return Sight(Phase.BODY, self.received)
        return Sight(Phase.BUSY, 0)

    def overdue(self, overdue: Overdue) -> None:
        """Its phase has lasted too long."""
        match overdue:
            case Overdue.UNAVAILABLE:
                self.fail(UNSERVED)
            case Overdue.TIMEOUT if self._stage is Stage.FRESH:
                self.fail(LATE)
            case _:
                self.cut_off()

    # Within.

    @property
    def _is_bodiless(self) -> bool:
        return self._head.method == "HEAD" or self._begun in BODILESS

    @property
    def _begun(self) -> int:
        return 0 if self.response is None else self.response.status

    def _is_open(self) -> bool:
        if self._stage in (Stage.STARTED, Stage.SENT):
            return True
        if self._stage is not Stage.LOST:
            raise BadResponse("it is written before its start or after its end")
        return False

    def _want_body(self) -> None:
        if self.unasked:
            self.unasked = False
            self._line.ask_for_body(self)

    def _answer_instead(self, error: BadMessage, stage: Stage) -> None:
        self.response = encode_head(error.status, ((b"content-type", b"text/plain"),))
        self._size = len(error.body)
        if not self._is_bodiless:
            self.outflow.add(error.body)
        self._finish(stage)

    def _finish(self, stage: Stage) -> None:
        self.complete = True
        self._end(stage)
        self._line.want(self)

    def _conclude(self, stage: Stage) -> None:
        self.outflow.clear()
        self._end(stage)

    def _end(self, stage: Stage) -> None:
        self._stage = stage
        if self._incoming is not None:
            self._incoming.break_off()
            self._incoming.settle()
        self._writers.wake()
        self._departure.wake()

    def _break(self, fact: str) -> None:
        self.abort()
        raise BadResponse(fact)
