"""An initializer whose `configure` fails, in a real service: what its class decides, and what is spoken meanwhile."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from changeover.server import Server
from changeover.supervisor.api.bodies import HandlersBody
from changeover.supervisor.api.client import SOCKET_NAME, Client, ProblemAnswered
from changeover.supervisor.control import Explanation
from changeover.supervisor.core.edits import Remove
from changeover.workers.protocol.refusal import Fault, Refusal
from tests.service import UNREHEARSED, Connection, logged, status_when

CONFIG = """
name = "feed"
bind = ["127.0.0.1:0"]
[plugins]
dir = "plugins"
reload = "{reload}"
[deadlines]
hook = 0.5
[[channels]]
bind = "127.0.0.1:0"
select = [{{ initializer = "feed:lines" }}]
"""
PLUGIN = '''# /// script
# [tool.changeover]
# id = "feed"
# version = "{version}"
# initializers = ["lines"]
# ///
"""Says its version."""

import os
import socket
import time
from pathlib import Path

from changeover.plugin import *


FIRST = []


@initializer
def lines(chain: Chain, channel: Served) -> None:
    {configure}
    chain.codec(LineCodec())
    chain.service(lambda message, call: "{version}")
'''
OURS = "import changeover.workers.message.pipeline as ours; ours.MessagePipeline.count = None"
"""A mistake of this server's, made by breaking it in the process that rehearses."""
LASTING = [
    (Fault.CONFIG, "raise ConfigUnusable('most = 0')", "most = 0"),
    (Fault.CONTRACT, "chain.codec(LineCodec())", "the chain has two codecs"),
    (Fault.CAPABILITY, "socket.create_connection(('127.0.0.1', 9), 1)", "takes the capability net"),
    (Fault.CRASH, "1 / 0", "ZeroDivisionError: division by zero"),
    (Fault.CRASH, "os.abort()", "SIGABRT"),
    (Fault.INTERNAL, OURS, "TypeError: 'NoneType' object is not callable"),
]
PASSING = [
    (Fault.RESOURCE, "raise OSError(24, 'Too many open files')", "Too many open files"),
    (Fault.TIMEOUT, "time.sleep(30)", "not done within 0.5 s"),
]


class Feed:
    """A service that speaks lines."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._connections: list[Connection] = []
        (folder / "plugins").mkdir()
        self.write("1.0.0")

    def write(self, version: str, configure: str = "pass") -> None:
        self.file.write_text(PLUGIN.format(version=version, configure=configure))

    @asynccontextmanager
    async def server(
        self, reload: str = "on-signal", workers: int = 1, rehearsed: bool = True
    ) -> AsyncIterator[Server]:
        (self.folder / "changeover.toml").write_text(CONFIG.format(reload=reload))
        async with Server(
            config=self.folder / "changeover.toml",
            workers=workers,
            runtime_dir=self.folder / "runtime",
            state_dir=self.folder / "state",
            env=None if rehearsed else UNREHEARSED,
        ) as server:
            try:
                yield server
            finally:
                for connection in self._connections:
                    connection.close()

    async def connect(self, server: Server) -> Connection:
        connection = await Connection.open(server.addresses[0])
        self._connections.append(connection)
        return connection

    async def speaks(self, server: Server, version: str) -> None:
        """A client that comes now is spoken to by this version."""
        assert await said(await self.connect(server)) == version

    @property
    def file(self) -> Path:
        return self.folder / "plugins" / "feed.py"

    def refusals(self, epoch: int) -> list[Refusal]:
        """Why an epoch was refused, as `changeover explain` is told."""
        told = Client(self.folder / "runtime" / SOCKET_NAME).get(f"/v1/epochs/{epoch}", Explanation)
        return [each.refusal for each in told.refusals]


@pytest.fixture
def feed(tmp_path: Path) -> Feed:
    return Feed(tmp_path)


async def said(connection: Connection) -> str:
    await connection.send(b"who\n")
    return (await asyncio.wait_for(connection.line(), 10)).decode().strip()


async def committed_behind(server: Server, epoch: int) -> int:
    """Wait until an epoch behind this one serves; its number."""
    return (await status_when(server, lambda status: status.epoch > epoch)).epoch


async def refused_behind(server: Server, epoch: int) -> int:
    """Wait until an epoch behind this one is refused; its number."""
    status = await status_when(server, lambda status: status.refused is not None and status.refused.epoch > epoch)
    assert status.refused is not None
    return status.refused.epoch


async def test_whatever_class_a_failing_configure_has_the_last_good_initializer_speaks_on_and_after_a_restart(
    feed: Feed,
) -> None:
    async with feed.server() as server:
        known, epoch = await feed.connect(server), 1
        for fault, configure, told in LASTING + PASSING:
            feed.write("2.0.0", configure)
            os.kill(server.pid, signal.SIGHUP)
            epoch = await refused_behind(server, epoch)
            [refusal] = feed.refusals(epoch)
            assert (refusal.fault, refusal.hook) == (fault, "initializer lines"), refusal.line
            assert told in refusal.summary
            assert (await said(known), (await server.status()).epoch) == ("1.0.0", 1)
            await feed.speaks(server, "1.0.0")
        feed.write("2.0.0")
        os.kill(server.pid, signal.SIGHUP)
        await committed_behind(server, epoch)
        assert await said(known) == "2.0.0"
        feed.write("3.0.0", "1 / 0")
    async with feed.server() as server:
        await logged(server, "what is on disk is not served")
        await feed.speaks(server, "2.0.0")


async def test_a_class_that_lasts_is_quarantined_until_it_changes_and_hup_tries_it_all_the_same(feed: Feed) -> None:
    async with feed.server("on-change") as server:
        epoch = 1
        for number, (fault, configure, _) in enumerate(LASTING, 2):
            feed.write(f"{number}.0.0", configure)
            epoch = await refused_behind(server, epoch)
            assert [refusal.fault for refusal in feed.refusals(epoch)] == [fault]
            [quarantined] = (await server.status()).quarantine
            assert (quarantined.content, quarantined.epoch) == (f"feed {number}.0.0", epoch)
            os.utime(feed.file)
            await logged(server, f"not taken: feed {number}.0.0 (refused as epoch {epoch}")
            os.kill(server.pid, signal.SIGHUP)
            assert await refused_behind(server, epoch) == epoch + 1, "only HUP has tried it again"
            epoch += 1
        await feed.speaks(server, "1.0.0")
        feed.write("9.0.0")
        await committed_behind(server, epoch)
        await feed.speaks(server, "9.0.0")


async def test_a_class_that_passes_is_tried_again_unasked_and_taken_once_it_has_passed(feed: Feed) -> None:
    async with feed.server("on-change") as server:
        known, epoch = await feed.connect(server), 1
        for number, (fault, configure, _) in enumerate(PASSING, 2):
            there = feed.folder / fault.value
            feed.write(f"{number}.0.0", f"if not Path({str(there)!r}).exists(): {configure}")
            epoch = await refused_behind(server, epoch)
            assert [refusal.fault for refusal in feed.refusals(epoch)] == [fault]
            assert (await server.status()).quarantine == ()
            assert await said(known) == f"{number - 1}.0.0"
            there.touch()
            epoch = await committed_behind(server, epoch)
            assert await said(known) == f"{number}.0.0"


SECOND = """try: FIRST.append(os.mkdir({mark!r}))
    except FileExistsError: FIRST or {failing}"""
"""Fails in the second worker that comes to it."""


async def test_what_fails_in_one_worker_changes_nothing_in_the_other(feed: Feed) -> None:
    async with feed.server(workers=2, rehearsed=False) as server:
        epoch = 1
        for fault, failing in ((Fault.CRASH, "1 / 0"), (Fault.TIMEOUT, "time.sleep(30)"), (Fault.CRASH, "os.abort()")):
            clients = [await feed.connect(server) for _ in range(6)]
            assert {await said(client) for client in clients} == {"1.0.0"}
            feed.write("2.0.0", SECOND.format(mark=str(feed.folder / f"mark{epoch}"), failing=failing))
            os.kill(server.pid, signal.SIGHUP)
            epoch = await refused_behind(server, epoch)
            [refusal] = feed.refusals(epoch)
            assert refusal.fault is fault
            answers = [await said(client) for client in clients]
            assert set(answers) <= ({"1.0.0", ""} if failing == "os.abort()" else {"1.0.0"}), "a process takes its own"
            await status_when(server, lambda status: [slot.epoch for slot in status.slots] == [1, 1])
            await feed.speaks(server, "1.0.0")


async def test_the_handlers_of_a_raw_protocol_are_its_initializers_own_and_who_edits_them_is_told(feed: Feed) -> None:
    edits = HandlersBody((Remove("who"),))
    async with feed.server():
        client = Client(feed.folder / "runtime" / SOCKET_NAME)
        with pytest.raises(ProblemAnswered) as answered:
            client.raw("PATCH", f"/v1/pipelines/{quote('127.0.0.1:0 feed:lines')}/handlers", edits)
        assert (answered.value.status, answered.value.type) == (409, "handlers-in-code")
        assert "its initializer registers the handlers" in answered.value.detail
