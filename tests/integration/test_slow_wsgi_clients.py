"""Clients that send or take slowly hold no thread of a WSGI application: others are answered as if there were none."""

import asyncio
import shutil
import socket
import statistics
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from changeover.server import Server
from tests import slow_wsgi_app
from tests.hostile import resident, worker_of
from tests.integration.test_hostile_clients import crowd, latencies, settled
from tests.service import Story, status_when
from tests.waits import until

SLOW = 50
"""Clients of either kind; the application has four threads."""
BODY = 500_000
SENT = 300_000
"""Bytes of it that a client sends, before it stops: more than is kept in memory."""
PER_CLIENT = 512 * 1024
"""Most resident bytes that one of them may cost."""
LARGE = slow_wsgi_app.LARGE * len(slow_wsgi_app.PIECE)
ASKING = f"POST /asked HTTP/1.1\r\nHost: x\r\nContent-Length: {BODY}\r\n\r\n".encode()
TAKING = b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@asynccontextmanager
async def slow(story: Story) -> AsyncIterator[Server]:
    """One worker with four threads."""
    shutil.copy(Path(slow_wsgi_app.__file__), story.folder / "main.py")
    async with story.server(1, "--threads=4", app="main:app") as server:
        yield server


async def rest_of(client: socket.socket) -> bytes:
    """All that a client is sent."""
    client.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=client.dup(), limit=2**20)
    try:
        return await asyncio.wait_for(reader.read(), 30)
    finally:
        writer.close()


async def answer_to(client: socket.socket, rest: bytes) -> bytes:
    """What is answered once the rest of a body was sent."""
    client.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=client.dup())
    try:
        writer.write(rest)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 15)
        assert head.startswith(b"HTTP/1.1 200")
        return await asyncio.wait_for(reader.readexactly(len(str(BODY))), 15)
    finally:
        writer.close()


@pytest.mark.slow
async def test_clients_that_send_and_take_slowly_hold_up_nobody_and_get_their_answers(story: Story) -> None:
    async with slow(story) as server:
        pid = await worker_of(server)
        before, files = resident(pid), deleted(pid)
        usual = statistics.median(await latencies(story, server))
        with crowd(server, SLOW, ASKING + b"x" * SENT) as senders, crowd(server, SLOW, TAKING) as takers:
            await status_when(server, lambda status: status.slots[0].connections >= 2 * SLOW)
            await settled(pid)
            waited = await latencies(story, server)
            assert statistics.median(waited) < 5 * usual + 0.005, f"{statistics.median(waited)} instead of {usual}"
            assert max(waited) < 0.5, "as if all were idle, on a machine that does other things, too"
            assert resident(pid) - before < 2 * SLOW * PER_CLIENT
            rest = b"x" * (BODY - SENT)
            assert await asyncio.gather(*(answer_to(each, rest) for each in senders[:10])) == [str(BODY).encode()] * 10
            for taker in takers[:2]:
                taker.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**20)
                whole = await rest_of(taker)
                assert whole.endswith(b"0\r\n\r\n")
                assert whole.count(b"~") == slow_wsgi_app.LARGE
                assert len(whole) > LARGE
        await status_when(server, lambda status: status.slots[0].connections <= 2)
        await until(lambda: deleted(pid) == files, "files to be gone")


def deleted(pid: int) -> list[Path]:
    """Files without a name that a process has open."""
    found = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = descriptor.readlink()
        except OSError:
            continue
        if str(target).startswith("/") and str(target).endswith("(deleted)"):
            found.append(target)
    return found
