"""The write side of a connection, and its end."""

import asyncio
import enum
import math
import os
import socket
import struct
from collections.abc import Sequence

from changeover.workers.channel.handed import HandedSocket
from changeover.workers.channel.nearby import narrow
from changeover.workers.channel.phases import Phase, Sight
from changeover.workers.channel.secured import Secured
from changeover.workers.channel.unacknowledged import acknowledged, unacknowledged
from changeover.workers.channel.unheard import has_left
from changeover.workers.channel.waiters import Waiters

JOIN = 32 * 1024
"""Up to this size pieces are copied together for one cheap write; beyond they are gathered."""
STRETCH = 256 * 1024
"""Bytes that are written for one client before the loop does something else."""
EACH = 64
"""Bytes that each piece counts for beside its own: it costs time, however short it is."""
MANY = STRETCH // EACH
"""Pieces that are as much as that, however short they are."""
MAX_DISCARD = 256 * 1024
"""Most bytes that are read and dropped: of a body that the application left, or after the last answer."""
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER that makes closing send a reset."""


class Course(enum.Enum):
    """Whether the connection goes on."""

    OPEN = enum.auto()
    LAST = enum.auto()
    """The answer under way is the last one: we said so."""
    ASKED = enum.auto()
    """The answer under way is the last one: the client said so."""
    LEAVING = enum.auto()
    """It goes on in another process, from the next message on."""
    LINGERING = enum.auto()
    """Nothing more is written; what comes is dropped."""
    CLOSED = enum.auto()


class Outlet:
    """Writes to a transport until its end.

    Args:
        transport: Where to.

    Attributes:
        course: Whether the connection goes on.
        client_shut: Whether the client has shut its write side.
        clogged: Whether the client has not taken enough.
        final: Whether the next answer is to be the last one.
        handed: Whether the process that served it before may have a descriptor of its socket for a while: the client
            hears of no end then as long as that is open.
        sent: A number that grows with what is written.
        last_word: What the other end of a tunnel resets its client's connection for; empty where there is no tunnel.
    """

    __slots__ = (
        "_discarded",
        "_due",
        "_much",
        "_transport",
        "_writers",
        "client_shut",
        "clogged",
        "course",
        "final",
        "handed",
        "last_word",
        "sent",
    )

    def __init__(self, transport: asyncio.Transport) -> None:
        self.course = Course.OPEN
        self.client_shut = False
        self.final = False
        self.handed = False
        self.last_word = b""
        self._transport = transport
        self._writers = Waiters()
        self.clogged = False
        self._discarded = self.sent = 0
        self._due = STRETCH
        self._much: float = STRETCH

    @property
    def ending(self) -> bool:
        """Whether no message follows the one under way."""
        return self.course is not Course.OPEN and self.course is not Course.LEAVING

    @property
    def ended(self) -> bool:
        """Whether nothing more can be written."""
        return self.course is Course.LINGERING or self.course is Course.CLOSED

    @property
    def closing(self) -> bool:
        """Whether nothing is to be read any more, also where another process goes on with the socket."""
        return self.course is Course.CLOSED or self._transport.is_closing()

    def has_client_left(self, shut: bool) -> bool:
        """Whether the client is gone, or has `shut` its write side, also where nobody reads from it; dear."""
        return has_left(self._transport, shut)

    def send(self, pieces: Sequence[bytes], size: int) -> None:
        """Hand bytes to the transport, `size` of them beside a head."""
        self.sent += size + EACH * len(pieces)
        if len(pieces) == 1:
            self._transport.write(pieces[0])
        elif size < JOIN:
            self._transport.write(b"".join(pieces))
        else:
            self._transport.writelines(pieces)
        if self.sent > self._much:
            self._narrow()

    def send_whole(self, head: bytes, body: bytes) -> None:
        """Hand a complete answer to the transport."""
        if len(body) < JOIN:
            self.sent += 1
            self._transport.write(head + body)
        else:
            self.sent += len(body)
            self._transport.writelines((head, body))
            if self.sent > self._much:
                self._narrow()

    def leave_out(self, size: int) -> None:
        """Count bytes that are for nobody, such as the body of an answer to HEAD: they take time as others do."""
        self._due -= size + EACH

    def _narrow(self) -> None:
        """Bound what is on its way: much is sent. Who cannot be judged yet is asked about when as much again is."""
        own: socket.socket | None = self._transport.get_extra_info("socket")
        settled = own is None or self._transport.is_closing() or narrow(own)
        self._much = math.inf if settled else self.sent + STRETCH

    def clog(self) -> None:
        """The client does not take what is written."""
        self.clogged = True

    def unclog(self) -> None:
        """The client has taken enough."""
        self.clogged = False
        self._writers.wake()

    def is_written(self) -> bool:
        """Whether everything is written; if not, `unclog` comes as soon as it is."""
        if self._transport.get_write_buffer_size() == 0:
            return True
        self._transport.set_write_buffer_limits(high=0)
        return False

    def take_socket(self) -> socket.socket | None:
        """Part from the socket, which lives on; the client notices nothing.

        The transport is deaf and dumb from here on, and has a descriptor of its own until it is aborted.

        Returns:
            Another descriptor of it; None when the connection is lost already.

        Raises:
            OSError: There is no descriptor free; nothing has happened.
        """
        if self._transport.is_closing():
            return None
        own: socket.socket = self._transport.get_extra_info("socket")
        taken = HandedSocket(fileno=os.dup(own.fileno()))
        self._transport.pause_reading()  # again: uvloop begins to read after `connection_made`, paused or not
        self.course = Course.CLOSED
        return taken

    @property
    def pressed(self) -> bool:
        """Whether `drain` has something to wait for."""
        return self.clogged or self.sent >= self._due or self.course is Course.CLOSED

    async def drain(self) -> None:
        """Wait until the client has taken enough; now and then let others have a turn, even if it takes everything.

        So does one that is gone: who writes on for ever would keep the loop from hearing of it.
        """
        if not self.pressed:
            return
        self._due = self.sent + STRETCH
        if self.clogged and self.course is not Course.CLOSED:
            await self._writers.wait()
        else:
            await asyncio.sleep(0)

    def announce(self) -> None:
        """Let the answer under way be the last one; its head says so, unless it has left already."""
        if not self.ending:
            self.course = Course.LAST

    def close(self) -> None:
        """Close once everything is written."""
        hears = isinstance(self._transport, Secured) and self._untaken
        self.course = Course.LINGERING if hears else Course.CLOSED
        if self.handed and not self._transport.is_closing() and self._transport.can_write_eof():
            self._transport.write_eof()
        self._transport.close()

    def linger(self) -> None:
        """Shut the write side and drop what still comes: closing now could destroy the answer by a reset."""
        if self.client_shut or self._transport.is_closing() or not self._transport.can_write_eof():
            self.close()
            return
        self.course = Course.LINGERING
        self._discarded = 0
        self._transport.write_eof()

    def drop(self, size: int) -> None:
        """Count what was read and dropped; past a bound no more is read."""
        self._discarded += size
        if self._discarded > MAX_DISCARD:
            self._transport.pause_reading()

    def cut(self, *, reset: bool) -> None:
        """Close in the middle of an answer; `reset` when the client could not tell otherwise."""
        if reset and self.last_word:
            self._transport.write(self.last_word)
        if not reset or self.last_word:
            self.close()
            return
        own: socket.socket | None = self._transport.get_extra_info("socket")
        if own is not None:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.abort()

    def abort(self) -> None:
        """Close at once; what is not written yet is lost."""
        self.course = Course.CLOSED
        self._transport.abort()

    def lost(self) -> None:
        """The transport is gone."""
        self.course = Course.CLOSED
        self._writers.wake()
        if isinstance(self._transport, Secured):
            self._transport.lost()

    @property
    def _untaken(self) -> int:
        transport = self._transport
        return transport.untaken if isinstance(transport, Secured) else transport.get_write_buffer_size()

    @property
    def unacknowledged(self) -> int:
        """Bytes that were written, and that the client has not acknowledged."""
        return self._untaken + unacknowledged(self._transport)

    def sight(self) -> Sight | None:
        """What it is doing; None when it waits for others."""
        buffered = self._untaken
        if buffered:
            return Sight(Phase.WRITING, acknowledged(self._transport) or self.sent - buffered)
        return Sight(Phase.LINGERING, 0) if self.ended else None
