"""Clients over TLS that read nothing of what natives, applications and threads make, beside one in cleartext."""

import shutil
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest

from changeover.server import Server
from tests import slow_wsgi_app
from tests.certificates import Authority
from tests.hostile import APP, resident, worker_of
from tests.integration.test_hostile_clients import PER_SECURED, USUAL, WORST, crowd, get, settled
from tests.integration.test_slow_wsgi_clients import PER_CLIENT as PER_WSGI_CLIENT
from tests.service import Connection, Story, status_when

AUTHORITY = Authority()
NATIVE = '''# /// script
# [tool.changeover]
# id = "native"
# version = "1.0.0"
# services = { endless = { mount = "/native" } }
# ///
"""Never ends."""

from changeover.plugin import CallContext, Request, Response, service


@service
async def endless(request: Request, call: CallContext) -> Response:
    async def pieces():
        while True:
            yield b"x" * 65536
    return Response(pieces())
'''
EACH = 100
THREADED = 30
"""Their responses go to files: 4 MiB each."""


@asynccontextmanager
async def both(story: Story, application: Path, *flags: str) -> AsyncIterator[tuple[Server, str]]:
    """One worker, reached over TLS and, at the second address, without."""
    clear = story.folder / "clear"
    (story.plugins / "native.py").write_text(NATIVE)
    shutil.copy(application, story.folder / "main.py")
    chain, key = story.folder / "cert.pem", story.folder / "key.pem"
    AUTHORITY.write(chain, key, "shop.example")
    named = (f"--bind=unix:{clear}", f"--certfile={chain}", f"--keyfile={key}", *flags)
    async with story.server(1, *named, app="main:app", env={"STORY": str(story.folder)}) as server:
        yield server, f"unix:{clear}"


async def waited(address: str) -> list[float]:
    """How long each answer takes to a client that does nothing wrong."""
    connection, found = await Connection.open(address), []
    for _ in range(200):
        began = time.perf_counter()
        assert (await connection.get("/hello")).body == "hello"
        found.append(time.perf_counter() - began)
    connection.close()
    return found


def unharmed(found: list[float]) -> bool:
    return max(found) < WORST and statistics.median(found) < USUAL


@pytest.mark.slow
async def test_who_reads_nothing_of_natives_and_applications_costs_bounded_memory_and_nobody_s_time(
    story: Story,
) -> None:
    async with both(story, APP) as (server, clear):
        pid, tls = await worker_of(server), AUTHORITY.client("http/1.1")
        await waited(clear)
        before = resident(pid)
        with ExitStack() as crowds:
            for path, secured in (("/native", tls), ("/endless", tls)):
                crowds.enter_context(crowd(server, EACH, get(path), secured))
                assert unharmed(await waited(clear))
            await status_when(server, lambda status: status.slots[0].connections >= 2 * EACH)
            await settled(pid)
            assert resident(pid) - before < 2 * EACH * PER_SECURED
            assert unharmed(await waited(clear))
        assert unharmed(await waited(clear))


@pytest.mark.slow
async def test_who_reads_nothing_of_what_threads_make_costs_bounded_memory_and_nobody_s_time(story: Story) -> None:
    async with both(story, Path(slow_wsgi_app.__file__), "--threads=4") as (server, clear):
        pid, tls = await worker_of(server), AUTHORITY.client("http/1.1")
        await waited(clear)
        before = resident(pid)
        with crowd(server, THREADED, get("/large"), tls):
            assert unharmed(await waited(clear))
            await status_when(server, lambda status: status.slots[0].connections >= THREADED)
            await settled(pid)
            assert resident(pid) - before < THREADED * PER_WSGI_CLIENT
            assert unharmed(await waited(clear))
        assert unharmed(await waited(clear))
