"""What outlives its drain deadline in a roll ends announced and one after the other, with an event that names it."""

import asyncio
import time

import msgspec
import pytest

from changeover.server import Committed, Server, Strategy
from changeover.supervisor.control import SlotState
from changeover.supervisor.core.records.worker import FarewellsSaid
from tests.service import Connection, Story, status_when


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
    many, deadline = 40, 3.0
    story.write("1")
    drain = {"CHANGEOVER_DRAIN_HTTP": str(deadline), "CHANGEOVER_DRAIN_STREAM": str(deadline)}
    async with story.server(1, env=drain) as server:
        streams = [await story.connect(server) for _ in range(many)]
        for stream in streams:
            await stream.ask("/shop/stream")
            await stream.head()
            assert await stream.chunk() == b"1 1\n"
        await roll(server)
        began = time.monotonic()

        async def end(stream: Connection) -> float:
            assert await stream.at_end()  # without another byte: no last chunk pretends that this was all
            return time.monotonic() - began

        ends = sorted(await asyncio.gather(*map(end, streams)))
        assert ends[0] > deadline - 1.0
        assert ends[-1] - ends[0] > 0.2
        told = await until_said(server, many)
        assert {(each.why.value, each.kind) for each in told} <= {("overdue", "http"), ("overdue", "stream")}
        assert sum(each.count for each in told) == many
        assert max(each.oldest for each in told) >= deadline - 1.0
        assert "that outlived the drain deadline; the oldest was" in server.logs


EVENTS = """
import asyncio


async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    while True:
        await send({"type": "http.response.body", "body": b"data: tick\\n\\n", "more_body": True})
        await asyncio.sleep(0.1)
"""


@pytest.mark.parametrize("path", ["/events", "/shop/stream"], ids=["asgi", "native"])
async def test_events_that_outlive_their_deadline_end_completely_and_their_client_goes_on(
    story: Story, path: str
) -> None:
    story.write("1")
    (story.folder / "main.py").write_text(EVENTS)
    async with story.server(1, app="main:app", env={"CHANGEOVER_DRAIN_STREAM": "1.5"}) as server:
        events, download = await story.connect(server), await story.connect(server)
        fields = b"host: story\r\naccept: text/event-stream\r\n\r\n"
        await events.send(f"GET {path} HTTP/1.1\r\n".encode() + fields)
        await download.ask(path)
        for client in (events, download):
            await client.head()
            assert await client.chunk()
        await roll(server)
        async with asyncio.timeout(15):
            while await events.chunk():
                pass
        assert (await events.get("/shop")).words[:2] == ["1", "2"], "its connection has gone over"
        with pytest.raises(ValueError, match="base 16: b''"):  # the end of the connection, and no last chunk
            while await download.chunk():
                pass


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
