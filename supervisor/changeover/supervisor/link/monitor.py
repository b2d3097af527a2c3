"""Watches a socket's connections end: an oversized frame shows in no other way than a cut."""

import asyncio
from collections.abc import Callable

import zmq
from zmq.utils.monitor import parse_monitor_message

from changeover.workers.link.loop_socket import Frames, LoopSocket

CUT = (
    zmq.Event.DISCONNECTED
    | zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
    | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
    | zmq.Event.HANDSHAKE_FAILED_AUTH
)


class ConnectionMonitor:
    """Watches one socket's connections.

    Args:
        loop: The loop that runs the callback.
        socket: The socket to watch, before it binds or connects.
        on_cut: Called for each connection that ended: the peer left, sent an oversized frame, or does not speak the
            protocol.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, socket: "zmq.Socket[bytes]", on_cut: Callable[[], None]
    ) -> None:
        self._watched = socket
        self._on_cut = on_cut
        self._events = LoopSocket(loop, socket.get_monitor_socket(CUT), self._event)

    def close(self) -> None:
        """Stop watching; before the watched socket is closed."""
        self._events.close()
        self._watched.disable_monitor()

    def _event(self, frames: Frames) -> None:
        if parse_monitor_message(frames)["event"] & CUT:
            self._on_cut()
