"""The worker's end: hears snapshots on SUB, reports on DEALER."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import zmq

from changeover.workers.link import endpoints
from changeover.workers.link.loop_socket import Frames, LoopSocket
from changeover.workers.protocol import codec
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.messages import SupervisorMessage, WorkerMessage

QUEUE = 64
"""Reports that may wait while the supervisor is away; its state is told anew by Hello, never queued."""


LAST_WORDS = 200
"""Milliseconds that the last report, of what was counted, may take to leave."""


class WorkerLink:
    """Connects one worker to its supervisor, whether that is there or not.

    Args:
        loop: The worker's loop.
        runtime: The runtime directory.
        worker: Whose end this is.
        on_message: Called with each message of the supervisor.
        on_up: Called once, when reports can be sent: a report before that is dropped.

    Attributes:
        malformed: Frames that were no messages: counted, and otherwise without effect.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        runtime: Path,
        worker: WorkerId,
        on_message: Callable[[SupervisorMessage], None],
        on_up: Callable[[], None],
    ) -> None:
        self._worker = worker
        self._on_message = on_message
        self.malformed = 0
        self._context = zmq.Context()
        reports, snapshots = self._dealer(), self._subscriber()
        self._reports = LoopSocket(loop, reports, self._unexpected, on_up)
        self._snapshots = LoopSocket(loop, snapshots, self._heard)
        reports.connect(endpoints.reports(runtime))
        snapshots.connect(endpoints.snapshots(runtime))

    @property
    def dropped(self) -> int:
        """Reports that were dropped because the queue was full."""
        return self._reports.dropped

    def send(self, message: WorkerMessage) -> bool:
        """Report; False when the queue is full."""
        return self._reports.send([codec.encode(message)])

    def close(self) -> None:
        """Leave both sockets; nothing lingers but the last report, for a moment."""
        self._reports.close(LAST_WORDS)
        self._snapshots.close()
        self._context.term()

    def _dealer(self) -> "zmq.Socket[bytes]":
        socket = self._context.socket(zmq.DEALER)
        socket.setsockopt(zmq.ROUTING_ID, self._worker.routing())
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.IMMEDIATE, 1)
        socket.setsockopt(zmq.SNDHWM, QUEUE)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
        socket.setsockopt(zmq.MAXMSGSIZE, codec.MAX_FRAME)
        return socket

    def _subscriber(self) -> "zmq.Socket[bytes]":
        """Subscribe to broadcasts first and to the own topic last: the supervisor takes the latter for 'listening'."""
        socket = self._context.socket(zmq.SUB)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
        socket.setsockopt(zmq.MAXMSGSIZE, codec.MAX_FRAME)
        socket.setsockopt(zmq.SUBSCRIBE, endpoints.EVERYONE)
        socket.setsockopt(zmq.SUBSCRIBE, endpoints.own_topic(self._worker))
        return socket

    def _heard(self, frames: Frames) -> None:
        if len(frames) != 2 or frames[0] not in (endpoints.EVERYONE, endpoints.own_topic(self._worker)):
            self.malformed += 1
            return
        try:
            message = codec.decode_from_supervisor(frames[1])
        except codec.MalformedFrame:
            self.malformed += 1
            return
        self._on_message(message)

    def _unexpected(self, frames: Frames) -> None:
        self.malformed += 1
