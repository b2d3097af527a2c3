"""One HTTP/1.1 connection, which can always name its unread bytes.

Input is cut at message ends before a parser sees it, and one message is fed at a time: the next
when the answer before it is complete. So whatever was not dispatched is still there as raw bytes,
and another process could go on from them. Bytes take this way:

    loop's buffer -> `_unread` -> head parsed, exchange dispatched -> body decoded into the exchange

A body whose length its head tells is *held* where all of it is there by then: its request has it,
and none is under way. A complete head that arrives alone, or with a body that is held, skips
`_unread`, unless the dispatcher declines it, and so does what comes of a body under way. Reading
goes into a buffer no larger than what `_unread` and the body may still take, so their bounds are
exact.
"""

import asyncio
from collections.abc import Callable

from websockets.server import ServerProtocol

from changeover.workers.channel.connection import Owner, Parting
from changeover.workers.channel.outlet import JOIN, Course
from changeover.workers.channel.phases import Overdue, Phase, Sight, sight_between
from changeover.workers.http.body import body_of
from changeover.workers.http.contact import Contact
from changeover.workers.http.exchange import WireExchange
from changeover.workers.http.exchange_kinds import MakeExchange, exchanges, upgrades
from changeover.workers.http.faults import LATE, LEAVING, UNSERVED, BadMessage, PriorKnowledge
from changeover.workers.http.head import KNOWN_SIZE, PREFACE, Head
from changeover.workers.http.incoming import Incoming
from changeover.workers.http.response import error_response
from changeover.workers.http.site import Site
from changeover.workers.http.stage import Stage
from changeover.workers.http.unread import Unread
from changeover.workers.http.upgrade import MakeWebSocket
from changeover.workers.http.upload import CONTINUE, Upload
from changeover.workers.serving.handshake import HandshakeOutcome
from changeover.workers.serving.lease import LeaseKind
from changeover.workers.websocket.connection import WebSocketConnection

_OPEN, _LEAVING = Course.OPEN, Course.LEAVING  # looking a member up costs at every request


class HttpConnection(Contact):
    """A connection of a client.

    Args:
        site: What it has in common with others.
        owner: Told when it rests, and when it is gone.
        opened: Called when it has a transport.
        outcome: How it came about; None when nothing came before its first message.

    Attributes:
        site: As above.
        exchange: The request that is being served.
    """

    kind, parting = LeaseKind.HTTP, Parting.RESTS
    __slots__ = (
        "_advancing", "_held", "_make", "_opened", "_reading", "_unread", "_upload", "exchange", "site",
    )  # fmt: skip

    _make: MakeExchange

    def __init__(
        self,
        site: Site,
        owner: Owner,
        opened: Callable[["HttpConnection"], None],
        outcome: HandshakeOutcome | None = None,
    ) -> None:
        super().__init__(owner, outcome)
        self.site = site
        self.exchange: WireExchange | None = None
        self._opened = opened
        self._unread = Unread(site.limits)
        self._upload: Upload | None = None
        self._held, self._advancing, self._reading = False, False, True

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        super().connection_made(transport)
        self._make = exchanges(self.site, self.client)
        self._opened(self)
        del self._opened  # its handshake is over, and would be kept

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to read to: no more than may still be unread, or wait for the application."""
        if self._upload is not None:
            return self.site.body_buffer[: self._upload.room(self.site.limits.unread)]
        if self._unread.data:
            return self.site.buffer[: max(1, self._unread.room)]
        return self.site.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Go on with what was read."""
        data, outlet, parser = self.site.memory[:nbytes], self.outlet, self.site.parser
        if self._upload is not None and not self._unread.data:
            self._read_body(self._upload, data)
        elif self.exchange is None and not self._unread.data and outlet.course is _OPEN and not outlet.clogged:
            try:
                head = parser.known.get(data) if nbytes <= KNOWN_SIZE else None
                if head is not None or (head := parser.parse_alone(data)) is not None:
                    self._begin(head, data)
                elif (whole := parser.parse_whole(data)) is not None:
                    self._begin(*whole)
                else:
                    self.take(data)
            except BadMessage as error:
                self._refuse(error)
        elif outlet.course is Course.LINGERING:
            outlet.drop(nbytes)
        else:
            self.take(data)

    def eof_received(self) -> bool:
        """The client has shut its write side; it still gets the answers to what it asked."""
        self.outlet.client_shut = True
        self.watch.look(self.sight(), asyncio.get_running_loop().time(), self.site.limits)
        self._end_input()
        return self._transport.can_write_eof()

    def resume_writing(self) -> None:
        """The client has taken enough."""
        self.outlet.unclog()
        self._held = False
        self._advance()

    def connection_lost(self, error: Exception | None) -> None:
        """End."""
        exchange, self.exchange = self.exchange, None
        self._held, self._upload = False, None
        if exchange is not None:
            exchange.lose()
        self.outlet.lost()
        self._owner.closed(self)

    # What the owner of all connections calls.

    def unread(self) -> bytes:
        """The raw bytes of every message that was not dispatched, complete or not."""
        return bytes(self._unread.data)

    @property
    def at_boundary(self) -> bool:
        """Whether no message is under way, so that `unread` is all that somebody else needs to go on."""
        return self.exchange is None and self._upload is None and not self.outlet.ending

    def take(self, data: bytes) -> None:
        """Go on with bytes of the client, from the loop or from the process that read them."""
        self._unread.add(data)
        self._advance()

    def resume(self) -> None:
        """Offer a held request again."""
        if self._held:
            self._held = False
            self._advance()

    def leave(self) -> None:
        """Begin no message any more: the connection goes on elsewhere, from where its owner is told that it rests."""
        if self.outlet.course is _OPEN:
            self.outlet.course = _LEAVING
            self._advance()

    def farewell(self, *, asked: bool = False) -> None:
        """See `Connection`; `asked` of the process that read before: whether it has read something."""
        if not self.at_boundary:
            self.outlet.announce()
        elif self._unread.data or asked:
            self._refuse(LEAVING)
        else:
            self._linger()

    def sight(self) -> Sight:
        """What it is doing."""
        writing = self.outlet.sight()
        if writing is not None:
            return writing
        if self.exchange is None and self._upload is None:
            return sight_between(self.requests, begun=bool(self._unread.data), held=self._held)
        if self._upload is not None and (self._upload.incoming is None or self._upload.incoming.wanted):
            return Sight(Phase.BODY, self._upload.received)
        if self.outlet.client_shut or (not self._reading and self.outlet.has_client_left(self._upload is None)):
            return Sight(Phase.HALF_CLOSED, self.outlet.sent)
        return Sight(Phase.BUSY, self.requests)

    def overdue(self, overdue: Overdue) -> None:
        """Its phase has lasted too long."""
        match overdue:
            case Overdue.CLOSE:
                self.outlet.close()
            case Overdue.TIMEOUT | Overdue.UNAVAILABLE:
                self._refuse(LATE if overdue is Overdue.TIMEOUT else UNSERVED)
            case Overdue.GONE if self.exchange is not None:
                self.exchange.depart()
            case Overdue.ABORT:
                self.outlet.abort()

    # What its exchange calls.

    def persists(self, head: Head, *, wanted: bool) -> bool:
        """Decide whether the connection goes on after this answer, and remember it; `wanted` by the answer."""
        outlet = self.outlet
        unasked = self._upload is not None and self._upload.unasked()
        if not head.persistent:
            outlet.course = Course.ASKED
        elif not wanted or unasked or outlet.final or self.site.stopping:
            outlet.course = Course.LAST
        return outlet.course is _OPEN or outlet.course is _LEAVING

    def answer(self, head: bytes, body: bytes) -> bool:
        """Give a whole answer, if the connection goes on and nothing is to be said or done besides; whether it was."""
        outlet = self.outlet
        if outlet.course is not _OPEN or outlet.final or outlet.client_shut or self.site.stopping or self._unread.data:
            return False
        self.exchange = None
        if len(body) < JOIN:  # as `Outlet.send_whole` does, for a call less at every request
            outlet.sent += 1
            self._transport.write(head + body)
        else:
            outlet.send_whole(head, body)
        return True

    def finished(self) -> None:
        """The answer is complete: go on to the next message, or close."""
        self.exchange, upload, course = None, self._upload, self.outlet.course
        if course is _OPEN and upload is None and not self._unread.data and not self.outlet.client_shut:
            return
        if upload is not None:
            upload.incoming = None
        if (course is not _OPEN and course is not _LEAVING) or not (upload is None or upload.is_worth_reading):
            self._close_after_last()
        else:
            self._advance()

    def fail(self, status: int, fact: str, *, bodiless: bool = False) -> None:
        """Answer in the application's place, `bodiless` where only the head was asked for, then close."""
        lines, body = error_response(status, fact)
        self.exchange, self._held = None, False
        self.outlet.send([lines + self.site.tail + (b"" if bodiless else body)], len(body))
        self._linger()

    def cut(self, *, reset: bool) -> None:
        """Close in the middle of an answer; `reset` when the client could not tell otherwise."""
        self.exchange, self._upload, self._held = None, None, False
        self.outlet.cut(reset=reset)

    def switch(self, protocol: ServerProtocol, make: MakeWebSocket) -> WebSocketConnection:
        """Go on as a WebSocket of that make, from the unread bytes on."""
        self.exchange = None
        session = make(self.site, self, self._transport, self._owner, protocol)
        self._transport.set_protocol(session)
        self._transport.resume_reading()
        self._owner.replaced(self, session)
        session.take(self.unread())
        return session

    # From bytes to exchanges.

    def _begin(self, head: Head, raw: bytes, held: bytes = b"") -> bool:
        """Offer a message, whose body may be `held`, and keep it where it is not taken; whether it was."""
        if head.websocket:
            upgrade = self.exchange = upgrades(self.site, self.client)(self, head)
            taken = self.site.dispatcher.dispatch_upgrade(upgrade)
        else:
            incoming = Incoming(self._want_body) if head.length and not held else None
            exchange = self.exchange = self._make(self, head, incoming, held)
            if incoming is not None:
                body = body_of(head.length, self.site.limits.body)
                exchange.request.expect_trailers(body.trailers)
                self._upload = Upload(body, incoming, head.expectation)
            taken = self.site.dispatcher.dispatch(exchange)
        if taken:
            self.requests += 1
            return True
        self.exchange = self._upload = None
        self._held = True
        self._unread.put_back(raw + held)
        self._regulate()
        return False

    def _advance(self) -> None:
        if self._advancing or self.outlet.course is Course.CLOSED:
            return
        self._advancing = True
        try:
            while self._step():
                pass
        except BadMessage as error:
            self._refuse(error)
        finally:
            self._advancing = False
        if self.outlet.client_shut:
            self._end_input()
        self._regulate()

    def _end_input(self) -> None:
        """Nothing more will come: whatever cannot be completed any more ends here."""
        if self.exchange is None and not self._held and not self._resting:
            self.outlet.close()
        elif self._upload is not None and not self._unread.data:
            self._refuse(BadMessage(400, "the request body ends before its announced end"))

    def _step(self) -> bool:
        """Go one message further; whether it is worth trying again."""
        upload = self._upload
        if upload is not None and self._unread.data and not upload.rests:
            self._unread.drop(self._feed(upload, upload.next_of(self._unread.data)))
            return True
        if upload is not None or self.exchange is not None:
            return False
        if self.outlet.course is not _OPEN:
            return self._come_to_rest()
        self._held = self._held or (self.outlet.clogged and bool(self._unread.data))
        raw = None if self._held else self._unread.cut_head()
        if raw is None:
            return False
        head = self.site.parser.parse(raw)
        return self._begin(head, raw, self._unread.cut_body(head.held))

    @property
    def _resting(self) -> bool:
        """Whether it waits to go on elsewhere: it reads nothing, and what it has read is somebody else's to answer."""
        idle = self.outlet.course is _LEAVING and self.exchange is None and self._upload is None
        return idle and (not self.outlet.client_shut or bool(self._unread.data))

    def _come_to_rest(self) -> bool:
        """Say that nothing is under way, if so and if it matters; there is no further message for this process."""
        if self._resting and self.outlet.is_written():
            self._owner.rested(self)
        return False

    def _feed(self, upload: Upload, data: bytes) -> int:
        taken = upload.feed(data)
        upload.spend(self._advance)
        if upload.complete:
            self._upload = None
        elif upload.excessive:
            self._linger()
        return taken

    def _read_body(self, upload: Upload, data: bytes) -> None:
        """Go on with a body past `_unread`, where nothing is then: so it is copied once."""
        try:
            taken = self._feed(upload, data)
        except BadMessage as error:
            taken = len(data)
            self._refuse(error)
        if self._upload is None:
            self.take(data[taken:])
        else:
            self._regulate()

    def _want_body(self) -> None:
        if self._upload is not None and self._upload.unasked():
            self._transport.write(CONTINUE)
        self._regulate()

    def _regulate(self) -> None:
        """Read, or stop reading, according to what there is room for."""
        full = self._unread.room <= 0 or (self._upload is not None and self._upload.full) or self._resting
        if (full or not self._reading) and not self.outlet.client_shut and not self.outlet.closing:
            self._reading = not full  # a loop may read after `connection_made` what was paused before
            (self._transport.pause_reading if full else self._transport.resume_reading)()

    # The end.

    def _refuse(self, error: BadMessage) -> None:
        if isinstance(error, PriorKnowledge) and self.site.http2 is not None and self.site.speaks_http2(self):
            read = PREFACE + self._unread.cut(len(self._unread.data))
            self.site.http2.take_over(self._transport, self, self._owner, read)
            return
        exchange, self.exchange = self.exchange, None
        if exchange is None and self._upload is not None:
            self._linger()
        elif exchange is not None and exchange.stage is Stage.SENT:
            exchange.lose()  # it is the client's fault
            self.cut(reset=exchange.ends_with_connection)
        else:
            if exchange is not None:
                exchange.lose(error)
            elif self.site.making is not None:
                self.site.making.refused(self.client, error)
            bodiless = exchange is not None and exchange.head.method == "HEAD"
            self.fail(error.status, error.fact, bodiless=bodiless or error.bodiless)

    def _close_after_last(self) -> None:
        if self.outlet.course is Course.ASKED and self._upload is None and not self._unread.data:
            self.outlet.close()
        else:
            self._linger()

    def _linger(self) -> None:
        self._upload = None
        self._unread.data.clear()
        self.outlet.linger()
        self._regulate()
