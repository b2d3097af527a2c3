"""A request that hangs costs its worker a recycle, and nobody else anything."""

import asyncio

from changeover.server import Committed, Refused, Server
from changeover.supervisor.control import SlotState, StatusView
from tests.service import Connection, Story, gone, logged, status_when

APP = """
import asyncio
import contextlib
import os
import threading
import time
from pathlib import Path

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

NEVER = threading.Event()
HERE = Path(__file__).parent


@contextlib.asynccontextmanager
async def lifespan(app):
    while (HERE / "held").exists():
        await asyncio.sleep(0.01)
    yield


async def where(request):
    return PlainTextResponse(str(os.getpid()))


def stuck_in_a_thread(request):
    NEVER.wait()
    return PlainTextResponse("never")


async def stuck_on_the_loop(request):
    await asyncio.Event().wait()


async def compute(request):
    end = time.monotonic() + 5
    while time.monotonic() < end:
        pass
    return PlainTextResponse("computed")


async def slow(request):
    while not (HERE / "gate").exists():
        await asyncio.sleep(0.01)
    return PlainTextResponse(str(os.getpid()))


async def stream(request):
    async def pieces():
        yield b"first"
        await asyncio.sleep(6)
        yield b"last"

    return StreamingResponse(pieces())


app = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/", where),
        Route("/thread", stuck_in_a_thread),
        Route("/loop", stuck_on_the_loop),
        Route("/slow", slow),
        Route("/compute", compute),
        Route("/stream", stream),
    ]
)
"""

SETTINGS = {
    "CHANGEOVER_DEADLINES_HEARTBEAT": "200ms",
    "CHANGEOVER_DEADLINES_REQUEST": "2s",
    "CHANGEOVER_DRAIN_HTTP": "3s",
}


def pids(status: StatusView) -> set[int]:
    return {slot.pid for slot in status.slots if slot.state is SlotState.SERVING}


async def pid_of(connection: Connection) -> int:
    return int((await connection.get("/")).body)


async def connection_to(story: Story, server: Server, pid: int) -> Connection:
    """A connection that this worker holds."""
    async with asyncio.timeout(20):
        while True:
            connection = await story.connect(server)
            if await pid_of(connection) == pid:
                return connection


async def moved(connection: Connection, old: int) -> int:
    """Ask on one connection, which nobody closes, until another worker answers."""
    async with asyncio.timeout(20):
        while (pid := await pid_of(connection)) == old:
            await asyncio.sleep(0.02)
        return pid


async def test_a_synchronous_endpoint_that_hangs_costs_its_worker_a_recycle_with_its_stacks_and_nobody_anything(
    story: Story,
) -> None:
    (story.folder / "main.py").write_text(APP)
    async with story.server(2, app="main:app", env=SETTINGS) as server:
        stuck = await story.connect(server)
        old = await pid_of(stuck)
        [other] = pids(await server.status()) - {old}
        beside = await connection_to(story, server, old)
        await stuck.ask("/thread")
        fresh = await moved(beside, old)
        async with asyncio.timeout(20):
            assert (await stuck.answer()).status == 503
        await gone(old)
        await logged(server, "owes a response for")
        await logged(server, "in stuck_in_a_thread")
        status = await server.status()
        assert fresh in pids(status)
        assert other in pids(status)
        assert status.counts.restarts == 0


async def test_an_endpoint_that_awaits_for_ever_ends_politely_and_other_requests_of_its_worker_finish(
    story: Story,
) -> None:
    (story.folder / "main.py").write_text(APP)
    async with story.server(2, app="main:app", env=SETTINGS) as server:
        probe = await story.connect(server)
        old = await pid_of(probe)
        stuck, busy = await connection_to(story, server, old), await connection_to(story, server, old)
        held = story.folder / "held"
        held.touch()
        await stuck.ask("/loop")
        await status_when(server, lambda status: any("without a response" in slot.note for slot in status.slots), 20)
        await busy.ask("/slow")
        await status_when(server, lambda status: any(sum(slot.leases.values()) == 2 for slot in status.slots))
        held.unlink()  # now who takes its place may serve
        await status_when(server, lambda status: any(slot.state.leaves for slot in status.slots), 20)
        story.open_gate()
        assert int((await busy.answer()).body) == old
        await moved(busy, old)
        await logged(server, "in stuck_on_the_loop")
        async with asyncio.timeout(20):
            assert (await stuck.answer()).status == 503


async def test_a_worker_that_computes_on_its_loop_for_longer_than_it_may_be_silent_is_left_alone(story: Story) -> None:
    (story.folder / "main.py").write_text(APP)
    story.write("1.0")
    async with story.server(2, app="main:app") as server:
        busy = await story.connect(server)
        before = pids(await server.status())
        await busy.ask("/compute")
        await logged(server, "has been silent for")
        story.write("2.0")
        assert isinstance(await server.reload(), Committed)
        assert (await busy.answer()).status == 200
        assert (await busy.get("/shop")).words[0] == "2.0"
        status = await server.status()
        assert (pids(status), status.counts.restarts) == (before, 0)


async def test_a_stream_is_no_request_that_hangs(story: Story) -> None:
    (story.folder / "main.py").write_text(APP)
    async with story.server(1, app="main:app", env=SETTINGS) as server:
        connection = await story.connect(server)
        before = pids(await server.status())
        await connection.ask("/stream")
        assert (await connection.answer()).body == "firstlast"
        assert pids(await server.status()) == before
        assert "owes a response" not in server.logs


async def test_a_candidate_that_hangs_changes_nothing_and_costs_each_worker_that_tried_it_a_recycle(
    story: Story,
) -> None:
    story.write("1.0")
    settings = {"CHANGEOVER_DEADLINES_HOOK": "1s", "CHANGEOVER_DEADLINES_HEARTBEAT": "200ms"}
    async with story.server(2, env=settings, rehearsed=False) as server:
        connections = [await story.connect(server) for _ in range(8)]
        before = pids(await server.status())
        story.write("2.0", top="import threading\nthreading.Event().wait()")
        outcome = await server.reload()
        assert isinstance(outcome, Refused)
        assert "not done within 1 s" in outcome.reason
        tried = {refusal.pid for refusal in outcome.refusals}
        assert tried <= before
        status = await status_when(server, lambda status: not tried & pids(status) and len(pids(status)) == 2, 20)
        for pid in tried:
            await gone(pid)
        assert before - tried <= pids(status)
        for connection in connections:
            assert (await connection.get("/shop")).words[:2] == ["1.0", "1"]
        assert (await server.status()).counts.restarts == 0
