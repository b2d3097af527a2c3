"""One HTTP/1.1 connection, which can always name its unread bytes.

Input is cut at message ends before a parser sees it, and one message is fed at a time: the next
when the answer before it is complete. So whatever was not dispatched is still there as raw bytes,
and another process could go on from them. Bytes take this way:

    loop's buffer -> `_unread` -> head parsed, exchange dispatched -> body decoded into the exchange

A complete head that arrives alone skips `_unread`, unless the dispatcher declines it. Reading goes
into a buffer no larger than what `_unread` may still take, so its bound is exact.
"""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from changeover.workers.http.body import Body, LengthBody, body_of
from changeover.workers.http.exchange import Stage, WireExchange
from changeover.workers.http.faults import BadMessage
from changeover.workers.http.fields import Expectation
from changeover.workers.http.head import END, Head
from changeover.workers.http.incoming import Incoming
from changeover.workers.http.outlet import MAX_DISCARD, Course, Outlet
from changeover.workers.http.phases import Overdue, Phase, Sight, Watch
from changeover.workers.http.response import error_response
from changeover.workers.http.site import Site
from changeover.workers.http.unread import Unread

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CR = 13
_OPEN = Course.OPEN  # looking a member up costs at every request


class HttpConnection(asyncio.BufferedProtocol):
    """A connection of a client.

    Args:
        site: What it has in common with others.
        on_open: Called when it has a transport.
        on_close: Called when it is gone.

    Attributes:
        client: Peer address and port; None on a Unix socket.
        server: Own address and port, or path and None on a Unix socket.
        exchange: The request that is being served.
        outlet: The write side.
        requests: How many were dispatched.
        watch: Since when it has been doing what it does, for the sweep.
    """

    __slots__ = (
        "_advancing",
        "_body",
        "_dropped",
        "_expectation",
        "_held",
        "_held_raw",
        "_incoming",
        "_on_close",
        "_on_open",
        "_reading",
        "_received",
        "_transport",
        "_unread",
        "client",
        "exchange",
        "outlet",
        "requests",
        "server",
        "site",
        "watch",
    )

    _transport: asyncio.Transport
    outlet: Outlet

    def __init__(
        self,
        site: Site,
        on_open: Callable[["HttpConnection"], None],
        on_close: Callable[["HttpConnection"], None],
    ) -> None:
        self.site = site
        self.client: tuple[str, int] | None = None
        self.server: tuple[str, int | None] | None = None
        self.exchange: WireExchange | None = None
        self.requests = 0
        self.watch = Watch()
        self._on_open = on_open
        self._on_close = on_close
        self._unread = Unread(site.limits)
        self._held: WireExchange | None = None
        self._held_raw = b""
        self._body: Body | None = None
        self._incoming: Incoming | None = None
        self._expectation = Expectation.NONE
        self._advancing = False
        self._reading = True
        self._received = self._dropped = 0

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)
        self.outlet = Outlet(self._transport)
        self.client = _address(transport.get_extra_info("peername"))
        own = transport.get_extra_info("sockname")
        self.server = (own, None) if isinstance(own, str) else _address(own)
        self._on_open(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to read to: no more than may still be unread."""
        if self._unread.data or self._held_raw:
            return self.site.buffer[: self._room]
        return self.site.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Go on with what was read."""
        data = bytes(self.site.buffer[:nbytes])
        if self._vacant and 0 < data.find(END) == nbytes - 4 and data[0] != CR:
            try:
                self._begin(data)
            except BadMessage as error:
                self._refuse(error)
        elif self.outlet.course is Course.LINGERING:
            self.outlet.drop(nbytes)
        else:
            self._unread.add(data)
            self._advance()

    def eof_received(self) -> bool:
        """The client has shut its write side; it still gets the answers to what it asked."""
        self.outlet.client_shut = True
        self._end_input()
        return True

    def pause_writing(self) -> None:
        """The client does not take what is written."""
        self.outlet.clog()

    def resume_writing(self) -> None:
        """The client has taken enough."""
        self.outlet.unclog()

    def connection_lost(self, error: Exception | None) -> None:
        """End."""
        exchange, self.exchange = self.exchange, None
        self._held = self._incoming = self._body = None
        if exchange is not None:
            exchange.lose()
        self.outlet.lost()
        self._on_close(self)

    # What the owner of all connections calls.

    def unread(self) -> bytes:
        """The raw bytes of every message that was not dispatched, complete or not.

        Bytes that come while `in_body` belong to the request that is being served, up to its end.
        """
        return self._held_raw + bytes(self._unread.data)

    @property
    def in_body(self) -> bool:
        """Whether a request body is under way, whose bytes belong to nobody else."""
        return self._body is not None

    @property
    def at_boundary(self) -> bool:
        """Whether no message is under way, so that `unread` is all that somebody else needs to go on."""
        return self.exchange is None and self._body is None and self.outlet.course is _OPEN

    def resume(self) -> None:
        """Offer a held request again."""
        exchange, raw = self._held, self._held_raw
        if exchange is None:
            return
        self._held, self._held_raw = None, b""
        if self._offer(exchange, raw):
            self._advance()

    def finish(self) -> None:
        """Close politely: nothing of an answer is under way."""
        if not self.outlet.ended:
            self._linger()

    def abort(self) -> None:
        """Cut the connection off."""
        self.outlet.abort()

    def sight(self) -> Sight:
        """What it is doing."""
        return self.outlet.sight() or (self._resting_sight() if self.exchange is None else self._busy_sight())

    def overdue(self, overdue: Overdue) -> None:
        """Its phase has lasted too long."""
        match overdue:
            case Overdue.CLOSE:
                self.outlet.close()
            case Overdue.TIMEOUT:
                self._refuse(BadMessage(408, "the request did not come in time"))
            case Overdue.UNAVAILABLE:
                self._refuse(BadMessage(503, "the request could not be served in time"))
            case Overdue.GONE if self.exchange is not None:
                self.exchange.depart()
            case Overdue.ABORT:
                self.outlet.abort()

    # What its exchange calls.

    def persists(self, head: Head, *, wanted: bool) -> bool:
        """Decide whether the connection goes on after this answer, and remember it; `wanted` by the answer."""
        outlet = self.outlet
        unasked = self._body is not None and self._unasked()
        if not head.persistent:
            outlet.course = Course.ASKED
        elif not wanted or unasked or self.site.stopping:
            outlet.course = Course.LAST
        return outlet.course is _OPEN

    def finished(self) -> None:
        """The answer is complete: go on to the next message, or close."""
        self.exchange = self._incoming = None
        if self._vacant and not self.outlet.client_shut:
            return
        if self.outlet.course is not _OPEN or not self._may_discard():
            self._close_after_last()
        else:
            self._advance()

    def fail(self, status: int, fact: str) -> None:
        """Answer in the application's place, then close."""
        lines, body = error_response(status, fact)
        self.exchange = self._held = self._incoming = None
        self.outlet.send([lines + self.site.tail + body], len(body))
        self._linger()

    def cut(self, *, reset: bool) -> None:
        """Close in the middle of an answer; `reset` when the client could not tell otherwise."""
        self.exchange = self._held = self._incoming = self._body = None
        self.outlet.cut(reset=reset)

    # From bytes to exchanges.

    @property
    def _vacant(self) -> bool:
        return (
            self.exchange is None
            and self._body is None
            and not self._unread.data
            and self._held is None
            and self.outlet.course is _OPEN
        )

    @property
    def _room(self) -> int:
        return self.site.limits.unread - len(self._unread.data) - len(self._held_raw)

    def _begin(self, raw: bytes) -> bool:
        head = self.site.parser.parse(raw)
        incoming = Incoming(self._want_body) if head.length else None
        return self._offer(WireExchange(self, head, incoming), raw)

    def _offer(self, exchange: WireExchange, raw: bytes) -> bool:
        self.exchange = exchange
        if exchange.incoming is not None:
            self._expect_body(exchange, exchange.incoming)
        if self.site.dispatcher.dispatch(exchange):
            self.requests += 1
            return True
        self.exchange = self._body = self._incoming = None
        self._held, self._held_raw = exchange, raw
        self._regulate()
        return False

    def _expect_body(self, exchange: WireExchange, incoming: Incoming) -> None:
        self._incoming = incoming
        self._body = body_of(exchange.head.length, self.site.limits.body)
        self._expectation = exchange.head.expectation

    def _unasked(self) -> bool:
        """Whether the client still waits to be asked for its body; it will not be any more."""
        unasked, self._expectation = self._expectation is Expectation.CONTINUE, Expectation.NONE
        return unasked

    def _advance(self) -> None:
        if self._advancing:
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
        if self.exchange is None and self._held is None:
            self.outlet.close()
        elif self._body is not None:
            self._refuse(BadMessage(400, "the request body ends before its announced end"))

    def _step(self) -> bool:
        """Go one message further; whether it is worth trying again."""
        if self._body is not None:
            return self._feed(self._body)
        if self.exchange is not None or self._held is not None or self.outlet.course is not _OPEN:
            return False
        raw = self._unread.cut_head()
        return raw is not None and self._begin(raw)

    def _feed(self, body: Body) -> bool:
        if not self._unread.data:
            return False
        piece, taken = body.feed(bytes(self._unread.data))
        self._unread.cut(taken)
        self._received += taken
        self._expectation = Expectation.NONE
        if body.complete:
            self._body = None
            self._dropped = 0
        if self._incoming is not None:
            self._incoming.put(piece, last=body.complete)
        elif not body.complete:
            self._dropped += taken
            if self._dropped > MAX_DISCARD:
                self._linger()
        return body.complete

    def _want_body(self) -> None:
        if self._expectation is Expectation.CONTINUE:
            self._expectation = Expectation.NONE
            self._transport.write(CONTINUE)
        self._regulate()

    def _regulate(self) -> None:
        """Read, or stop reading, according to what there is room for."""
        full = self._room <= 0 or (self._incoming is not None and self._incoming.full)
        if full == self._reading and not self.outlet.client_shut and not self._transport.is_closing():
            self._reading = not full
            if full:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    # The end.

    def _may_discard(self) -> bool:
        return not isinstance(self._body, LengthBody) or self._body.remaining <= MAX_DISCARD

    def _refuse(self, error: BadMessage) -> None:
        exchange, self.exchange = self.exchange, None
        if exchange is None and self._body is not None:
            self._linger()
        elif exchange is not None and exchange.stage is Stage.SENT:
            exchange.abort()
        else:
            if exchange is not None:
                exchange.lose()
            self.fail(error.status, error.fact)

    def _close_after_last(self) -> None:
        if self.outlet.course is Course.ASKED and self._body is None and not self._unread.data:
            self.outlet.close()
        else:
            self._linger()

    def _linger(self) -> None:
        self._body = None
        self._held_raw = b""
        self._unread.data.clear()
        self.outlet.linger()
        self._regulate()

    def _resting_sight(self) -> Sight:
        if self._held is not None:
            return Sight(Phase.HELD, self.requests)
        if self._body is not None:
            return Sight(Phase.BODY, self._received)
        if self._unread.data:
            return Sight(Phase.HEAD, self.requests)
        return Sight(Phase.IDLE if self.requests else Phase.NEW, self.requests)

    def _busy_sight(self) -> Sight:
        if self._incoming is not None and self._incoming.wanted:
            return Sight(Phase.BODY, self._received)
        if self.outlet.client_shut:
            return Sight(Phase.HALF_CLOSED, self.outlet.sent)
        return Sight(Phase.BUSY, self.requests)


def _address(name: Any) -> tuple[str, int] | None:
    return (name[0], name[1]) if isinstance(name, tuple) else None
