"""One request and its answer on a connection: the seam between the wire and the request path.

`http` implements `Exchange` over a socket, tests implement it in memory; `dispatch` in this
package drives it. Nothing in serving knows about sockets, nothing in http about generations.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from changeover.workers.serving.handshake import HandshakeOutcome
from changeover.workers.serving.message import Request
from changeover.workers.serving.request_head import Origin, RequestHead

RawHeaders = Sequence[tuple[bytes, bytes]]
BODILESS = frozenset({204, 304})
"""Statuses of responses without a body."""


class Disconnected(ConnectionError):
    """The client went away before the exchange was complete."""


class Undone(msgspec.Struct, frozen=True):
    """What became of a response that could not be completed.

    Attributes:
        begun: Its status; 0 where it had none.
        instead: Status of the short answer that the client got where nothing of it had left; 0 where it was cut off.
    """

    begun: int
    instead: int


class Exchange(Protocol):
    """One request, to be answered exactly once, on the loop's thread.

    The order is `start`, any number of `write`, `end`. Framing (Content-Length, chunked, HEAD,
    204, 304, Connection, Date) belongs to the implementation, as does `Expect: 100-continue`:
    the interim response is sent when the body is first asked for.
    """

    @property
    def head(self) -> RequestHead:
        """What was asked."""

    @property
    def wire(self) -> Origin:
        """Where it comes from."""

    @property
    def made(self) -> Request | None:
        """The request, if somebody has asked for it.

        It is there from the start over HTTP/2, where its body comes in pieces, and where its connection asks for it.
        """

    @property
    def request(self) -> Request:
        """The request, made now if it was not; its body is read through `receive`."""

    def take_held(self) -> bytes | None:
        """See `Request.take_held`; no request is made for that."""

    @property
    def connected(self) -> bool:
        """Whether the client is still there. When it seems to be gone, what is written may reach it all the same."""

    @property
    def outcome(self) -> HandshakeOutcome:
        """How the connection came about."""

    async def receive(self) -> bytes | None:
        """The next piece of the request body, or None at its end.

        Raises:
            Disconnected: The client went away before the end of the body.
        """

    async def wait_disconnected(self) -> None:
        """Return once nobody waits for this exchange any more: the client is gone, or the response has ended."""

    def start(self, status: int, headers: RawHeaders) -> None:
        """Send the response's head.

        It goes out at the latest with the next turn of the loop, so that a first `write` and an
        `end` that follow at once share its segment. After a disconnect it does nothing.

        Raises:
            ValueError: A field would break the framing (a line break or NUL in name or value).
        """

    def answer(self, status: int, headers: RawHeaders, body: bytes) -> None:
        """Send a whole response: as `start`, `write` and `end` would, for less.

        Its Content-Length is that of the body, whatever `headers` say; where no body is sent, they may announce any.

        Raises:
            ValueError: As in `start`.
        """

    def write(self, data: bytes) -> None:
        """Send a piece of the body; never blocks. After a disconnect it does nothing."""

    def pressed(self) -> bool:
        """Whether `drain` would wait, or let others have a turn. Sends first what is held back, where that is much."""

    def backed_up(self) -> bool:
        """Whether `drain` would wait for the client; right behind `pressed`."""

    @property
    def untaken(self) -> int:
        """Bytes of what was written that the client has yet to take, as far as that is known."""

    async def drain(self) -> None:
        """Wait until the client has taken enough of what was written (backpressure)."""

    def end(self) -> None:
        """The response is complete. The connection goes on to its next request. After a disconnect it does nothing."""

    def end_after(self, data: bytes) -> None:
        """Send the last piece, and end: as `write` and `end` would, for less."""

    def end_with(self, trailers: RawHeaders) -> None:
        """The response is complete, with fields behind its body as far as they can be sent; otherwise as `end`.

        Raises:
            ValueError: A field cannot stand there; the response is broken off.
        """

    def abort(self, status: int = 500) -> Undone | None:
        """The response cannot be completed: close so that the client can tell. After the end it does nothing.

        Args:
            status: Of the short answer that the client gets where nothing of the response has left.

        Returns:
            What became of it, also when it is asked again; None where it was complete, or its client had left.
        """


def sized(method: str, status: int, fields: RawHeaders, body: bytes) -> RawHeaders:
    """`fields` with the Content-Length of `body` alone, where one is sent; what answers HEAD may announce any."""
    kept = [pair for pair in fields if pair[0].lower() != b"content-length"]
    if status < 200 or status in BODILESS or (method == "HEAD" and (not body or len(kept) < len(fields))):
        return fields
    return [*kept, (b"content-length", b"%d" % len(body))]


class Dispatcher(Protocol):
    """What a connection hands a complete request head to."""

    def dispatch(self, exchange: Exchange) -> bool:
        """Take the exchange, or answer False: nothing may be dispatched now, hold it.

        After False the connection keeps the exchange and tries again when it is told to
        (`resume` of whoever owns the connections), after the next activation.
        """
