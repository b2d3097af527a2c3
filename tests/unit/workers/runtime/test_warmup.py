"""What a worker does before the first client comes, and that nothing of it stays."""

import asyncio
import errno
import gc
import os
import socket
from collections.abc import Iterator

import pytest

from changeover.workers.channel.connections import Connections
from changeover.workers.http.connection import HttpConnection
from changeover.workers.runtime import warmup
from changeover.workers.runtime.warmup import CONNECTIONS, REQUESTS, warm_up
from changeover.workers.serving.asgi import Receive, Scope, Send
from tests.waits import until

greet = warmup._greet


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that were asked for."""
    paths: list[str] = []

    async def counting(scope: Scope, receive: Receive, send: Send) -> None:
        paths.append(scope["path"])
        await greet(scope, receive, send)

    monkeypatch.setattr(warmup, "_greet", counting)
    return paths


def opened() -> set[str]:
    """The descriptors that are open, of what can still be reached."""
    gc.collect()
    return set(os.listdir("/proc/self/fd"))


def remnants() -> Iterator[object]:
    """Connections, and what held them, that are alive, by type: lazy objects of others awake when they are asked."""
    gc.collect()
    return (each for each in gc.get_objects() if issubclass(type(each), Connections | HttpConnection))


async def test_every_connection_is_served_before_and_after_it_is_handed_over(
    answered: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    adopted = 0
    adopt = Connections.adopt

    def counting(connections: Connections, *parted: object) -> None:
        nonlocal adopted
        adopted += 1
        assert len(answered) == CONNECTIONS * REQUESTS
        adopt(connections, *parted)  # type: ignore[arg-type]

    monkeypatch.setattr(Connections, "adopt", counting)
    await warm_up()
    assert len(answered) == 2 * CONNECTIONS * REQUESTS
    assert adopted == CONNECTIONS


async def test_nothing_of_it_stays() -> None:
    descriptors, tasks, living = opened(), asyncio.all_tasks(), len(list(remnants()))
    await warm_up()
    await until(lambda: opened() <= descriptors, "its descriptors are free again")
    await until(lambda: len(list(remnants())) == living, "its connections are gone")
    assert asyncio.all_tasks() == tasks


async def test_a_worker_that_has_no_descriptors_says_that_it_is_slower_at_first(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pairs, made = socket.socketpair, 0

    def scarce() -> tuple[socket.socket, socket.socket]:
        nonlocal made
        made += 1
        if made > CONNECTIONS // 2:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return pairs()

    descriptors = opened()
    monkeypatch.setattr(socket, "socketpair", scarce)
    await warm_up()
    assert "slower at first: the worker could not warm up: OSError(24" in caplog.text
    await until(lambda: opened() <= descriptors, "their descriptors are free again")


async def test_what_does_not_answer_is_given_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    told = 0

    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal told
        while (await receive())["type"] != "http.disconnect":
            continue
        told += 1

    monkeypatch.setattr(warmup, "_greet", silent)
    monkeypatch.setattr(warmup, "DEADLINE", 0.05)
    await warm_up()
    assert "could not warm up: TimeoutError" in caplog.text
    await until(lambda: told == CONNECTIONS, "every client is gone")
