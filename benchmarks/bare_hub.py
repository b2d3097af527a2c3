"""The bare counterpart of a supervisor: one XPUB, one ROUTER, plain blocking calls."""

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import zmq

from benchmarks.bare_worker import TOPIC
from benchmarks.subject import SubjectBroken
from changeover.workers.protocol import codec

DEADLINE_MS = 30_000
QUEUE = 1000
PAYLOAD = bytes(120)
"""As long as a Commit."""


class Hub:
    """Bare peers, and what it takes to ask them all.

    Attributes:
        address: Where busy peers serve; None when they are idle.
        pids: The peers'.
    """

    def __init__(self, folder: str, peers: int, listener: socket.socket | None, burn: int) -> None:
        self._context = zmq.Context()
        self._snapshots = self._socket(zmq.XPUB, f"ipc://{folder}/snapshots.sock")
        self._reports = self._socket(zmq.ROUTER, f"ipc://{folder}/reports.sock")
        self.address = None if listener is None else ("127.0.0.1", int(listener.getsockname()[1]))
        self._peers = [_start(folder, slot, listener, burn) for slot in range(peers)]
        self.pids = tuple(peer.pid for peer in self._peers)

    def await_peers(self) -> None:
        """Return when every peer is connected and hears broadcasts."""
        for _ in self._peers:
            self._receive(self._reports)
        for _ in self._peers:
            self._receive(self._snapshots)

    def fan(self) -> float:
        """Seconds from a broadcast to the last of all answers."""
        began = time.perf_counter_ns()
        self._snapshots.send_multipart([TOPIC, PAYLOAD])
        for _ in self._peers:
            self._receive(self._reports)
        return (time.perf_counter_ns() - began) / 1e9

    def close(self) -> None:
        """End the peers and leave."""
        for peer in self._peers:
            peer.kill()
            peer.wait()
        self._snapshots.close(linger=0)
        self._reports.close(linger=0)
        self._context.term()

    def _socket(self, kind: int, endpoint: str) -> "zmq.Socket[bytes]":
        made = self._context.socket(kind)
        made.setsockopt(zmq.LINGER, 0)
        made.setsockopt(zmq.MAXMSGSIZE, codec.MAX_FRAME)
        made.setsockopt(zmq.RCVTIMEO, DEADLINE_MS)
        made.setsockopt(zmq.SNDHWM, QUEUE)
        made.setsockopt(zmq.RCVHWM, QUEUE)
        if kind == zmq.XPUB:
            made.setsockopt(zmq.XPUB_VERBOSE, 1)
        made.bind(endpoint)
        return made

    def _receive(self, made: "zmq.Socket[bytes]") -> None:
        try:
            made.recv_multipart()
        except zmq.Again as error:
            raise SubjectBroken(f"a bare peer did not answer within {DEADLINE_MS / 1000:g} s") from error


@contextmanager
def bare(peers: int, *, busy: bool, burn: int = 0) -> Iterator[Hub]:
    """Run bare peers.

    Args:
        peers: How many.
        busy: Whether they serve HTTP.
        burn: Nanoseconds of processor time that a busy one burns per request.
    """
    with tempfile.TemporaryDirectory(prefix="bare-") as folder, socket.socket() as listener:
        if busy:
            listener.bind(("127.0.0.1", 0))
            listener.listen(2048)
        hub = Hub(folder, peers, listener if busy else None, burn)
        try:
            hub.await_peers()
            yield hub
        finally:
            hub.close()


def _start(folder: str, slot: int, listener: socket.socket | None, burn: int) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "benchmarks.bare_worker", "--folder", folder, "--slot", str(slot)]
    if listener is None:
        return subprocess.Popen(command)
    given = listener.fileno()
    return subprocess.Popen([*command, "--listener", str(given), "--burn", str(burn)], pass_fds=(given,))
