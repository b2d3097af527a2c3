"""TERM while clients keep coming: whoever the kernel let in gets an answer, whoever comes later is refused."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from changeover.server import ServerFailed
from tests.service import Connection, Story, logged, status_when
from tests.waits import until

CLIENTS = 16

BLOCK = """
import time

def block():
    GATE.with_name("blocked").touch()
    while not GATE.exists():
        time.sleep(0.005)
"""
"""A plugin that waits with the thread of its worker, and not with the loop."""


class Crowd:
    """Clients that each ask once per connection, again and again, until nobody lets them in."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.answered = 0
        self.failed: list[str] = []

    async def one(self) -> None:
        while True:
            try:
                async with asyncio.timeout(10):
                    connection = await Connection.open(self.address)
            except OSError:
                return
            try:
                async with asyncio.timeout(10):
                    assert (await connection.get("/shop")).status == 200
                self.answered += 1
            except (OSError, EOFError, AssertionError, asyncio.IncompleteReadError) as error:
                self.failed.append(repr(error))
            finally:
                connection.close()


@asynccontextmanager
async def ending() -> AsyncIterator[None]:
    """A server that may be gone, as it was told to, when the story is over."""
    try:
        yield
    except ServerFailed as ended:
        if ended.status != 0:
            raise


@pytest.mark.parametrize("address", ["127.0.0.1:0", "[::1]:0", "unix:{folder}/web.sock"])
async def test_no_established_connection_is_left_without_an_answer(story: Story, address: str) -> None:
    story.write("1.0")
    async with ending(), story.server(workers=2, bind=address.format(folder=story.folder)) as server:
        crowd = Crowd(server.addresses[0])
        clients = [asyncio.create_task(crowd.one()) for _ in range(CLIENTS)]
        await until(lambda: crowd.answered > 100, "clients are served")
        server.signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            await asyncio.gather(*clients)
    assert crowd.failed == []


async def test_a_connection_that_waits_to_be_accepted_is_answered_after_term(story: Story) -> None:
    story.write("1.0", top=BLOCK)
    plugin = story.plugins / "shop.py"
    plugin.write_text(plugin.read_text().replace("await opened()", "block()", 1).replace("/slow", "/block"))
    async with ending(), story.server(workers=1) as server:
        blocking = await story.connect(server)
        await blocking.ask("/shop/block")
        await until(story.gate.with_name("blocked").exists, "the worker to be blocked")
        host, _, port = server.addresses[0].rpartition(":")
        with socket.create_connection((host, int(port))) as queued:
            queued.sendall(b"GET /shop HTTP/1.1\r\nhost: story\r\n\r\n")
            server.signal(signal.SIGTERM)
            await logged(server, "is to leave")
            story.open_gate()
            queued.settimeout(20)
            assert (await asyncio.to_thread(queued.recv, 4096)).startswith(b"HTTP/1.1 200")
        assert (await blocking.answer()).status == 200


async def test_at_the_deadline_of_a_stop_an_event_stream_ends_whole_and_a_request_is_told(story: Story) -> None:
    story.write("1")
    async with ending(), story.server(1, "--graceful-timeout=2") as server:
        events, stream, slow = [await story.connect(server) for _ in range(3)]
        for connection, path in ((events, "events"), (stream, "stream")):
            await connection.ask(f"/shop/{path}")
            await connection.head()
            assert (await connection.chunk()).startswith((b"data: 1 1", b"1 1"))
        await slow.ask("/shop/slow")
        await status_when(server, lambda status: any(slot.leases.get(1) == 3 for slot in status.slots))
        server.signal(signal.SIGTERM)
        assert await events.chunk() == b""
        assert await stream.at_end()
        assert (await slow.answer()).status == 503
