"""A bare peer for the commit: hears a broadcast, answers it, and does nothing that supervision needs.

Idle, it is a blocking loop over two sockets. Busy, it serves HTTP on a shared listener in one loop with them, and
burns as much processor time per request as it is told, so that it is as busy as the worker it is compared with.
"""

import argparse
import asyncio
import socket
import sys
import time

import uvloop
import zmq

from changeover.workers.protocol import codec

TOPIC = b"*;"
QUEUE = 64
ANSWER = (
    "HTTP/1.1 200 OK\r\nx-changeover-epoch: 1\r\ncontent-length: {length}\r\n{closing}\r\n"
    "epoch=1 slot={slot} started={started} marker=bare\n"
)


class Peer:
    """The two sockets, set up as a worker sets up its own.

    Args:
        folder: Where the hub's sockets are.
        slot: Names this peer.
    """

    def __init__(self, folder: str, slot: int) -> None:
        self._context = zmq.Context()
        self.reports = self._context.socket(zmq.DEALER)
        self.reports.setsockopt(zmq.ROUTING_ID, b"%d" % slot)
        self.reports.setsockopt(zmq.IMMEDIATE, 1)
        self.reports.setsockopt(zmq.SNDHWM, QUEUE)
        self.reports.connect(f"ipc://{folder}/reports.sock")
        self.snapshots = self._context.socket(zmq.SUB)
        self.snapshots.setsockopt(zmq.SUBSCRIBE, TOPIC)
        self.snapshots.connect(f"ipc://{folder}/snapshots.sock")
        for each in (self.reports, self.snapshots):
            each.setsockopt(zmq.LINGER, 0)
            each.setsockopt(zmq.MAXMSGSIZE, codec.MAX_FRAME)
        self.reports.send(b"hello")

    def answer_all(self) -> None:
        """Answer every broadcast, for ever."""
        while True:
            self.reports.send(self.snapshots.recv_multipart()[1])

    def answer_waiting(self) -> None:
        """Answer the broadcasts that are there: the descriptor tells of the first only."""
        while int(self.snapshots.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            self.reports.send(self.snapshots.recv_multipart()[1])


class Serving(asyncio.Protocol):
    """Answers every head with one line, after burning processor time.

    Args:
        slot: Named in the answer.
        burn: Nanoseconds per request.
    """

    def __init__(self, slot: int, burn: int) -> None:
        self._slot = slot
        self._burn = burn
        self._head = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Keep the transport."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer once a head is whole."""
        self._head += data
        while b"\r\n\r\n" in self._head:
            head, _, self._head = self._head.partition(b"\r\n\r\n")
            closing = b"connection: close" in head
            self._transport.write(self._answer(closing))
            if closing:
                self._transport.close()

    def _answer(self, closing: bool) -> bytes:
        started, end = time.monotonic_ns(), time.thread_time_ns() + self._burn
        while time.thread_time_ns() < end:
            pass
        text = ANSWER.format(length=0, closing="connection: close\r\n" * closing, slot=self._slot, started=started)
        length = len(text.partition("\r\n\r\n")[2])
        return text.replace("content-length: 0", f"content-length: {length}").encode()


async def serve(peer: Peer, listener: socket.socket, slot: int, burn: int) -> None:
    """Serve HTTP and answer broadcasts in one loop."""
    loop = asyncio.get_running_loop()
    loop.add_reader(peer.snapshots.fileno(), peer.answer_waiting)
    server = await loop.create_server(lambda: Serving(slot, burn), sock=listener)
    peer.answer_waiting()
    async with server:
        await server.serve_forever()


def main(arguments: list[str]) -> None:
    """Run until killed."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.bare_worker", description=__doc__)
    options.add_argument("--folder", required=True)
    options.add_argument("--slot", type=int, required=True)
    options.add_argument("--listener", type=int, default=None, help="descriptor; without it the peer is idle")
    options.add_argument("--burn", type=int, default=0, help="nanoseconds of processor time per request")
    given = options.parse_args(arguments)
    peer = Peer(given.folder, given.slot)
    if given.listener is None:
        peer.answer_all()
    else:
        uvloop.run(serve(peer, socket.socket(fileno=given.listener), given.slot, given.burn))


if __name__ == "__main__":
    main(sys.argv[1:])
