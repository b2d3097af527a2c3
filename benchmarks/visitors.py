"""Idle connections to every worker that all ask at the same moment: what an idle worker does right after a store."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from benchmarks.load.answer import Answer, AnswerReader
from benchmarks.load.judgement import Identity, Wrong, judge
from benchmarks.load.line import ONE_LINE
from benchmarks.subject import SubjectBroken

REQUEST = b"GET /fast HTTP/1.1\r\nhost: visitor\r\n\r\n"
DEADLINE = 10.0
MOST = 400
"""Connections that are tried until every slot has one."""


class Visitors:
    """Open connections, at least one to each slot.

    Attributes:
        slots: The slot behind each connection.
    """

    def __init__(self, connections: list[socket.socket], slots: list[int]) -> None:
        self._connections = connections
        self.slots = slots

    def ask(self) -> list[Identity]:
        """Send a request on every connection, then read every answer.

        Raises:
            SubjectBroken: A connection ended, or an answer is not right.
        """
        for connection in self._connections:
            connection.sendall(REQUEST)
        return [_identity(connection) for connection in self._connections]


@contextmanager
def visiting(address: tuple[str, int], slots: int, each: int = 2) -> Iterator[Visitors]:
    """Connect until every slot has `each` connections, and keep no more than those."""
    kept: dict[int, list[socket.socket]] = {slot: [] for slot in range(slots)}
    try:
        for _ in range(MOST):
            if all(len(connections) >= each for connections in kept.values()):
                break
            connection = socket.create_connection(address, DEADLINE)
            kept.setdefault(get(connection, "/fast").slot, []).append(connection)
        if not all(kept.values()):
            raise SubjectBroken(f"after {MOST} connections no worker answered in {[s for s in kept if not kept[s]]}")
        chosen = [(slot, connection) for slot, connections in kept.items() for connection in connections[:each]]
        for connections in kept.values():
            for surplus in connections[each:]:
                surplus.close()
        yield Visitors([connection for _, connection in chosen], [slot for slot, _ in chosen])
    finally:
        for connections in kept.values():
            for connection in connections:
                connection.close()


def ask(address: tuple[str, int], path: str) -> Answer:
    """Ask once, on a connection of its own."""
    return burst(address, path, 1)[0]


def burst(address: tuple[str, int], path: str, connections: int) -> list[Answer]:
    """Ask on so many new connections at the same time: one at a time would often go to the same worker."""
    request = f"GET {path} HTTP/1.1\r\nhost: visitor\r\nconnection: close\r\n\r\n".encode()
    with ExitStack() as stack:
        opened = [stack.enter_context(socket.create_connection(address, DEADLINE)) for _ in range(connections)]
        for connection in opened:
            connection.sendall(request)
        return [answer(connection) for connection in opened]


def get(connection: socket.socket, path: str) -> Identity:
    """Ask once."""
    connection.sendall(REQUEST.replace(b"/fast", path.encode()))
    return _identity(connection)


def answer(connection: socket.socket) -> Answer:
    """Read one answer.

    Raises:
        SubjectBroken: The connection ended first, or nothing comes.
    """
    reader = AnswerReader()
    end = time.monotonic() + DEADLINE
    while data := connection.recv(65536):
        whole = reader.feed(data)
        if whole is not None:
            return whole
        if time.monotonic() > end:
            raise SubjectBroken(f"no whole answer within {DEADLINE:g} s")
    raise SubjectBroken("the connection ended inside an answer" if reader.begun else "the connection ended")


def _identity(connection: socket.socket) -> Identity:
    made = judge(answer(connection), ONE_LINE)
    if isinstance(made, Wrong):
        raise SubjectBroken(f"{made.fault.value}: {made.detail}")
    return made
