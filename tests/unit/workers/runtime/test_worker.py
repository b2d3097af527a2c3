"""What a worker does before connections of others come to it."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from changeover.workers.channel.luggage import Luggage
from changeover.workers.handover.inbound import State
from changeover.workers.handover.messages import HANDOVER_VERSION, Introduction, encode
from changeover.workers.link import endpoints
from changeover.workers.protocol.belongings import Belongings
from changeover.workers.protocol.epoch import Stamp
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.runtime import counts, warmup
from changeover.workers.runtime.settings import Birth, WorkerSettings
from changeover.workers.runtime.warmup import CONNECTIONS, REQUESTS
from changeover.workers.runtime.worker import Worker
from changeover.workers.serving import attribution
from changeover.workers.serving.asgi import Receive, Scope, Send
from tests.waits import until

ALL = 2 * CONNECTIONS * REQUESTS


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[Worker]:
    """One that nobody talks to."""
    page, cell = counts.create(), os.memfd_create("cell")
    os.truncate(cell, counts.PAGE)
    settings = WorkerSettings("shop", str(tmp_path), str(tmp_path), 1, Belongings(cell=cell, counts=page))
    made = Worker(asyncio.get_running_loop(), Birth(WorkerId(1, 0, 1), "nonce", "journal", 1, settings), lambda _: None)
    made._handover.open()
    yield made
    attribution.uninstall()
    made._acceptor.close()
    made._handover.close()
    made._link.close()
    for fd in (page, cell, made._handover._pidfd):
        os.close(fd)


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that were asked for as a worker warmed up."""
    greet, paths = warmup._greet, list[str]()

    async def counting(scope: Scope, receive: Receive, send: Send) -> None:
        paths.append(scope["path"])
        await greet(scope, receive, send)

    monkeypatch.setattr(warmup, "_greet", counting)
    return paths


@pytest.fixture
def introductions(worker: Worker, tmp_path: Path) -> Iterator[list[socket.socket]]:
    """Two workers that are going to hand over, and have said so."""
    senders = [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(2)]
    for number, sender in enumerate(senders):
        sender.connect(os.fspath(endpoints.handover(tmp_path, worker._birth.worker)))
        sender.send(encode(Introduction(HANDOVER_VERSION, WorkerId(1, number, 9 + number), Stamp("journal", 1, 1))))
    yield senders
    for sender in senders:
        sender.close()


async def introduced(worker: Worker) -> None:
    """Every sender was welcomed."""
    links = worker._handover._reception.receiver._links
    await until(lambda: len(links) == 2 and all(link.state is State.KNOWN for link in links.values()), "introductions")


async def test_it_warms_up_once_before_connections_are_handed_over_and_counts_nothing_of_that(
    worker: Worker, answered: list[str], introductions: list[socket.socket]
) -> None:
    await introduced(worker)
    warming = worker._handover._warming
    assert warming is not None
    await warming
    assert len(answered) == ALL
    assert (len(worker._connections), worker._observatory.counters.requests) == (0, 0)
    assert worker._workshop.leases() == []


async def test_one_that_nobody_hands_over_to_does_not(worker: Worker, answered: list[str]) -> None:
    worker.expect()
    worker.accept()
    assert worker._handover._warming is None
    assert answered == []


async def test_one_that_has_connections_is_warm(
    worker: Worker, answered: list[str], request: pytest.FixtureRequest
) -> None:
    client, served = socket.socketpair()
    served.setblocking(False)
    worker._connections.adopt(served, Luggage(b"", 0, "NEW", 0.0, client_shut=False))
    request.getfixturevalue("introductions")
    await introduced(worker)
    assert worker._handover._warming is None
    client.close()
    await worker._connections.stop(0.0)
