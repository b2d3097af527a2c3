"""Accepting in several real processes that share their listening socket."""

import asyncio
import os
import resource
import selectors
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import uvloop

from changeover.workers.runtime.accept import Acceptor, most_connections
from changeover.workers.runtime.counts import Counts, create
from changeover.workers.serving.exchange import Exchange
from tests.waits import until_sync
from tests.wire import FakeDispatcher, connections_of, get

WORKERS = 4


async def work(listener: socket.socket, page: int, slot: int) -> None:
    """One worker: answers with the number of its slot, ends at TERM."""

    async def answer(exchange: Exchange) -> None:
        exchange.start(200, [(b"content-length", b"1")])
        exchange.write(str(slot).encode())
        exchange.end()

    connections = connections_of(FakeDispatcher(answer))
    acceptor = Acceptor({listener.dup(): ""}, connections, Counts(page), slot, most_connections(0))
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    acceptor.start()
    await ended.wait()
    acceptor.empty_queue()
    await connections.stop(5.0)
    acceptor.close()


def fork_worker(listener: socket.socket, page: int, slot: int, nofile: int | None) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        if nofile is not None:
            close_all_but(listener.fileno(), page)
            resource.setrlimit(resource.RLIMIT_NOFILE, (nofile, nofile))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(work(listener, page, slot))
        status = 0
    finally:
        sys.stderr.flush()
        os._exit(status)


def close_all_but(*kept: int) -> None:
    """Be as bare as an exec'd process, whatever the test runner holds open."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in kept:
            try:
                os.close(int(name))
            except OSError:
                continue


@contextmanager
def workers(nofile: int | None = None) -> Iterator[socket.socket]:
    """Several workers on one listening socket."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    page = create()
    children = [fork_worker(listener, page, slot, nofile) for slot in range(WORKERS)]
    counts = Counts(page)
    try:
        until_sync(lambda: len(list(counts.living())) == WORKERS)
        yield listener
    finally:
        for child in children:
            os.kill(child, signal.SIGTERM)
        statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        counts.close()
        os.close(page)
        listener.close()
    assert statuses == [0] * WORKERS


def connect(listener: socket.socket) -> socket.socket:
    client = socket.create_connection(listener.getsockname())
    client.settimeout(30)
    return client


def ask(client: socket.socket) -> int:
    """The slot that answers."""
    client.sendall(get())
    received = b""
    while not received.endswith((b"\r\n\r\n0", b"\r\n\r\n1", b"\r\n\r\n2", b"\r\n\r\n3")):
        piece = client.recv(4096)
        assert piece, "closed instead of answered"
        received += piece
    return int(received[-1:])


@pytest.fixture(autouse=True)
def _descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 1024)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_sequential_keep_alive_connections_spread_evenly_over_the_workers() -> None:
    with workers() as listener:
        clients = []
        shares: Counter[int] = Counter()
        for _ in range(400):
            client = connect(listener)
            shares[ask(client)] += 1
            clients.append(client)
        for client in clients:
            client.close()
    assert len(shares) == WORKERS
    assert max(shares.values()) / min(shares.values()) <= 1.5


def test_a_burst_of_connections_spreads_over_the_workers() -> None:
    with workers() as listener:
        clients = [connect(listener) for _ in range(400)]
        shares = Counter(ask(client) for client in clients)
        for client in clients:
            client.close()
    assert len(shares) == WORKERS
    assert max(shares.values()) / min(shares.values()) <= 1.5


def test_more_connections_than_descriptors_wait_and_none_is_closed() -> None:
    with workers(nofile=40) as listener:
        waiting = [connect(listener) for _ in range(300)]
        for client in waiting:
            client.sendall(get())
        answered = 0
        deadline = time.monotonic() + 30
        while waiting:
            assert time.monotonic() < deadline
            client = next_answered(waiting)
            received = client.recv(4096)
            assert received.startswith(b"HTTP/1.1 200"), "closed instead of answered"
            answered += 1
            waiting.remove(client)
            client.close()
    assert answered == 300


def next_answered(clients: list[socket.socket]) -> socket.socket:
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client, selectors.EVENT_READ)
        ready = selector.select(30)
        assert ready, "nobody is answered"
        found = ready[0][0].fileobj
        assert isinstance(found, socket.socket)
        return found


def test_a_worker_that_is_stopped_delays_the_others_only_for_a_moment() -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    page = create()
    counts = Counts(page)
    counts.store(WORKERS, 0)  # a worker that lives and never comes for its connections
    child = fork_worker(listener, page, 0, None)
    until_sync(lambda: counts.read(0) == 0)
    began = time.monotonic()
    clients = [connect(listener) for _ in range(100)]
    for client in clients:
        ask(client)
    took = time.monotonic() - began
    for client in clients:
        client.close()
    os.kill(child, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    counts.close()
    os.close(page)
    listener.close()
    assert took < 2.0


def test_what_is_queued_at_term_is_answered() -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    page = create()
    counts = Counts(page)
    child = fork_worker(listener, page, 0, None)
    until_sync(lambda: counts.read(0) == 0)
    os.kill(child, signal.SIGSTOP)
    clients = [connect(listener) for _ in range(50)]
    for client in clients:
        client.sendall(get())
    os.kill(child, signal.SIGTERM)
    os.kill(child, signal.SIGCONT)
    for client in clients:
        assert client.recv(4096).startswith(b"HTTP/1.1 200")
        client.close()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    counts.close()
    os.close(page)
    listener.close()
