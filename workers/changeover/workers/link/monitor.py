"""Watches a socket's connections come and go: an oversized frame shows in no other way than a cut."""

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
UP = zmq.Event.HANDSHAKE_SUCCEEDED


def _nobody() -> None:
    """Nobody wants to know."""


class ConnectionMonitor:
    """Watches one socket's connections.

    Args:
        loop: The loop that runs the callbacks.
        socket: The socket to watch, before it binds or connects.
        on_cut: Called for each connection that ended.
        on_up: Called for each connection that can be used from now on.

    Attributes:
        cuts: Connections that ended: the peer left, sent an oversized frame, or does not speak the protocol.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        socket: "zmq.Socket[bytes]",
        *,
        on_cut: Callable[[], None] = _nobody,
        on_up: Callable[[], None] = _nobody,
    ) -> None:
        self._watched = socket
        self._on_cut = on_cut
        self._on_up = on_up
        self.cuts = 0
        self._events = LoopSocket(loop, socket.get_monitor_socket(CUT | UP), self._event)

    def close(self) -> None:
        """Stop watching; before the watched socket is closed."""
        self._events.close()
        self._watched.disable_monitor()

    def _event(self, frames: Frames) -> None:
        event = parse_monitor_message(frames)["event"]
        if event & CUT:
            self.cuts += 1
            self._on_cut()
        elif event & UP:
            self._on_up()
