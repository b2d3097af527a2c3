"""Threads of a WSGI application that hang, all of a worker's at once: who waits behind them is answered."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest

from changeover.server import Committed, Server, Strategy
from tests.integration.test_hanging_stories import connection_to, pid_of
from tests.service import Connection, Story, gone
from tests.waits import until

APP = """
import os
import pathlib
import threading

VERSION = "1"


def app(environ, start_response):
    if environ["PATH_INFO"] == "/hang":
        (pathlib.Path(__file__).parent / f"hangs-{threading.get_ident()}").touch()
        threading.Event().wait()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""
TIMEOUT = 2.0
LATE = 2.0
"""Seconds in which a heartbeat says that a thread hangs, on a machine that does other things, too."""
DRAIN = 3.0
WAITING = 8


class Hung(NamedTuple):
    """A server one of whose workers has all of its threads hang.

    Attributes:
        server: The server.
        pid: The worker's.
        stuck: Connections whose requests hang.
        waiting: Connections whose requests came behind these.
    """

    server: Server
    pid: int
    stuck: list[Connection]
    waiting: list[Connection]


@asynccontextmanager
async def hanging(story: Story, threads: int, timeout: float) -> AsyncIterator[Hung]:
    (story.folder / "main.py").write_text(APP)
    env = {
        "CHANGEOVER_DEADLINES_HEARTBEAT": "200ms",
        "CHANGEOVER_DEADLINES_REQUEST": f"{timeout}s",
        "CHANGEOVER_DRAIN_HTTP": f"{DRAIN}s",
        "CHANGEOVER_DEADLINES_GRACEFUL": "2s",
    }
    async with story.server(2, f"--threads={threads}", app="main:app", env=env) as server:
        first = await story.connect(server)
        pid = await pid_of(first)
        stuck = [await connection_to(story, server, pid) for _ in range(threads)]
        waiting = [await connection_to(story, server, pid) for _ in range(WAITING)]
        for each in stuck:
            await each.ask("/hang")
        await until(lambda: len(list(story.folder.glob("hangs-*"))) == threads, server.logs)
        for each in waiting:
            await each.ask("/")
        yield Hung(server, pid, stuck, waiting)


async def answers(connections: list[Connection], seconds: float) -> list[int]:
    """What all of them are answered, within so many seconds."""
    async with asyncio.timeout(seconds):
        return [(await each.answer()).status for each in connections]


@pytest.mark.parametrize("threads", [1, 4])
async def test_who_waits_behind_threads_that_hang_is_answered_as_soon_as_they_are_known_to(
    story: Story, threads: int
) -> None:
    async with hanging(story, threads, TIMEOUT) as (server, pid, stuck, waiting):
        assert await answers(waiting, TIMEOUT + LATE) == [200] * WAITING
        assert await answers(stuck, 20) == [503] * threads
        await gone(pid)
        status = await server.status()
        assert (len(status.slots), status.counts.restarts) == (2, 0)
        assert "owes a response for" in server.logs


async def test_who_waits_in_a_worker_that_leaves_for_another_reason_is_answered_when_the_requests_before_it_are_ended(
    story: Story,
) -> None:
    async with hanging(story, 1, 600.0) as (server, pid, stuck, waiting):
        (story.folder / "main.py").write_text(APP.replace('"1"', '"2"'))
        assert isinstance(await server.reload(strategy=Strategy.ROLL), Committed)
        assert await answers(stuck, 20) == [503]
        assert await answers(waiting, DRAIN) == [200] * WAITING
        await gone(pid)
