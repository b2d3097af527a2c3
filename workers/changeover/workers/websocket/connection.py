"""One WebSocket on the transport of the connection that asked for it.

The library knows frames and the order in which they may come; here is what they mean for the connection: how much is
read ahead of the application, how long each side may be silent, and how it ends. Bytes take this way:

    loop's buffer -> `_unread` -> frames -> inbox -> application

`_unread` is skipped as long as the application takes what comes, and the library where there are no extensions and a
message is one frame.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable
from typing import Protocol

from websockets.exceptions import ProtocolError
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from changeover.workers.channel.connection import Connection, Owner, Parting
from changeover.workers.channel.limits import Limits
from changeover.workers.channel.outlet import Course
from changeover.workers.channel.phases import Overdue, Phase, Sight, Watch
from changeover.workers.channel.stint import Stint
from changeover.workers.channel.waiters import Waiters
from changeover.workers.serving.lease import LeaseKind
from changeover.workers.serving.session import RESTART, CloseCode, WebSocketClosed, WebSocketMessage
from changeover.workers.websocket.inbox import Inbox
from changeover.workers.websocket.plain import PlainFrames, framed
from changeover.workers.websocket.written import Turns, Written

STEP = 16 * 1024
"""Most bytes that are turned into frames at a time: what they decompress to is bounded by it."""
SMALL_STEP = 1024
"""The same of a client whose frames are so small that a step was a stint."""
FRAMES = 64
"""Frames that the library reads in one turn of the loop: pings and pieces of messages count, too."""
TURN = 32
"""Most messages that are given to the application in one turn of the loop: others have a turn, too."""
DATA = frozenset({Opcode.TEXT, Opcode.BINARY, Opcode.CONT})


class Site(Turns, Protocol):
    """What all connections of a worker have in common, as far as a WebSocket needs it."""

    limits: Limits
    buffer: memoryview


class WebSocketConnection(asyncio.BufferedProtocol):
    """A WebSocket: a connection for its owner, a `Session` for what speaks over it.

    Args:
        site: What it has in common with others.
        before: The connection that it goes on from.
        transport: Its transport, of which this is the protocol from now on.
        owner: Told when it is gone.
        protocol: Its state.

    Attributes:
        client: Peer address and port; None on a Unix socket.
        server: Own address and port, or path and None on a Unix socket.
        outcome: How the connection came about.
        outlet: The write side.
        requests: How many messages were dispatched over the connection, before it was a WebSocket and since.
        watch: Since when it has been doing what it does, for the sweep.
        since: When the connection was opened here, seconds of the loop's clock.
    """

    kind, parting, at_boundary = LeaseKind.WEBSOCKET, Parting.STAYS, False
    __slots__ = (
        "_clogged", "_closed", "_heard", "_inbox", "_owner", "_plain", "_probed", "_protocol", "_reading", "_site",
        "_step", "_stint", "_stirred", "_transport", "_turn", "_unread", "_written", "client", "outcome", "outlet",
        "requests", "server", "since", "watch",
    )  # fmt: skip

    def __init__(
        self, site: Site, before: Connection, transport: asyncio.Transport, owner: Owner, protocol: ServerProtocol
    ) -> None:
        self.client, self.server, self.outcome = before.client, before.server, before.outcome
        self.outlet, self.requests, self.since = before.outlet, before.requests, before.since
        self.watch = Watch()
        self._closed: tuple[int, str] | None = None
        self.outlet.course = Course.OPEN
        self._site = site
        self._transport = transport
        self._owner = owner
        self._protocol = protocol
        self._inbox = Inbox(site.limits.messages)
        # Extensions change what is in frames, and whoever debugs wants to see each: the library logs them.
        plain = not protocol.extensions and not protocol.logger.isEnabledFor(logging.DEBUG)
        self._plain = PlainFrames(site.limits.message) if plain else None
        self._stirred = Waiters()
        self._unread = bytearray()
        self._written = Written(site, self.outlet, transport)
        self._reading = True
        self._clogged = self._probed = False
        self._heard = 0
        self._turn = TURN
        self._step = STEP
        self._stint = Stint(FRAMES)

    # What the loop calls.

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to read to."""
        return self._site.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Go on with what was read."""
        if self._closed is not None and self.outlet.ended:
            self.outlet.drop(nbytes)
        else:
            self.take(bytes(self._site.buffer[:nbytes]))

    def eof_received(self) -> bool:
        """The client has shut its write side: it has left, and said so or not."""
        self.outlet.client_shut = True
        self._advance()
        return self._transport.can_write_eof()

    def pause_writing(self) -> None:
        """The client does not take what is written: answer nothing more, so read nothing more."""
        self._clogged = True
        self.outlet.clog()

    def resume_writing(self) -> None:
        """The client has taken enough."""
        self._clogged = False
        self.outlet.unclog()
        self._advance()

    def connection_lost(self, error: Exception | None) -> None:
        """End."""
        self._unread.clear()
        self._written.forget()
        self._end(CloseCode.LOST)
        self._protocol.parser.close()  # it waits for more, and holds the protocol, which holds it
        self.outlet.lost()
        self._owner.closed(self)

    # What the owner of all connections calls.

    def unread(self) -> bytes:
        """Nothing that another process could go on from."""
        return b""

    def take(self, data: bytes) -> None:
        """Go on with bytes of the client."""
        self._heard += 1
        self._probed = False
        if self._reading and not (self._unread or self._clogged) and len(data) <= self._step:
            self._feed(data)
            self._regulate()
        else:
            self._unread += data
            self._advance()

    def resume(self) -> None:
        """What serves has changed: let a message handler look."""
        self._stirred.wake()

    def leave(self) -> None:
        """It cannot go on elsewhere; its owner tells it farewell in time."""

    def part(self) -> socket.socket | None:
        """See `Connection`: it is never at rest, so nobody can ask."""
        raise AssertionError("bug: a WebSocket cannot go on in another process")

    def farewell(self, *, asked: bool = False) -> None:
        """See `Connection`."""
        self.close(CloseCode.RESTART, RESTART)

    def abort(self) -> None:
        """Cut it off."""
        self.outlet.abort()

    def sight(self) -> Sight:
        """What it is doing."""
        writing = self.outlet.sight()
        if writing is not None:
            return writing
        if self._closed is not None:
            return Sight(Phase.CLOSING, 0)
        limits = self._site.limits
        if self._probed and limits.ping_timeout:
            return Sight(Phase.PROBED, self._heard)
        if self._reading and not self._probed and limits.ping_interval:
            return Sight(Phase.QUIET, self._heard)
        return Sight(Phase.BUSY, self._heard)

    def overdue(self, overdue: Overdue) -> None:
        """Its phase has lasted too long."""
        match overdue:
            case Overdue.PROBE:
                self._probed = True
                self._protocol.send_ping(b"")
                self._flush()
            case Overdue.TIMEOUT:
                self._end(CloseCode.LOST, "no answer to a ping")
                self._fail(CloseCode.FAILED, "keepalive ping timeout")
            case _:
                self.outlet.abort()

    # What speaks over it calls.

    @property
    def closed(self) -> WebSocketClosed | None:
        """See `Session`; a new one each time, because one that was raised holds on to who raised it."""
        return None if self._closed is None else WebSocketClosed(*self._closed)

    @property
    def at_hand(self) -> bool:
        """See `Session`."""
        return self._turn > 0 and (bool(self._inbox.messages) or self._closed is not None)

    def stir(self) -> Awaitable[None]:
        """See `Session`."""
        return self._stirred.wait()

    def pop(self) -> WebSocketMessage:
        """See `Session`."""
        if not self._inbox.messages:
            raise self.closed or AssertionError("bug: a message was taken and there is none")
        message = self._inbox.pop()
        self.requests += 1
        self._turn -= 1
        if not self._turn:
            asyncio.get_running_loop().call_soon(self._begin_turn)
        if self._unread or not self._reading:
            self._advance()
        return message

    def send(self, message: WebSocketMessage) -> None:
        """See `Session`."""
        if self._closed is not None:
            raise WebSocketClosed(*self._closed)
        if self._plain is not None:
            head, payload = framed(message)
            self._written.add((head, payload), len(payload))
            return
        if isinstance(message, str):
            self._protocol.send_text(message.encode())
        else:
            self._protocol.send_binary(message)
        pieces = self._protocol.data_to_send()
        self._written.add(pieces, sum(map(len, pieces)))

    def begin(self) -> None:
        """See `Session`."""
        self._written.spoken = True

    def rest(self) -> None:
        """See `Session`."""
        written = self._written
        written.spoken = False
        if written.held:
            written.let_go()

    @property
    def pressed(self) -> bool:
        """See `Session`."""
        return self.outlet.pressed

    async def drain(self) -> None:
        """See `Session`."""
        self._written.let_go()
        await self.outlet.drain()

    def close(self, code: int, reason: str) -> None:
        """See `Session`.

        Raises:
            ValueError: The code is none that may be sent, or the reason is longer than 123 bytes.
        """
        if self._closed is not None:
            return
        try:
            self._protocol.send_close(code, reason)
        except ProtocolError as error:
            raise ValueError(f"a WebSocket cannot be closed with code {code} and reason {reason!r}: {error}") from None
        self._end(code, reason)
        self._flush()
        self._advance()

    def _begin_turn(self) -> None:
        self._turn = TURN
        self._stirred.wake()

    # From bytes to messages.

    @property
    def _holding(self) -> bool:
        """Whether nothing more is looked at: the client is to take, or the application, or others have their turn."""
        return self._clogged or self._stint.rests or (self._inbox.full and self._closed is None)

    def _advance(self) -> None:
        while self._unread and not self._holding and not self.outlet.ended:
            step = bytes(self._unread[: self._step])
            del self._unread[: self._step]
            self._feed(step)
        if self.outlet.client_shut and not self._unread and not self.outlet.ended:
            self._end(CloseCode.LOST)
            self._written.let_go()
            self.outlet.close()
        self._regulate()

    def _feed(self, data: bytes) -> None:
        try:
            if self._plain is not None and self._closed is None:
                data = self._plain.take(data, self._inbox)
            if data:
                self._parse(data)
        except UnicodeDecodeError:
            self._fail(CloseCode.BAD_TEXT, "a text message is not UTF-8")
        if self._inbox.messages:
            self._stirred.wake()

    def _parse(self, data: bytes) -> None:
        """Have the library read frames."""
        protocol = self._protocol
        protocol.receive_data(data)
        frames = protocol.events_received()
        self._step = SMALL_STEP if len(frames) > FRAMES else min(2 * self._step, STEP)
        self._stint.spend(len(frames), self._advance)
        for frame in frames:
            if self._closed is None and isinstance(frame, Frame) and frame.opcode in DATA:
                self._inbox.put(frame)
        if protocol.state is not State.OPEN:
            self._end(*_farewell_of(protocol))
        self._flush()

    def _regulate(self) -> None:
        """Read, or stop reading, according to what there is room for."""
        full = self._holding
        if full == self._reading and not self.outlet.client_shut and not self._transport.is_closing():
            self._reading = not full
            if full:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def _flush(self) -> None:
        """Write what the protocol has to say; the empty piece means that it has nothing more to say."""
        writes = self._protocol.data_to_send()
        pieces = [piece for piece in writes if piece]
        if self.outlet.ended or self._transport.is_closing():
            return
        if pieces:
            self._written.add_last(pieces, sum(map(len, pieces)))
        if len(pieces) < len(writes):
            self._written.let_go()
            self._unread.clear()
            self._finish()

    # The end.

    def _end(self, code: int, reason: str = "") -> None:
        if self._closed is None:
            self._closed = code, reason
        self._stirred.wake()

    def _fail(self, code: CloseCode, reason: str) -> None:
        self._protocol.fail(code, reason)
        self._end(code, reason)
        self._flush()

    def _finish(self) -> None:
        if self._protocol.close_rcvd is not None:
            self.outlet.close()
        else:
            self.outlet.linger()


def _farewell_of(protocol: ServerProtocol) -> tuple[int, str]:
    """Why it is closed: as the client said, or as we said because of what it did."""
    said = protocol.close_sent if protocol.parser_exc is not None else protocol.close_rcvd or protocol.close_sent
    return (CloseCode.LOST, "") if said is None else (said.code, said.reason)
