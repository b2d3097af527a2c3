"""Who accepts, and what happens when accepting fails."""

import asyncio
import errno
import os
import resource
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from changeover.workers.http.connection import HttpConnection
from changeover.workers.runtime.accept import (
    INDULGENCE,
    PATIENCE,
    PAUSES,
    UNSENT,
    Acceptor,
    Patience,
    State,
    may_accept,
    most_connections,
)
from changeover.workers.runtime.counts import Counts, create
from tests.waits import until
from tests.wire import FakeDispatcher, connections_of, echo, get


@pytest.mark.parametrize(
    ("own", "living", "allowed"),
    [
        (0, [0], True),
        (1000, [1000], True),
        (0, [0, 0], True),
        (1, [1, 0], True),
        (2, [2, 0], False),
        (2, [2, 2], True),
        (100, [100, 100, 100, 100], True),
        (107, [107, 93, 100, 100], False),
        (0, [0, 10, 10, 10], True),
    ],
)
def test_a_worker_accepts_up_to_its_fair_share_and_some_slack(own: int, living: list[int], allowed: bool) -> None:
    assert may_accept(own, living) is allowed


def test_a_connection_is_left_to_a_peer_but_not_for_long() -> None:
    now = [0.0]
    patience = Patience(lambda: now[0])
    assert patience.leaves(5, [5, 0])
    now[0] += PATIENCE / 2
    assert patience.leaves(5, [5, 0])
    now[0] += PATIENCE
    assert not patience.leaves(5, [5, 0])
    now[0] += INDULGENCE / 2
    assert not patience.leaves(6, [6, 0])
    now[0] += INDULGENCE
    assert patience.leaves(6, [6, 0])


def test_a_peer_that_comes_for_its_connections_is_waited_for() -> None:
    now = [0.0]
    patience = Patience(lambda: now[0])
    for fewest in range(10):
        assert patience.leaves(50, [50, fewest])
        now[0] += PATIENCE


def test_a_new_wait_starts_anew() -> None:
    now = [0.0]
    patience = Patience(lambda: now[0])
    assert patience.leaves(5, [5, 0])
    patience.rest()
    now[0] += 10 * PATIENCE
    assert patience.leaves(5, [5, 0])


def test_the_number_of_connections_follows_from_the_descriptors() -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = most_connections(0)
    assert 0 < free < soft
    assert most_connections(10) == 10
    assert most_connections(soft * 2) == free
    assert most_connections(0, peers=12) == free - 24


@dataclass
class Worker:
    """An acceptor on a loopback port."""

    most: int = 1000
    slot: int = 0
    counts: Counts = field(init=False)
    listener: socket.socket = field(init=False)

    def __post_init__(self) -> None:
        page = create()
        self.counts = Counts(page)
        os.close(page)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.connections = connections_of(FakeDispatcher(echo))
        self.acceptor = Acceptor({self.listener.dup(): ""}, self.connections, self.counts, self.slot, self.most)
        self.clients: list[socket.socket] = []

    def connect(self) -> socket.socket:
        """A client that has asked something."""
        client = socket.create_connection(self.listener.getsockname())
        client.sendall(get())
        client.setblocking(False)
        self.clients.append(client)
        return client

    async def close(self) -> None:
        self.acceptor.close()
        self.listener.close()
        for client in self.clients:
            client.close()
        for connection in self.connections:
            connection.abort()
        await until(lambda: not len(self.connections))
        self.counts.close()


@pytest.fixture
async def worker() -> AsyncIterator[Worker]:
    worker = Worker()
    yield worker
    await worker.close()


async def answer(client: socket.socket) -> bytes:
    return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 4096), 5)


async def test_an_accepted_connection_is_served_counted_and_without_delay(worker: Worker) -> None:
    worker.acceptor.start()
    assert worker.counts.read(0) == 0
    client = worker.connect()
    assert (await answer(client)).startswith(b"HTTP/1.1 200")
    assert worker.counts.read(0) == 1
    (connection,) = worker.connections
    assert isinstance(connection, HttpConnection)
    own = connection._transport.get_extra_info("socket")
    assert own.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    client.close()
    await until(lambda: worker.counts.read(0) == 0)


async def test_a_full_worker_leaves_connections_queued_until_one_ends(worker: Worker) -> None:
    worker.acceptor._most = 2
    worker.acceptor.start()
    first, second = worker.connect(), worker.connect()
    await answer(first)
    await answer(second)
    third = worker.connect()
    await until(lambda: worker.acceptor.state is State.FULL)
    assert len(worker.connections) == 2
    first.close()
    assert (await answer(third)).startswith(b"HTTP/1.1 200")


async def test_there_is_room_for_more_only_while_it_accepts(worker: Worker) -> None:
    assert worker.acceptor.room.expected == 0
    worker.acceptor._most = 2
    worker.acceptor.start()
    assert worker.acceptor.room.expected == 2
    client = worker.connect()
    await answer(client)
    assert worker.acceptor.room.expected == 1
    await answer(worker.connect())
    worker.connect()
    await until(lambda: worker.acceptor.state is State.FULL)
    assert worker.acceptor.room == (0, 0)
    worker.acceptor.close()
    client.close()
    await until(lambda: len(worker.connections) < 2)
    assert worker.acceptor.room == (0, 1)


async def test_a_worker_above_its_share_leaves_a_connection_to_its_peer(worker: Worker) -> None:
    worker.counts.store(1, 0)
    worker.acceptor.start()
    await answer(worker.connect())
    await answer(worker.connect())
    worker.connect()
    await until(lambda: worker.acceptor.state is State.YIELDING)
    peer, _ = worker.listener.accept()
    await until(lambda: worker.acceptor.state is State.OPEN)
    assert worker.acceptor.accepted == 2
    peer.close()


async def test_a_stuck_peer_delays_an_accept_only_for_a_moment(worker: Worker) -> None:
    worker.counts.store(1, 0)
    worker.acceptor.start()
    for _ in range(10):
        assert await answer(worker.connect())


async def test_a_dead_peer_is_not_waited_for(worker: Worker) -> None:
    worker.counts.store(1, 0)
    worker.counts.vacate(1)
    worker.acceptor.start()
    for _ in range(10):
        await answer(worker.connect())
        assert worker.acceptor.state is State.OPEN


class Failing:
    """A listening socket whose next accepts fail."""

    def __init__(self, listener: socket.socket, *errors: int) -> None:
        self._listener = listener
        self._errors = list(errors)

    def accept(self) -> tuple[socket.socket, object]:
        if self._errors:
            raise OSError(self._errors.pop(0), "on purpose")
        return self._listener.accept()

    def __getattr__(self, name: str) -> object:
        return getattr(self._listener, name)


def fail_with(worker: Worker, *errors: int) -> None:
    (listener,) = worker.acceptor._listeners
    worker.acceptor._listeners = {Failing(listener, *errors): ""}  # type: ignore[dict-item]


async def test_the_kernel_takes_little_for_a_client_that_reads_nothing(worker: Worker) -> None:
    worker.acceptor.start()
    await answer(worker.connect())
    (connection,) = worker.connections
    assert isinstance(connection, HttpConnection)
    accepted = connection._transport.get_extra_info("socket")
    assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == UNSENT


async def test_an_error_that_nobody_knows_is_told_and_accepting_goes_on(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    fail_with(worker, errno.EBADMSG)
    worker.acceptor.start()
    assert (await answer(worker.connect())).startswith(b"HTTP/1.1 200")
    assert "accept failed" in caplog.text


@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
async def test_without_descriptors_accepting_pauses_and_goes_on(
    worker: Worker, error: int, caplog: pytest.LogCaptureFixture
) -> None:
    fail_with(worker, error, error)
    worker.acceptor.start()
    client = worker.connect()
    await until(lambda: worker.acceptor.state is State.STARVED)
    assert (await answer(client)).startswith(b"HTTP/1.1 200")
    assert caplog.records == []


@pytest.mark.parametrize("error", [errno.ECONNABORTED, errno.EPROTO])
async def test_a_client_that_left_while_queued_is_nothing_special_and_the_next_is_not_kept_waiting(
    worker: Worker, error: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PAUSES, State.STARVED, 60.0)
    fail_with(worker, error)
    worker.acceptor.start()
    assert (await answer(worker.connect())).startswith(b"HTTP/1.1 200")
    assert worker.acceptor.state is State.OPEN
    assert caplog.records == []


async def test_the_queue_is_emptied_whatever_the_shares_are(worker: Worker) -> None:
    worker.counts.store(1, 0)
    clients = [worker.connect() for _ in range(40)]
    worker.acceptor.start()
    assert worker.acceptor.empty_queue() == 40
    assert worker.acceptor.state is State.CLOSED
    assert worker.counts.read(0) is None
    for client in clients:
        assert (await answer(client)).startswith(b"HTTP/1.1 200")


async def test_a_worker_that_never_accepted_leaves_the_queue_to_others(worker: Worker) -> None:
    worker.connect()
    assert worker.acceptor.empty_queue() == 0
    left, _ = worker.listener.accept()
    left.close()


async def test_an_emptying_worker_without_descriptors_takes_the_rest_as_soon_as_it_can(worker: Worker) -> None:
    clients = [worker.connect() for _ in range(3)]
    fail_with(worker, errno.EMFILE)
    worker.acceptor.start()
    assert worker.acceptor.empty_queue() == 0
    assert worker.acceptor.state is State.EMPTYING
    for client in clients:
        assert (await answer(client)).startswith(b"HTTP/1.1 200")
    await until(lambda: worker.acceptor.state is State.CLOSED)


async def test_a_unix_socket_is_listened_on_like_any_other(tmp_path: Path, worker: Worker) -> None:
    path = str(tmp_path / "s")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    acceptor = Acceptor({listener: path}, worker.connections, worker.counts, 1, 10)
    acceptor.start()
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(get())
    assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).startswith(b"HTTP/1.1 200")
    (connection,) = worker.connections
    assert (connection.client, connection.server) == (None, (path, None))
    writer.close()
    await writer.wait_closed()
    acceptor.close()


async def test_a_socket_that_listens_no_more_is_let_go_of_and_the_others_are_served_on() -> None:
    worker = Worker()
    with socket.create_server(("127.0.0.1", 0), backlog=64) as removed:
        own = removed.dup()
        listeners = [own, worker.listener.dup()]
        worker.acceptor.close()
        worker.acceptor = Acceptor(dict.fromkeys(listeners, ""), worker.connections, worker.counts, 0, 100)
        worker.acceptor.start()
        removed.shutdown(socket.SHUT_RD)
        await until(lambda: own.fileno() == -1, "the removed socket to be closed")
        worker.connect()
        await until(lambda: worker.acceptor.accepted == 1, "the other one to be accepted on")
        assert worker.acceptor.state is State.OPEN
    await worker.close()


async def test_what_was_closed_is_not_emptied_later(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    worker.acceptor.start()
    worker.acceptor.close()
    assert worker.acceptor.empty_queue() == 0
    assert worker.acceptor.state is State.CLOSED
    assert not caplog.records
