"""Threads of a WSGI application that hang, all of a worker's at once: who waits behind them is answered."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest

from changeover.server import Committed, Server, Strategy
from tests.integration.test_hanging_stories import connection_to, pid_of
from tests.service import Connection, Story, gone, logged, status_when
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
        status = await status_when(server, lambda status: len(status.slots) == 2)
        assert status.counts.restarts == 0
        await logged(server, "owes a response for")


async def test_who_waits_in_a_worker_that_leaves_for_another_reason_is_answered_when_the_requests_before_it_are_ended(
    story: Story,
) -> None:
    async with hanging(story, 1, 600.0) as (server, pid, stuck, waiting):
        (story.folder / "main.py").write_text(APP.replace('"1"', '"2"'))
        assert isinstance(await server.reload(strategy=Strategy.ROLL), Committed)
        assert await answers(stuck, 20) == [503]
        assert await answers(waiting, DRAIN) == [200] * WAITING
        await gone(pid)


COUNTING = """
import pathlib
import time

BUSY = MOST = 0
VERSION = "1"


def app(environ, start_response):
    global BUSY, MOST
    BUSY += 1
    MOST = max(MOST, BUSY)
    environ["wsgi.input"].read()
    path = environ["PATH_INFO"]
    if path.startswith("/busy/"):
        (pathlib.Path(__file__).parent / f"busy-{path[6:]}").touch()
        time.sleep(float(path[6:]))
    start_response("200 OK", [("Content-Type", "text/plain")])
    BUSY -= 1
    return [f"{MOST} in version {VERSION}".encode()]
"""


async def asked_for(server: Server, path: str) -> float:
    """Since when a request is under way, in seconds; 0 before it is."""
    held = [lease for slot in (await server.leases()).slots for lease in slot.leases]
    return max((lease.age for lease in held if lease.path == path), default=0.0)


async def busy(story: Story, seconds: str) -> None:
    """Wait until a thread is busy for so long."""
    await until((story.folder / f"busy-{seconds}").exists, f"a thread that is busy for {seconds} s")


async def test_an_upload_that_takes_long_is_no_thread_that_hangs(story: Story) -> None:
    (story.folder / "main.py").write_text(COUNTING)
    env = {"CHANGEOVER_DEADLINES_HEARTBEAT": "100ms", "CHANGEOVER_DEADLINES_REQUEST": "1.5s"}
    async with story.server(1, "--threads=1", app="main:app", env=env) as server:
        slow, other = await story.connect(server), await story.connect(server)
        await other.get("/")
        await slow.send(b"POST /busy/1 HTTP/1.1\r\nhost: story\r\ntransfer-encoding: chunked\r\n\r\n")
        async with asyncio.timeout(20):
            while await asked_for(server, "/busy/1") < 2.0:
                await slow.send(b"1\r\nx\r\n")
        await slow.send(b"0\r\n\r\n")
        await busy(story, "1")
        await other.ask("/busy/0.5")
        assert (await slow.answer()).body == "1 in version 1"
        assert (await other.answer()).body == "1 in version 1"
        assert "owes a response for" not in server.logs


READING = """
import pathlib

from changeover.workers.serving import wsgi_input

wsgi_input.MOST = 0  # all bodies are read as they come, like those of more than 64 MiB


def app(environ, start_response):
    (pathlib.Path(__file__).parent / "reads").touch()
    size = len(environ["wsgi.input"].read())
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(size).encode()]
"""


async def test_an_upload_behind_one_that_trickles_is_refused_in_time_and_costs_no_worker(story: Story) -> None:
    (story.folder / "main.py").write_text(READING)
    env = {"CHANGEOVER_DEADLINES_HEARTBEAT": "100ms", "CHANGEOVER_DEADLINES_REQUEST": "1s"}
    async with story.server(1, "--threads=1", app="main:app", env=env) as server:
        slow, other = await story.connect(server), await story.connect(server)
        begun = b"POST / HTTP/1.1\r\nhost: story\r\ncontent-length: 100000\r\n\r\n" + b"x" * 70_000
        await slow.send(begun)
        await until(lambda: (story.folder / "reads").exists(), "the first to be read")
        await other.send(begun)
        answered, sent = asyncio.ensure_future(other.answer()), 70_000
        while not answered.done() and sent < 70_050:  # a client that takes its time
            await slow.send(b"x")
            sent += 1
            await asyncio.wait([answered], timeout=0.2)
        assert answered.done()
        refused = await answered
        assert (refused.status, "every thread that may read such a body" in refused.body) == (503, True)
        await slow.send(b"x" * (100_000 - sent))
        assert (await slow.answer()).body == "100000"
        assert "owes a response for" not in server.logs


async def test_who_got_a_thread_shortly_before_the_deadline_has_the_time_of_a_request(story: Story) -> None:
    (story.folder / "main.py").write_text(COUNTING)
    env = {"CHANGEOVER_DRAIN_HTTP": f"{DRAIN}s"}
    async with story.server(1, "--threads=1", app="main:app", env=env) as server:
        first, second = await story.connect(server), await story.connect(server)
        for each in (first, second):
            await each.get("/")
        await first.ask("/busy/2.5")
        await busy(story, "2.5")
        await second.ask("/busy/2")
        (story.folder / "main.py").write_text(COUNTING.replace('"1"', '"2"'))
        assert isinstance(await server.reload(strategy=Strategy.ROLL), Committed)
        assert [(await each.answer()).body for each in (first, second)] == ["1 in version 1"] * 2


async def test_who_waits_behind_a_thread_for_which_a_handler_has_answered_gets_another_one_in_a_worker_that_leaves(
    story: Story,
) -> None:
    (story.folder / "main.py").write_text(APP)
    (story.folder / "changeover.toml").write_text(
        """
[[pipelines]]
name = "hang"
match = { path = "/hang" }
service = "app"
handlers = [{ use = "timeout", after = "500ms" }]

[[pipelines]]
name = "rest"
match = { path = "/" }
service = "app"
"""
    )
    env = {"CHANGEOVER_DRAIN_HTTP": "2s", "CHANGEOVER_DRAIN_TASK": "2s", "CHANGEOVER_DEADLINES_GRACEFUL": "2s"}
    config = f"--config={story.folder}/changeover.toml"
    async with story.server(1, "--threads=1", config, app="main:app", env=env) as server:
        stuck = await story.connect(server)
        waiting = [await story.connect(server) for _ in range(2)]
        pid = await pid_of(stuck)
        assert [await pid_of(each) for each in waiting] == [pid, pid]
        await stuck.ask("/hang")
        assert (await stuck.answer()).status == 504
        for each in waiting:
            await each.ask("/")
        (story.folder / "main.py").write_text(APP.replace('"1"', '"2"'))
        assert isinstance(await server.reload(strategy=Strategy.ROLL), Committed)
        assert await answers(waiting, 10) == [200] * 2
        await gone(pid)
