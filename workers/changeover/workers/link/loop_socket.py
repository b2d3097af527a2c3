"""A ZeroMQ socket whose frames arrive as callbacks of an asyncio loop.

libzmq's descriptor is edge-triggered and speaks for both directions: after every receive and
every send the socket's own events must be looked at again, or a message waits for the next one.
Callbacks instead of awaited receives save a task and two futures per message.
"""

import asyncio
from collections.abc import Callable

import zmq

Frames = list[bytes]
BATCH = 64
"""Messages taken in one turn of the loop, so that a flood never starves requests."""


class LoopSocket:
    """Drains `socket` into `on_frames`, and sends without ever blocking.

    Args:
        loop: The loop that runs the callbacks.
        socket: A socket made for this loop's thread; owned from here on.
        on_frames: Called with the frames of each message, in order.
        on_up: Called once, when there is a peer that can be sent to.

    Attributes:
        dropped: Messages that could not be sent because a queue was full.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        socket: "zmq.Socket[bytes]",
        on_frames: Callable[[Frames], None],
        on_up: Callable[[], None] | None = None,
    ) -> None:
        self._loop = loop
        self._socket = socket
        self._on_frames = on_frames
        self._on_up = on_up
        self._again: asyncio.Handle | None = None
        self.dropped = 0
        loop.add_reader(socket.fileno(), self._drain)
        self._look_again()

    def send(self, frames: Frames) -> bool:
        """Queue a message; False when a queue is full and it was dropped."""
        try:
            self._socket.send_multipart(frames, zmq.NOBLOCK, copy=True)
        except zmq.Again:
            self.dropped += 1
            return False
        finally:
            self._look_again()
        return True

    def close(self, linger: int = 0) -> None:
        """Stop and close; what is still queued then is dropped after `linger` milliseconds."""
        if self._socket.closed:
            return
        self._loop.remove_reader(self._socket.fileno())
        if self._again is not None:
            self._again.cancel()
        self._socket.close(linger=linger)

    def _look_again(self) -> None:
        if self._again is None and self._readable():
            self._again = self._loop.call_soon(self._drain)

    def _drain(self) -> None:
        if self._again is not None:
            self._again.cancel()
            self._again = None
        for _ in range(BATCH):
            if self._socket.closed or not self._readable():
                return
            self._on_frames(self._socket.recv_multipart(zmq.NOBLOCK))
        if not self._socket.closed:
            self._look_again()

    def _readable(self) -> bool:
        events = int(self._socket.getsockopt(zmq.EVENTS))
        if self._on_up is not None and events & zmq.POLLOUT:
            self._loop.call_soon(self._on_up)
            self._on_up = None
        return bool(events & zmq.POLLIN)
