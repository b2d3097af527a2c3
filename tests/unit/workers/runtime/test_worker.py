"""What a worker does before connections of others come to it."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from changeover.workers.protocol.belongings import Belongings
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


async def test_it_warms_up_once_before_connections_are_handed_over_and_counts_nothing_of_that(
    worker: Worker, answered: list[str]
) -> None:
    worker.expect(relieves=True)
    worker.expect(relieves=True)
    await until(lambda: len(answered) == ALL, "it to be warm")
    worker.expect(relieves=True)
    warming = worker._handover._warming
    assert warming is not None
    await warming
    assert len(answered) == ALL
    assert (len(worker._connections), worker._observatory.counters.requests) == (0, 0)
    assert worker._workshop.leases() == []


async def test_one_that_nobody_hands_over_to_does_not(worker: Worker) -> None:
    worker.expect(relieves=False)
    worker.accept()
    assert worker._handover._warming is None


async def test_one_that_was_told_to_leave_does_not(worker: Worker) -> None:
    worker._acceptor.close()
    worker.expect(relieves=True)
    assert worker._handover._warming is None
