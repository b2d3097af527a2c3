"""Workers that leak, grow old or are too many leave, and their connections stay."""

import asyncio
import signal
import time

import psutil
import pytest

from changeover.server import Server, ServerFailed, StatusView
from changeover.supervisor.api.bodies import ScaleBody
from changeover.supervisor.api.client import SOCKET_NAME, Client
from changeover.supervisor.control import SlotState
from tests.integration.test_adoption_stories import ORPHAN, alive, zygote_of
from tests.service import Connection, Story, gone, kill, logged, status_when
from tests.waits import until

APP = """
import os

KEPT = []


async def app(scope, receive, send):
    if scope["path"] == "/leak":
        KEPT.append(b"x" * (200 << 20))
    body = str(os.getpid()).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})
"""
ROOM = 150 << 20
"""Bytes for a worker that has not leaked, with room to spare."""
OFTEN = {"CHANGEOVER_DEADLINES_HEARTBEAT": "200ms"}


@pytest.fixture
def story(story: Story) -> Story:
    (story.folder / "main.py").write_text(APP)
    return story


def serving(status: StatusView) -> set[int]:
    return {slot.pid for slot in status.slots if slot.state is SlotState.SERVING}


async def alone(server: Server, workers: int) -> set[int]:
    """Wait until so many serve and nobody else is there."""
    return serving(await status_when(server, lambda status: len(serving(status)) == workers == len(status.slots)))


async def pid_of(connection: Connection) -> int:
    return int((await connection.get("/")).body)


async def moved(connection: Connection, *old: int) -> int:
    """Ask on one connection, which nobody closes, until another worker answers."""
    async with asyncio.timeout(20):
        while (pid := await pid_of(connection)) in old:
            await asyncio.sleep(0.02)
        return pid


async def test_a_worker_that_leaks_is_replaced_and_its_connections_go_over(story: Story) -> None:
    async with story.server(2, f"--max-worker-memory={ROOM}", app="main:app", env=OFTEN) as server:
        leaking, idle = await story.connect(server), await story.connect(server)
        before = await alone(server, 2)
        old = int((await leaking.get("/leak")).body)
        fresh = await moved(leaking, old)
        await gone(old)
        after = await alone(server, 2)
        assert after > before - {old}
        assert {fresh, await pid_of(idle)} <= after
        await logged(server, "is to be replaced: it holds 2")
        assert (await server.status()).counts.restarts == 0


async def test_workers_that_have_lived_long_enough_are_replaced_and_close_no_connection(story: Story) -> None:
    ages = ("--max-worker-lifetime=1s", "--max-worker-lifetime-jitter=1s")
    async with story.server(2, *ages, app="main:app", env=OFTEN) as server:
        before = await alone(server, 2)
        connections = [await story.connect(server) for _ in range(8)]
        for connection in connections:
            await moved(connection, *before)
        for old in before:
            await gone(old)
        await until(lambda: server.logs.count("is to be replaced: it has lived") >= 2, server.logs)
        assert (await server.status()).counts.restarts == 0


@pytest.mark.parametrize("orphaned", [False, True], ids=["with its zygote", "without its zygote"])
async def test_a_worker_that_the_next_supervisor_adopts_is_as_old_as_it_is(story: Story, orphaned: bool) -> None:
    with pytest.raises(ServerFailed):
        async with story.server(1, app="main:app", env=OFTEN | ORPHAN) as first:
            [worker] = await alone(first, 1)
            born = psutil.Process(worker).create_time()
            await until(lambda: time.time() - born > 3, "the worker to be old enough to tell")
            kill(first.pid)
            await until(lambda: not alive(first.pid), "the supervisor to be dead")
            if orphaned:
                kill(zygote_of(worker))
    async with story.server(1, app="main:app", env=OFTEN | ORPHAN) as second:
        status = await status_when(second, lambda status: status.slots[0].started < born + 2)
        assert (status.slots[0].pid, status.term) == (worker, 2)


async def test_when_fewer_are_wanted_the_oldest_leaves_first_whatever_its_slot(story: Story) -> None:
    async with story.server(3, app="main:app") as server:
        await alone(server, 3)
        first, middle, last = [slot.pid for slot in (await server.status()).slots]
        kill(first)
        await status_when(server, lambda status: first not in serving(status))
        [youngest] = await alone(server, 3) - {middle, last}
        connections, held = list[Connection](), set[int]()
        async with asyncio.timeout(20):
            while len(held) < 3:
                connections.append(await story.connect(server))
                held.add(await pid_of(connections[-1]))
        assert held == {middle, last, youngest}
        server.signal(signal.SIGTTOU)
        assert await alone(server, 2) == {last, youngest}
        Client(story.folder / "runtime" / SOCKET_NAME).raw("PUT", "/v1/scale", ScaleBody(1))
        assert await alone(server, 1) == {youngest}
        assert {await pid_of(connection) for connection in connections} == {youngest}
