"""Ends the arrival of connections without losing one: what is established is accepted, the rest starts nowhere.

A listening socket that is closed resets what waits in its accept queue, and between the last
accept and the close there is always room for one more handshake. So before the queues are
emptied a packet filter is attached to the listening socket that drops each packet which opens a
handshake (SYN without ACK) and passes everything else. Handshakes under way are completed by the
kernel; a client that comes later sends its SYN again, and is refused once the socket is closed.
What is set on the socket covers every process that shares it.

Some kernels reserve filters on TCP sockets to CAP_NET_ADMIN. Without it the socket demands a time
to live that no ordinary host's packets have (`hops`), which has the same effect on openings and
asks of workers that they lift the demand from what they accept.

A unix socket has no handshake: nobody finds it any more once its path is unlinked.
"""

import asyncio
import ctypes
import enum
import errno
import logging
import socket
import struct
from collections.abc import Iterable

import msgspec

from changeover.supervisor.process.holders import count_tcp
from changeover.supervisor.process.listeners import BoundListener
from changeover.workers.link.hops import ANY, IMPOSSIBLE, demand_hops

logger = logging.getLogger("changeover")

SO_ATTACH_FILTER = 26
SO_DETACH_FILTER = 27
_LISTEN_QUEUE = struct.Struct("24xI")
_SYN_RECV = "03"
_SETTLE = 0.01

_FLAGS_OFFSET, _SYN, _SYN_OR_ACK = 13, 0x02, 0x12
_DROP_OPENINGS = (
    (
        0x30,
        0,
        0,
        _FLAGS_OFFSET,
    ),  # load the byte of TCP flags; a TCP socket's filter sees packets from their TCP header on
    (0x54, 0, 0, _SYN_OR_ACK),  # keep SYN and ACK of it
    (0x15, 0, 1, _SYN),  # SYN alone?
    (0x06, 0, 0, 0),  # drop
    (0x06, 0, 0, 0xFFFFFFFF),  # pass
)


class Protection(enum.Enum):
    """How arrivals at a listening socket were ended."""

    FILTERED = "filtered"
    FAR_AWAY = "far away"
    """By a demand on the time to live: packets that are sent with 255 by a host without a router between pass."""
    UNLINKED = "unlinked"
    NONE = "none"
    """Not at all: what arrives between the last accept and the close is reset."""


class ArrivalsEnded(msgspec.Struct, frozen=True):
    """What was done to one listening socket.

    Attributes:
        address: Which, as people see it.
        protection: How arrivals were ended.
        reason: Why they were not filtered, in the system's words.
    """

    address: str
    protection: Protection
    reason: str = ""


def end_arrivals(listener: BoundListener) -> ArrivalsEnded:
    """Let no new connection begin at a listening socket; nothing that has begun is touched."""
    if listener.sock.family == socket.AF_UNIX:
        return _hide(listener)
    try:
        _attach(listener.sock)
        return ArrivalsEnded(listener.shown, Protection.FILTERED)
    except OSError as error:
        return ArrivalsEnded(listener.shown, _keep_away(listener.sock), error.strerror or str(error))


def _hide(listener: BoundListener) -> ArrivalsEnded:
    try:
        listener.unlink()
    except OSError as error:
        return ArrivalsEnded(listener.shown, Protection.NONE, error.strerror or str(error))
    return ArrivalsEnded(listener.shown, Protection.UNLINKED)


def _keep_away(sock: socket.socket) -> Protection:
    try:
        demand_hops(sock, IMPOSSIBLE)
    except OSError:
        return Protection.NONE
    return Protection.FAR_AWAY


async def end_all_arrivals(listeners: Iterable[BoundListener], deadline: float = 1.0) -> tuple[ArrivalsEnded, ...]:
    """End arrivals everywhere and wait for handshakes under way; then the accept queues can be emptied for good.

    Args:
        listeners: All listening sockets.
        deadline: How long to wait for handshakes, in seconds: a client that never answers ends no wait.
    """
    all_listeners = tuple(listeners)
    ended = tuple(end_arrivals(listener) for listener in all_listeners)
    ports = {listener.sock.getsockname()[1] for listener in all_listeners if listener.sock.family != socket.AF_UNIX}
    loop = asyncio.get_running_loop()
    end, quiet = loop.time() + deadline, 0
    while ports and quiet < 2 and loop.time() < end:
        await asyncio.sleep(_SETTLE)
        under_way = await asyncio.to_thread(count_tcp, frozenset(ports), _SYN_RECV)
        quiet = 0 if under_way else quiet + 1
    return ended


def allow_arrivals(listener: BoundListener) -> str:
    """Undo what ended arrivals at a listening socket that outlives whoever ended them.

    Returns:
        Why the system does not let us, empty when it does.
    """
    if listener.sock.family == socket.AF_UNIX:
        return ""
    try:
        demand_hops(listener.sock, ANY)
        listener.sock.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
    except OSError as error:
        return "" if error.errno == errno.ENOENT else error.strerror or str(error)
    return ""


def allow_all_arrivals(listeners: Iterable[BoundListener]) -> None:
    """Undo it everywhere; where the system does not let us, the log says so."""
    for listener in listeners:
        if reason := allow_arrivals(listener):
            logger.warning("%s: an earlier stop may still turn connections away: %s", listener.shown, reason)


def queued(listener: BoundListener) -> int | None:
    """Connections that wait to be accepted; None when the kernel does not say (unix sockets)."""
    if listener.sock.family == socket.AF_UNIX:
        return None
    (waiting,) = _LISTEN_QUEUE.unpack(listener.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LISTEN_QUEUE.size))
    return int(waiting)


def _attach(sock: socket.socket) -> None:
    program = b"".join(struct.pack("HBBI", *instruction) for instruction in _DROP_OPENINGS)
    memory = ctypes.create_string_buffer(program, len(program))
    sock.setsockopt(
        socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", len(_DROP_OPENINGS), ctypes.addressof(memory))
    )
