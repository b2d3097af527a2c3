"""What outlives its drain deadline in a roll ends announced and one after the other, with an event that names it."""

import asyncio
import time

import httpx2
import msgspec
import pytest
import websockets

from changeover.server import Committed, Server, Strategy
from changeover.supervisor.control import SlotState
from changeover.supervisor.core.records.worker import FarewellsSaid
from tests.http2_client import Http2Client
from tests.service import Connection, Story, logged, status_when
from tests.waits import until

STREAMING = """
import asyncio
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute

GATE = Path({gate!r})


async def events(request):
    async def pieces():
        yield "data: first\\n\\n"
        while not GATE.exists():
            await asyncio.sleep(0.01)
        yield "data: last\\n\\n"
    return StreamingResponse(pieces(), media_type="text/event-stream")


async def chat(socket):
    await socket.accept()

    async def answer():
        while True:
            await socket.send_text("heard " + await socket.receive_text())

    await asyncio.create_task(answer())


class Passing(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        return await call_next(request)


routes = [Route("/events", events), WebSocketRoute("/chat", chat)]
app = Starlette(routes=[*routes, Mount("/passed", Starlette(routes=routes, middleware=[Middleware(Passing)]))])
"""
"""What streams in a task beside the one that it is called in, as Starlette's responses do."""


async def said(server: Server) -> list[FarewellsSaid]:
    told = [event for event in await server.told() if event.type == "FarewellsSaid"]
    return [msgspec.json.decode(event.record, type=FarewellsSaid) for event in told]


async def until_said(server: Server, count: int) -> list[FarewellsSaid]:
    end, found = time.monotonic() + 15.0, await said(server)
    while sum(each.count for each in found) < count:
        assert time.monotonic() < end, f"only {found}"
        await asyncio.sleep(0.05)
        found = await said(server)
    return found


async def roll(server: Server) -> None:
    assert isinstance(await server.reload(strategy=Strategy.ROLL), Committed)


async def test_streams_that_outlive_their_deadline_are_cut_one_after_the_other_and_none_is_reset(story: Story) -> None:
    many, deadline = 40, 5.0
    story.write("1")
    drain = {"CHANGEOVER_DRAIN_HTTP": str(deadline), "CHANGEOVER_DRAIN_STREAM": str(deadline)}
    async with story.server(1, env=drain) as server:
        streams = [await story.connect(server) for _ in range(many)]
        for stream in streams:
            await stream.ask("/shop/stream")
            await stream.head()
            assert await stream.chunk() == b"1 1\n"
        began = time.monotonic()
        await roll(server)

        async def end(stream: Connection) -> float:
            assert await stream.at_end()  # without another byte: no last chunk pretends that this was all
            return time.monotonic() - began

        ends = sorted(await asyncio.gather(*map(end, streams)))
        assert ends[0] >= deadline
        assert ends[-1] - ends[0] > 0.2
        told = await until_said(server, many)
        assert {(each.why.value, each.kind) for each in told} <= {("overdue", "http"), ("overdue", "stream")}
        assert sum(each.count for each in told) == many
        assert max(each.oldest for each in told) >= deadline
        await logged(server, "that outlived the drain deadline; the oldest was")


async def test_an_event_stream_past_its_deadline_ends_whole_and_its_connection_goes_over(story: Story) -> None:
    story.write("1")
    async with story.server(1, env={"CHANGEOVER_DRAIN_STREAM": "1", "CHANGEOVER_DRAIN_HTTP": "1"}) as server:
        whole, half = await story.connect(server), await story.connect(server)
        await whole.ask("/shop/events")
        await whole.head()
        assert await whole.chunk() == b"data: 1 1\n\n"
        await half.ask("/shop/half-an-event")
        await half.head()
        while not (await half.chunk()).endswith(b"data: more\n"):
            pass
        await roll(server)
        assert await whole.chunk() == b""
        assert (await whole.get("/shop")).words[:2] == ["1", "2"]
        assert await half.at_end()  # without another byte: the client drops what it has of the event, and can tell


async def test_a_client_hears_of_no_error_when_its_event_stream_ends_in_a_roll(story: Story) -> None:
    story.write("1")
    async with story.server(1, env={"CHANGEOVER_DRAIN_STREAM": "1", "CHANGEOVER_DRAIN_HTTP": "1"}) as server:
        url = f"http://{server.addresses[0]}/shop/events"
        async with httpx2.AsyncClient(timeout=15) as client, client.stream("GET", url) as events:
            lines = events.aiter_lines()
            assert await anext(lines) == "data: 1 1"
            await roll(server)
            assert [line async for line in lines] == [""]


async def test_an_event_stream_over_http2_ends_with_its_stream(story: Story) -> None:
    story.write("1")
    async with story.server(1, env={"CHANGEOVER_DRAIN_STREAM": "1", "CHANGEOVER_DRAIN_HTTP": "1"}) as server:
        host, _, port = server.addresses[0].rpartition(":")
        client = await Http2Client.connect(host, int(port))
        try:
            whole, half = client.ask("/shop/events"), client.ask("/shop/half-an-event")
            await until(lambda: client.answers[whole].body and client.answers[half].body.endswith(b"more\n"))
            await roll(server)
            assert (await client.answer(whole)).ended
            assert (await client.answer(half)).reset is not None
        finally:
            await client.close()


async def test_a_request_that_outlives_its_deadline_is_answered_and_its_connection_goes_over(story: Story) -> None:
    story.write("1")
    async with story.server(1, env={"CHANGEOVER_DRAIN_HTTP": "0.5"}) as server:
        connection = await story.connect(server)
        await connection.ask("/shop/slow")
        await status_when(server, lambda status: any(slot.leases.get(1) for slot in status.slots))
        await roll(server)
        answer = await connection.answer()
        assert answer.status == 503
        [told] = await until_said(server, 1)
        assert (told.kind, told.why.value, told.count) == ("http", "overdue", 1)
        assert (await connection.get("/shop")).words[:2] == ["1", "2"]
        await status_when(server, lambda status: all(slot.state is SlotState.SERVING for slot in status.slots))


async def test_an_application_that_streams_from_a_task_of_its_own_has_the_time_of_a_stream(story: Story) -> None:
    (story.folder / "shop.py").write_text(STREAMING.format(gate=str(story.gate)))
    async with story.server(1, app="shop:app", env={"CHANGEOVER_DRAIN_TASK": "0.3"}) as server:
        stream = await story.connect(server)
        await stream.ask("/events")
        await stream.head()
        assert await stream.chunk() == b"data: first\n\n"
        async with websockets.connect(f"ws://{server.addresses[0]}/chat") as chat:
            await roll(server)
            await asyncio.sleep(1.5)  # far past the deadline of tasks, and past what its ends are spread over
            await chat.send("hi")
            assert await asyncio.wait_for(chat.recv(), 10) == "heard hi"
            story.open_gate()
            assert [await stream.chunk(), await stream.chunk()] == [b"data: last\n\n", b""]
            assert await said(server) == []


@pytest.mark.parametrize("path", ["/events", "/passed/events"], ids=["alone", "behind middleware"])
async def test_an_event_stream_of_an_application_that_streams_from_a_task_ends_whole(story: Story, path: str) -> None:
    (story.folder / "shop.py").write_text(STREAMING.format(gate=str(story.gate)))
    env = {"CHANGEOVER_DRAIN_STREAM": "1", "CHANGEOVER_DRAIN_HTTP": "0.2", "CHANGEOVER_DRAIN_TASK": "0.2"}
    async with story.server(1, app="shop:app", env=env) as server:
        stream = await story.connect(server)
        await stream.ask(path)
        await stream.head()
        assert await stream.chunk() == b"data: first\n\n"
        await roll(server)
        assert await asyncio.wait_for(stream.chunk(), 15) == b""
        assert (await stream.get("/nowhere")).status == 404
        assert " failed on epoch " not in server.logs


CLEANING = """
import asyncio
from pathlib import Path

FOLDER = Path({folder!r})


async def clean(name):
    await asyncio.sleep(0.2)
    FOLDER.joinpath(name + ".clean").touch()


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": b"first", "more_body": True}})
    name = scope["path"][1:]
    while not FOLDER.joinpath(name + ".gate").exists():
        await asyncio.create_task(asyncio.sleep(0.01))
    await send({{"type": "http.response.body", "body": b"last"}})
    await asyncio.create_task(clean(name))
"""
"""What cleans up in a task once it has answered, as database drivers and middleware do."""


async def test_streams_that_end_by_themselves_after_a_roll_have_time_to_clean_up(story: Story) -> None:
    (story.folder / "shop.py").write_text(CLEANING.format(folder=str(story.folder)))
    env = {"CHANGEOVER_DRAIN_HTTP": "0.3", "CHANGEOVER_DRAIN_TASK": "0.3"}
    names = [str(number) for number in range(10)]
    async with story.server(1, app="shop:app", env=env) as server:
        streams = {name: await story.connect(server) for name in [*names, "longest"]}
        for name, stream in streams.items():
            await stream.ask(f"/{name}")
            await stream.head()
            assert await stream.chunk() == b"first"
        await roll(server)
        await asyncio.sleep(1.0)  # past the deadline of tasks, and past what its ends are spread over
        for name in names:
            (story.folder / f"{name}.gate").touch()
            assert await streams[name].chunk() == b"last"
            await asyncio.sleep(0.1)  # their ends come at all moments between two looks for what is left
        await until(lambda: len(list(story.folder.glob("*.clean"))) == len(names), "all to be clean")
        assert await said(server) == []
        assert " failed on epoch " not in server.logs


TICKING = """# /// script
# requires-python = ">=3.11"
# [tool.changeover]
# id = "clock"
# version = "{version}"
# services = {{ clock = {{ mount = "/clock", entry = "clock:Clock" }} }}
# ///
import asyncio

from changeover.plugin import MessageHandler


class Clock(MessageHandler):
    async def on_open(self) -> None:
        await self.socket.accept()
        self.ticking = asyncio.create_task(self.tick())

    async def tick(self) -> None:
        while True:
            await self.socket.send("tick")
            await asyncio.sleep(0.05)

    async def on_message(self, message: str | bytes) -> None:
        await self.socket.send("{version}")
"""


async def test_what_a_websocket_started_before_it_went_over_has_the_time_of_that_websocket(story: Story) -> None:
    clock = story.plugins / "clock.py"
    clock.write_text(TICKING.format(version="1"))
    async with story.server(1, env={"CHANGEOVER_DRAIN_TASK": "0.3"}) as server:
        async with websockets.connect(f"ws://{server.addresses[0]}/clock") as client:
            assert await asyncio.wait_for(client.recv(), 10) == "tick"
            clock.write_text(TICKING.format(version="2"))
            assert isinstance(await server.reload(), Committed)
            await client.send("who?")
            while await asyncio.wait_for(client.recv(), 10) != "2":
                pass
            await roll(server)
            end = time.monotonic() + 2.0  # far past the deadline of tasks, and two looks for what is left behind
            while time.monotonic() < end:
                assert await asyncio.wait_for(client.recv(), 10) == "tick"
        await status_when(server, lambda status: all(slot.state is SlotState.SERVING for slot in status.slots))
