"""WebSockets of a real service: through swaps, rolls and the end, with plugins and with applications unmodified."""

import asyncio
import time

import pytest
import websockets
from websockets.exceptions import ConnectionClosed

from changeover.server import Committed, Server, StatusView, Strategy
from changeover.supervisor.control import SlotState
from tests.certificates import Authority
from tests.service import Story, status_when
from tests.waits import until

CHAT = '''# /// script
# requires-python = ">=3.11"
# [tool.changeover]
# id = "chat"
# version = "{version}"
# services = {{ chat = {{ mount = "/chat" }}, count = {{ mount = "/count", entry = "chat:Count" }} }}
# ///
"""Version {version}."""
import msgspec

from changeover.plugin import CallContext, MessageHandler, WebSocket, websocket


@websocket
async def chat(socket: WebSocket, call: CallContext) -> None:
    await socket.accept()
    async for message in socket:
        await socket.send(f"{version} {{call.epoch}} {{message}}")


class Count(MessageHandler):
    def __init__(self) -> None:
        self.count = 0

    async def on_message(self, message: str | bytes) -> None:
        self.count += 1
        await self.socket.send(f"{version} {{self.call.epoch}} {{self.count}}")

    def export_state(self) -> int:
        return self.count

    def import_state(self, state: bytes) -> None:
        self.count = msgspec.msgpack.decode(state, type=int)
'''

APP = """
from fastapi import FastAPI, WebSocket
from starlette.applications import Starlette
from starlette.routing import Mount, WebSocketRoute

api = FastAPI()


@api.websocket("/items/{item}")
async def items(socket: WebSocket, item: int, q: str = ""):
    await socket.accept()
    await socket.send_json({"item": item, "q": q, "scheme": socket.url.scheme})
    async for text in socket.iter_text():
        await socket.send_text(f"{item}: {text}")


async def echo(socket):
    await socket.accept()
    while True:
        await socket.send_bytes(await socket.receive_bytes())


app = Starlette(routes=[WebSocketRoute("/echo", echo), Mount("/api", api)])
"""


def write(story: Story, version: str) -> None:
    (story.plugins / "chat.py").write_text(CHAT.format(version=version))


def url(server: Server, path: str) -> str:
    return f"ws://{server.addresses[0]}{path}"


async def said(client: websockets.ClientConnection, message: str | bytes = "hi") -> str:
    await client.send(message)
    return str(await asyncio.wait_for(client.recv(), 10))


async def swap(story: Story, server: Server, version: str) -> None:
    write(story, version)
    assert isinstance(await server.reload(), Committed)


async def test_in_a_swap_an_open_websocket_stays_and_is_listed_and_a_message_handler_goes_over(story: Story) -> None:
    write(story, "1")
    async with story.server(1) as server:
        async with websockets.connect(url(server, "/chat")) as chat, websockets.connect(url(server, "/count")) as count:
            assert await said(chat) == "1 1 hi"
            assert await said(count) == "1 1 1"
            await swap(story, server, "2")
            await status_when(server, lambda status: status.slots[0].leases == {1: 1, 2: 1})
            leases = (await server.leases()).slots[0].leases
            assert {(each.kind, each.path, each.epoch) for each in leases} == {
                ("websocket", "/chat", 1),
                ("websocket", "/count", 2),
            }
            assert await said(chat) == "1 1 hi"
            assert await said(count) == "2 2 2"
        async with websockets.connect(url(server, "/chat")) as chat:
            assert await said(chat) == "2 2 hi"
        await status_when(server, lambda status: not status.slots[0].leases.get(1))


async def test_in_a_swap_no_drain_deadline_ends_what_is_held(story: Story) -> None:
    write(story, "1")
    story.write("1")
    short = {f"CHANGEOVER_DRAIN_{kind}": "0.1" for kind in ("HTTP", "STREAM", "WEBSOCKET", "TASK")}
    async with story.server(1, env=short) as server, websockets.connect(url(server, "/chat")) as chat:
        assert await said(chat) == "1 1 hi"
        stream, slow, task = [await story.connect(server) for _ in range(3)]
        await stream.ask("/shop/stream")
        await stream.head()
        assert await stream.chunk() == b"1 1\n"
        await task.get("/shop/task")
        await slow.ask("/shop/slow")
        await status_when(server, lambda status: status.slots[0].leases == {1: 4})
        story.write("2")
        await swap(story, server, "2")
        assert (await story.get(server, "/shop")).words[:2] == ["2", "2"]
        await asyncio.sleep(1.5)  # far past every deadline, and past whatever ends are spread over
        assert (await server.status()).slots[0].leases == {1: 4}
        assert await said(chat) == "1 1 hi"
        story.open_gate()
        assert [await stream.chunk(), await stream.chunk()] == [b"1 1\n", b""]
        assert (await slow.answer()).words[:2] == ["1", "1"]
        await until(story.finished.exists, "the task to end by itself")
        assert [each for each in await server.told() if each.type == "FarewellsSaid"] == []


async def test_past_the_residency_bound_the_oldest_websocket_ends_with_1012(story: Story) -> None:
    write(story, "1")
    async with story.server(1, env={"CHANGEOVER_DRAIN_MAX_RESIDENT": "2"}) as server:
        first = await websockets.connect(url(server, "/chat"))
        assert await said(first) == "1 1 hi"
        await swap(story, server, "2")
        second = await websockets.connect(url(server, "/chat"))
        assert await said(second) == "2 2 hi"
        await swap(story, server, "3")
        await asyncio.wait_for(first.wait_closed(), 10)
        assert (first.close_code, first.close_reason) == (1012, "service restart")
        assert await said(second) == "2 2 hi"


def yields(status: StatusView, pid: int) -> bool:
    return any(slot.pid == pid and slot.state is SlotState.YIELDING for slot in status.slots)


async def closed(client: websockets.ClientConnection) -> tuple[float, int | None, str | None]:
    """When a client was closed, and with what."""
    with pytest.raises(ConnectionClosed):
        while True:
            await client.recv()
    return time.monotonic(), client.close_code, client.close_reason


async def test_in_a_roll_websockets_past_their_deadline_end_with_1012_one_after_the_other(story: Story) -> None:
    write(story, "1")
    deadline = 5.0
    drain = {f"CHANGEOVER_DRAIN_{kind}": str(deadline) for kind in ("HTTP", "STREAM", "WEBSOCKET", "TASK")}
    async with story.server(1, env=drain) as server:
        [old] = (await server.status()).slots
        clients = [await websockets.connect(url(server, "/chat")) for _ in range(20)]
        assert [await said(client) for client in clients] == ["1 1 hi"] * 20
        began = time.monotonic()
        assert isinstance(await server.reload(strategy=Strategy.ROLL), Committed)
        ends = sorted(await asyncio.wait_for(asyncio.gather(*map(closed, clients)), 30))
        assert {(code, reason) for _, code, reason in ends} == {(1012, "service restart")}
        assert ends[0][0] - began >= deadline
        assert ends[-1][0] - ends[0][0] > 0.2
        await status_when(server, lambda status: [slot.pid for slot in status.slots] != [old.pid])
        async with websockets.connect(url(server, "/chat")) as client:
            assert await said(client) == "1 2 hi"


async def test_in_a_roll_a_websocket_that_ends_by_itself_within_its_deadline_is_not_disturbed(story: Story) -> None:
    write(story, "1")
    async with story.server(1, env={"CHANGEOVER_DRAIN_WEBSOCKET": "60"}) as server:
        [old] = (await server.status()).slots
        clients = [await websockets.connect(url(server, "/chat")) for _ in range(40)]
        assert [await said(client) for client in clients] == ["1 1 hi"] * 40
        assert isinstance(await server.reload(strategy=Strategy.ROLL), Committed)
        await status_when(server, lambda status: yields(status, old.pid))
        assert [await said(client) for client in clients] == ["1 1 hi"] * 40
        for client in clients:
            await client.close()
        assert {client.close_code for client in clients} == {1000}
        await status_when(server, lambda status: [slot.pid for slot in status.slots] != [old.pid])


async def test_the_end_of_the_service_says_service_restart(story: Story) -> None:
    write(story, "1")
    async with story.server(1) as server:
        client = await websockets.connect(url(server, "/chat"))
        assert await said(client) == "1 1 hi"
    await asyncio.wait_for(client.wait_closed(), 10)
    assert (client.close_code, client.close_reason) == (1012, "service restart")


async def test_five_hundred_idle_websockets_cost_nobody_anything(story: Story) -> None:
    write(story, "1")
    async with story.server(1) as server:
        idle = await asyncio.gather(*(websockets.connect(url(server, "/chat"), compression=None) for _ in range(500)))
        async with websockets.connect(url(server, "/chat")) as busy:
            for number in range(100):
                assert await said(busy, str(number)) == f"1 1 {number}"
        assert await said(idle[0]) == "1 1 hi"
        assert await said(idle[-1]) == "1 1 hi"
        await asyncio.gather(*(client.close() for client in idle))
        await status_when(server, lambda status: not sum(status.slots[0].leases.values()))


async def test_starlette_and_fastapi_speak_unmodified(story: Story) -> None:
    (story.folder / "live.py").write_text(APP)
    async with story.server(1, app="live:app") as server:
        async with websockets.connect(url(server, "/echo")) as client:
            await client.send(bytes(100_000))
            assert await client.recv() == bytes(100_000)
        async with websockets.connect(url(server, "/api/items/7?q=x")) as client:
            assert await client.recv() == '{"item":7,"q":"x","scheme":"ws"}'
            assert await said(client) == "7: hi"
        with pytest.raises(websockets.InvalidStatus):
            await websockets.connect(url(server, "/api/items/seven"))


async def test_over_tls_the_scheme_is_wss(story: Story) -> None:
    (story.folder / "live.py").write_text(APP)
    authority, chain, key = Authority(), story.folder / "cert.pem", story.folder / "key.pem"
    authority.write(chain, key, "localhost")
    context = authority.client()
    tls = (f"--certfile={chain}", f"--keyfile={key}", "--ws-max-size=1000", "--ws-per-message-deflate=false")
    async with story.server(1, *tls, app="live:app") as server:
        address = url(server, "/api/items/7").replace("ws:", "wss:")
        async with websockets.connect(address, ssl=context, server_hostname="localhost") as client:
            assert "wss" in str(await client.recv())
            assert await said(client) == "7: hi"
            await client.send("x" * 1001)
            await asyncio.wait_for(client.wait_closed(), 10)
            assert client.close_code == 1009
