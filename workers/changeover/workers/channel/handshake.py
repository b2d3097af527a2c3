"""Takes one accepted socket from its first byte to what speaks over it: PROXY header, TLS, selection.

An address without any of these never comes here (see `Connections`).
"""

import asyncio
import enum
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Protocol, cast

import msgspec

from changeover.workers.channel.addresses import client_of, server_of
from changeover.workers.channel.connection import Connection, Initializer, Owner
from changeover.workers.channel.distinguished_name import distinguished_name
from changeover.workers.channel.opening import Driven, open_transport
from changeover.workers.channel.proxy import V2_LONGEST, BadProxyHeader, ProxyHeader, length_of, parse
from changeover.workers.channel.secured import Secured
from changeover.workers.channel.selector import Choice
from changeover.workers.channel.server_channel import ServerChannel
from changeover.workers.protocol.assembly import HTTP
from changeover.workers.serving.handshake import HandshakeOutcome, Proxied, Transport

DEADLINE = 10.0
"""Seconds from accepting a connection to the end of its handshake."""
GOODBYE = 2.0
"""Seconds that the end of TLS may take."""


class HandshakeEnd(enum.Enum):
    """What became of a handshake."""

    DONE = "done"
    PLAIN = "cleartext"
    """There was none: nothing comes before the first message at this address."""
    SAFE = "no rule matched; the safe initializer took it"
    UNMATCHED = "no rule matched"
    BAD_PROXY = "no PROXY header"
    FAILED = "TLS failed"
    OVERDUE = "it took too long"
    GONE = "the client went away"
    BROKEN = "what was to be spoken could not be begun"


class Witness(Protocol):
    """Hears of handshakes."""

    def ended(self, channel: str, end: HandshakeEnd, detail: str) -> None:
        """One is over.

        Args:
            channel: The address.
            end: What became of it.
            detail: For people; empty when all is well.
        """


class Handshake:
    """One connection before it is one.

    Args:
        loop: The running loop.
        accepted: The socket, owned by the handshake from here on.
        channel: What comes first at its address.
        initializer_of: Makes what speaks, by the name of the initializer.
        owner: Told of the connection.
        on_over: Called with this and the connection, once there is one; with None when there will be none: the socket
            is closed then.
        witness: Hears what became of it.
        channel_now: What comes first at an address in the generation that serves; None for nothing.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        accepted: socket.socket,
        channel: ServerChannel,
        initializer_of: Callable[[str], Initializer],
        owner: Owner,
        on_over: Callable[["Handshake", Connection | None], None],
        witness: Witness,
        channel_now: Callable[[str], ServerChannel | None],
    ) -> None:
        self._loop = loop
        self._socket = accepted
        self._channel = channel
        self._initializer_of = initializer_of
        self._owner = owner
        self._on_over = on_over
        self._witness = witness
        self._channel_now = channel_now
        self._header = ProxyHeader()
        self._read = b""
        self._over = False
        self._reading = False
        self._connection: Connection | None = None
        self._opened_transport = False
        self._transport: asyncio.Transport | None = None
        self._timer = loop.call_later(DEADLINE, self._end, HandshakeEnd.OVERDUE, f"{DEADLINE:.0f} s")
        self._proxied = channel.expects_proxy(_peer_of(accepted))

    def begin(self) -> None:
        """Go on as far as the client lets it."""
        if self._proxied:
            self._socket.setblocking(False)
            self._reading = True
            self._loop.add_reader(self._socket, self._on_readable)
        else:
            self._secure()

    def abort(self) -> None:
        """Give it up."""
        self._end(HandshakeEnd.GONE, "the worker stops")

    # ---- PROXY ----

    def _on_readable(self) -> None:
        try:
            self._read_header()
        except BadProxyHeader as error:
            self._end(HandshakeEnd.BAD_PROXY, error.fact)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._end(HandshakeEnd.GONE, error.strerror or str(error))

    def _read_header(self) -> None:
        """Read the header and not a byte more: what follows is for TLS, or for the protocol."""
        seen = self._socket.recv(V2_LONGEST, socket.MSG_PEEK)
        if not seen:
            self._end(HandshakeEnd.GONE, "before its PROXY header")
            return
        length = length_of(self._read + seen)
        wanted = len(seen) if length is None else min(len(seen), length - len(self._read))
        self._read += self._socket.recv(wanted)
        if length is not None and len(self._read) == length:
            self._header = parse(self._read)
            self._stop_reading()
            self._secure()

    def _stop_reading(self) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._socket)

    # ---- TLS ----

    def _secure(self) -> None:
        """Give the socket its transport, and speak TLS over it if so configured."""
        self._opened_transport = True
        open_transport(self._loop, lambda: _Threshold(self._on_transport), self._socket, self._not_opened)

    def _not_opened(self, error: Exception) -> None:
        self._opened_transport = False
        self._end(HandshakeEnd.GONE, str(error))

    def _on_transport(self, threshold: "_Threshold", transport: asyncio.Transport) -> None:
        self._transport = transport
        if self._over:
            transport.abort()
        elif self._channel.tls is None:
            self._chosen(threshold, transport)
        else:
            self._speak_tls(threshold, transport, self._channel.tls)

    def _speak_tls(self, threshold: "_Threshold", transport: asyncio.Transport, context: ssl.SSLContext) -> None:
        """Begin at once: what the client says first is for TLS.

        Not by `ssl=` with the accepted socket: when that handshake fails, uvloop and the socket object both close it.
        """
        speaking = self._loop.start_tls(
            transport,
            threshold,
            context,
            server_side=True,
            ssl_handshake_timeout=DEADLINE,
            ssl_shutdown_timeout=GOODBYE,
        )
        Driven(speaking, partial(self._secured, threshold), self._not_secured)

    def _secured(self, threshold: "_Threshold", transport: asyncio.Transport | None) -> None:
        if self._over:
            return
        if transport is None or self._transport is None or transport.is_closing():  # the loops call that a success
            self._end(HandshakeEnd.GONE, "as TLS began")
        else:
            self._chosen(threshold, Secured(self._loop, transport, self._transport))

    def _not_secured(self, error: Exception) -> None:
        if isinstance(error, TimeoutError | ConnectionAbortedError):
            self._end(HandshakeEnd.OVERDUE, "TLS")
        elif isinstance(error, ssl.SSLError):
            self._end(HandshakeEnd.FAILED, (error.reason or str(error)).replace("_", " ").lower())
        else:
            self._end(HandshakeEnd.GONE, str(error))

    # ---- selection ----

    def _chosen(self, threshold: "_Threshold", transport: asyncio.Transport) -> None:
        """The transport is there: what speaks over it?"""
        self._settle()
        try:
            self._hand_over(threshold, transport)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client is not left waiting
            self._break_off(transport, error)

    def _hand_over(self, threshold: "_Threshold", transport: asyncio.Transport) -> None:
        outcome = self._outcome(transport)
        # What was replaced since the connection came may be released, and the plugin that it would ask with it.
        channel = self._channel_now(self._channel.address)
        name, matched, label = Choice(HTTP, True) if channel is None else channel.choose(outcome)
        if label:
            outcome = msgspec.structs.replace(outcome, label=label)
        if name is None:
            transport.set_protocol(_Refusal(self._loop, transport))
            self._witness.ended(self._channel.address, HandshakeEnd.UNMATCHED, _worded(outcome))
            self._on_over(self, None)
            return
        end = HandshakeEnd.DONE if matched else HandshakeEnd.SAFE
        self._witness.ended(self._channel.address, end, "" if matched else _worded(outcome))
        protocol = self._initializer_of(name).protocol(self._owner, self._on_connection, outcome)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if threshold.early and self._connection is not None:
            self._connection.take(threshold.early)

    def _on_connection(self, connection: Connection) -> None:
        self._connection = connection
        self._on_over(self, connection)

    def _break_off(self, transport: asyncio.Transport, error: Exception) -> None:
        """Let go of a client for whom there is nothing that speaks; one whose connection is open goes with that."""
        transport.abort()
        if self._connection is None:
            self._on_over(self, None)
        self._loop.call_exception_handler({"message": "a connection could not be begun", "exception": error})
        self._witness.ended(self._channel.address, HandshakeEnd.BROKEN, f"{type(error).__name__}: {error}")

    def _outcome(self, transport: asyncio.Transport) -> HandshakeOutcome:
        header, session = self._header, transport.get_extra_info("ssl_object")
        peer, server = client_of(transport), server_of(transport)
        return HandshakeOutcome(
            self._channel.address,
            Transport.UNIX if self._socket.family == socket.AF_UNIX else Transport.TCP,
            header.client or peer,
            header.server or server,
            tls="" if session is None else session.version() or "",
            alpn="" if session is None else session.selected_alpn_protocol() or "",
            sni=self._channel.names.take(session) or header.authority,
            subject="" if session is None else distinguished_name((session.getpeercert() or {}).get("subject", ())),
            proxied=Proxied(peer, header.authority, header.tls) if self._proxied else None,
        )

    # ---- the end ----

    def _settle(self) -> None:
        self._over = True
        self._timer.cancel()
        self._stop_reading()

    def _end(self, end: HandshakeEnd, detail: str) -> None:
        if self._over:
            return
        self._settle()
        if self._transport is not None:
            self._transport.abort()
        elif not self._opened_transport:
            if end is HandshakeEnd.BAD_PROXY:
                _empty(self._socket)
            self._socket.close()
        self._witness.ended(self._channel.address, end, detail)
        self._on_over(self, None)


class _Threshold(asyncio.Protocol):
    """Stands in for the protocol until it is known which one it is."""

    def __init__(self, on_transport: Callable[["_Threshold", asyncio.Transport], None]) -> None:
        self._on_transport = on_transport
        self.early = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket has its transport, which may remember this for as long as it lives: nothing is kept."""
        on_transport = self._on_transport
        del self._on_transport
        on_transport(self, cast(asyncio.Transport, transport))

    def data_received(self, data: bytes) -> None:
        """The client's first message came with the end of its handshake."""
        self.early += data


class _Refusal(asyncio.Protocol):
    """Closes cleanly: what the client still sends is dropped for a moment, because a reset would look like a fault."""

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport) -> None:
        if transport.can_write_eof():
            transport.write_eof()
            loop.call_later(GOODBYE, transport.close)
        else:
            transport.close()


def _empty(refused: socket.socket) -> None:
    """Read what has come: closing with unread bytes is a reset."""
    with suppress(OSError):
        refused.recv(V2_LONGEST)


def _peer_of(accepted: socket.socket) -> tuple[str, int] | None:
    if accepted.family == socket.AF_UNIX:
        return None
    try:
        name = accepted.getpeername()
    except OSError:
        return None
    return name[0], name[1]


def _worded(outcome: HandshakeOutcome) -> str:
    said = {"alpn": outcome.alpn, "sni": outcome.sni, "tls": outcome.tls}
    return ", ".join(f"{name} {value}" for name, value in said.items() if value) or outcome.transport.value
