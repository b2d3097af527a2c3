"""The supervisor's end: broadcasts on XPUB, hears reports on ROUTER."""

import asyncio
import enum
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import zmq

from changeover.supervisor.link.monitor import ConnectionMonitor
from changeover.workers.link import endpoints
from changeover.workers.link.loop_socket import Frames, LoopSocket
from changeover.workers.protocol import codec
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.messages import SupervisorMessage, WorkerMessage

QUEUE = 1000
"""Broadcasts that may wait for one slow worker; it notices the gap by `seq` and asks again."""


class Discarded(enum.Enum):
    """Why a frame had no effect."""

    MALFORMED = "malformed"
    FOREIGN_SENDER = "sent in another worker's name"
    NO_TOPIC = "subscription to no worker's topic"
    CUT = "connection cut"
    """The peer left, sent a frame above the size limit, or does not speak the protocol."""


class WorkersLink:
    """Speaks to all workers.

    Args:
        loop: The supervisor's loop.
        runtime: The runtime directory; its lock is held, because libzmq binds over a living path.
        on_subscribed: Called when a worker is listening to its own topic.
        on_message: Called with each message of a worker, its sender checked.

    Attributes:
        discarded: Frames that had no effect, by reason.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        runtime: Path,
        on_subscribed: Callable[[WorkerId], None],
        on_message: Callable[[WorkerMessage], None],
    ) -> None:
        self._on_subscribed = on_subscribed
        self._on_message = on_message
        self.discarded: Counter[Discarded] = Counter()
        self._context = zmq.Context()
        snapshots, reports = self._publisher(), self._router()
        self._monitors = [ConnectionMonitor(loop, socket, self._cut) for socket in (snapshots, reports)]
        self._snapshots = LoopSocket(loop, snapshots, self._subscription)
        self._reports = LoopSocket(loop, reports, self._report)
        self._places = ((snapshots, endpoints.snapshots(runtime)), (reports, endpoints.reports(runtime)))

    def open(self) -> None:
        """Let workers connect; those of a former supervisor do at once."""
        for socket, place in self._places:
            socket.bind(place)

    @property
    def dropped(self) -> int:
        """Messages that were dropped because a worker's queue was full."""
        return self._snapshots.dropped

    def broadcast(self, message: SupervisorMessage) -> None:
        """Tell every worker that listens."""
        self._snapshots.send([endpoints.EVERYONE, codec.encode(message)])

    def tell(self, worker: WorkerId, message: SupervisorMessage) -> None:
        """Tell one worker, on its own topic; lost when it does not listen."""
        self._snapshots.send([endpoints.own_topic(worker), codec.encode(message)])

    def close(self) -> None:
        """Leave both sockets; nothing lingers."""
        for monitor in self._monitors:
            monitor.close()
        self._snapshots.close()
        self._reports.close()
        self._context.term()

    def _publisher(self) -> "zmq.Socket[bytes]":
        socket = self._context.socket(zmq.XPUB)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.XPUB_VERBOSE, 1)
        socket.setsockopt(zmq.SNDHWM, QUEUE)
        socket.setsockopt(zmq.MAXMSGSIZE, codec.MAX_FRAME)
        return socket

    def _router(self) -> "zmq.Socket[bytes]":
        socket = self._context.socket(zmq.ROUTER)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RCVHWM, QUEUE)
        socket.setsockopt(zmq.MAXMSGSIZE, codec.MAX_FRAME)
        return socket

    def _cut(self) -> None:
        self.discarded[Discarded.CUT] += 1

    def _subscription(self, frames: Frames) -> None:
        frame = frames[0]
        if len(frames) != 1 or frame[:1] not in (b"\0", b"\1"):
            self.discarded[Discarded.MALFORMED] += 1
            return
        if frame[:1] == b"\0" or frame[1:] == endpoints.EVERYONE:
            return
        worker = endpoints.worker_of(frame[1:])
        if worker is None:
            self.discarded[Discarded.NO_TOPIC] += 1
            return
        self._on_subscribed(worker)

    def _report(self, frames: Frames) -> None:
        if len(frames) != 2:
            self.discarded[Discarded.MALFORMED] += 1
            return
        try:
            message = codec.decode_from_worker(frames[1])
        except codec.MalformedFrame:
            self.discarded[Discarded.MALFORMED] += 1
            return
        if message.worker.routing() != frames[0]:
            self.discarded[Discarded.FOREIGN_SENDER] += 1
            return
        self._on_message(message)
