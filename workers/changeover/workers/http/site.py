"""What all connections of a worker have in common."""

import asyncio
import mmap
import time
from email.utils import formatdate
from typing import Protocol

from changeover.workers.channel.connection import Connection, Owner
from changeover.workers.channel.limits import Limits
from changeover.workers.channel.unsent import give_up
from changeover.workers.http.head import HeadParser
from changeover.workers.http.incoming import HIGH_WATER
from changeover.workers.http.making import Making
from changeover.workers.http.response import ResponseHead, encode_head
from changeover.workers.serving.exchange import RawHeaders
from changeover.workers.serving.session import Dispatchers

KNOWN_HEADS = 256
"""Most heads of responses that are remembered."""


class Successor(Protocol):
    """What goes on where a connection turns out to speak another protocol."""

    def take_over(self, transport: asyncio.Transport, old: Connection, owner: Owner, read: bytes) -> None:
        """Go on in the place of `old`, with what has come."""


class Corked(Protocol):
    """An answer that holds bytes back for the rest of this turn of the loop.

    Attributes:
        corked: Whether it still does.
    """

    corked: bool

    def uncork(self) -> None:
        """Send them."""

    def abort(self) -> object:
        """Break the answer off."""


class Site:
    """Dispatcher, limits, and what is cheaper to have once than per connection.

    Args:
        dispatcher: Takes requests.
        limits: Bounds on connections and requests.
        server: Value of the Server field; none when empty.
        making: Done with every request beside serving it; None for nothing.

    Attributes:
        making: As above.
        parser: Parses heads, which come complete, so that one serves all connections.
        memory: Where the loop reads to; its content is copied before anything else happens.
        body_buffer: As much of it as the rest of a body may take.
        buffer: As much of it as everything else may take: the beginning of that.
        encoded: Heads of responses that were encoded lately, by status, size and fields; see `encode`.
        corked: What is uncorked at the end of the loop's turn; empty until the first of them is corked by `cork`.
        stopping: Whether every response is the last one of its connection.
        tail: The end of a response's head: Date, Server, empty line.
        http2: Goes on where a client begins with HTTP/2; None where it is not spoken.
    """

    __slots__ = (
        "_server", "body_buffer", "buffer", "corked", "dispatcher", "encoded", "http2", "limits", "making", "memory",
        "parser", "stopping", "tail",
    )  # fmt: skip

    def __init__(
        self,
        dispatcher: Dispatchers,
        limits: Limits,
        server: str = "",
        making: Making | None = None,
        http2: Successor | None = None,
    ) -> None:
        self.dispatcher = dispatcher
        self.making = making
        self.limits = limits
        self.parser = HeadParser(limits)
        self.memory = _untouched(max(limits.unread, HIGH_WATER))
        self.body_buffer = memoryview(self.memory)
        self.buffer = self.body_buffer[: limits.unread]
        self.stopping = False
        self.http2 = http2
        self._server = f"server: {server}\r\n".encode("latin-1") if server else b""
        self.corked: list[Corked] = []
        self.encoded: dict[object, ResponseHead] = {}
        self.refresh()

    def refresh(self) -> None:
        """Bring `tail` up to date, and forget which heads were seen; due once a second."""
        self.parser.forget()
        self.encoded.clear()
        self.tail = self.tail_for(dated=False, served=False)

    def encode(self, status: int, fields: RawHeaders, size: int | None = None) -> ResponseHead:
        """Encode the head of a response; one like a recent one costs little. See `encode_head`.

        Raises:
            BadResponse: It would break the framing, or split the response.
        """
        key = (status, size, *fields)
        try:
            known = self.encoded.get(key)
        except TypeError:  # lists instead of tuples: legal, and nothing to remember by
            return self._completed(encode_head(status, [(name, value) for name, value in fields], size))
        if known is None:
            known = self._completed(encode_head(status, fields, size))
            if len(self.encoded) < KNOWN_HEADS:
                self.encoded[key] = known
        return known

    def tail_of(self, response: ResponseHead) -> bytes:
        """The end of its head."""
        if response.dated or response.served:
            return self.tail_for(dated=response.dated, served=response.served)
        return self.tail

    def tail_for(self, *, dated: bool, served: bool) -> bytes:
        """The end of a head to which the application gave its own Date or Server."""
        date = b"" if dated else f"date: {formatdate(time.time(), usegmt=True)}\r\n".encode("ascii")
        return date + (b"" if served else self._server) + b"\r\n"

    def speaks_http2(self, connection: Connection) -> bool:
        """Whether a connection may go on with HTTP/2: it has just begun, and TLS has not agreed on something else."""
        tls = connection.outcome is not None and bool(connection.outcome.tls)
        return self.http2 is not None and not connection.requests and not tls

    def cork(self, answer: Corked) -> None:
        """Have `answer` uncorked once what runs now has run; one call of the loop serves all connections."""
        if not self.corked:
            asyncio.get_running_loop().call_soon(self._uncork)
        self.corked.append(answer)

    def _completed(self, response: ResponseHead) -> ResponseHead:
        if response.persistent and response.length is not None:
            response.whole = response.lines + self.tail_of(response)
        return response

    def _uncork(self) -> None:
        corked, self.corked = self.corked, []
        for answer in corked:
            if answer.corked:  # most are complete by now
                try:
                    answer.uncork()
                except Exception as error:  # noqa: BLE001 - whatever it is, the others get theirs
                    give_up(error, answer.abort)


def _untouched(size: int) -> mmap.mmap:
    """Memory of which only those pages are resident that something was read to; a bytearray is written whole."""
    return mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
