"""Exclusive work of a plugin runs in one worker at a time, whatever becomes of the workers, never in two at once."""

import asyncio
import signal
from pathlib import Path

import pytest

from changeover.server import Committed, Refused, Server, StatusView, Strategy
from changeover.supervisor.cli.plugin.listing import lines
from changeover.supervisor.core.records.plugin import LeadershipMoved
from changeover.workers.runtime import landlock
from tests.integration.test_plugin_life_stories import until_told
from tests.integration.test_recycling_stories import OFTEN
from tests.plugin_folder import PluginFolder
from tests.service import Story, gone, kill, status_when

MANIFEST = 'plugin = "cron:Cron"\nsingleton = true\n'
CODE = """
import asyncio
import os

from changeover.plugin import LoadContext, Plugin

LOG = "LOGFILE"


def write(what: str) -> None:
    fd = os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, f"{what} {os.getpid()} VERSION\\n".encode())
    os.close(fd)


class Cron(Plugin[None]):
    def on_load(self, ctx: LoadContext) -> None:
        LOADING

    async def on_activate(self) -> None:
        write("begin")
        self.job = asyncio.create_task(self.run())

    async def run(self) -> None:
        while True:
            write("tick")
            await asyncio.sleep(0.005)

    async def on_deactivate(self) -> None:
        await asyncio.sleep(0.05)
        self.job.cancel()
        write("end")
"""


class Cron:
    """A plugin that writes down when its work begins, goes on and ends.

    Attributes:
        killed: Processes that had no chance to say that it ended.
    """

    def __init__(self, story: Story) -> None:
        self.log = story.folder / "log"
        self.killed: set[int] = set()
        self._plugins = PluginFolder(story.plugins)
        self.write("1.0")

    def write(self, version: str, loading: str = "pass") -> None:
        """Write a version of it."""
        code = CODE.replace("LOGFILE", str(self.log)).replace("VERSION", version).replace("LOADING", loading)
        self._plugins.folder("cron", version, MANIFEST, cron=code)

    def begun(self) -> list[tuple[int, str]]:
        """Process and version of each time at which the work began, after nobody was seen to do it beside another."""
        doing: int | None = None
        begun = []
        for what, pid, version in map(str.split, Path(self.log).read_text().splitlines()):
            if what == "begin":
                assert doing is None or doing in self.killed, f"{pid} begins while {doing} is at work"
                doing = int(pid)
                begun.append((doing, version))
            assert doing == int(pid), f"{pid} says {what!r}, and {doing} is at work"
            doing = None if what == "end" else doing
        return begun


@pytest.fixture
def cron(story: Story) -> Cron:
    return Cron(story)


async def leader(server: Server, *others: int) -> int:
    """Wait until one worker leads which is none of `others`."""

    def leading(status: StatusView) -> list[int]:
        return [slot.pid for slot in status.slots if slot.leads and slot.pid not in others]

    # Who has passed it on says so a heartbeat later: until then two seem to lead.
    [pid] = leading(await status_when(server, lambda status: len(leading(status)) == 1))
    return pid


async def until_begun(cron: Cron, times: int) -> list[tuple[int, str]]:
    async with asyncio.timeout(15):
        while not cron.log.exists() or len(begun := cron.begun()) < times:
            await asyncio.sleep(0.02)
    return begun


async def test_one_worker_leads_over_swaps_and_refusals_and_whoever_is_killed_is_followed_by_another(
    story: Story, cron: Cron
) -> None:
    async with story.server(3, env=OFTEN) as server:
        first = await leader(server)
        cron.write("1.1")
        assert isinstance(await server.reload(), Committed)
        assert await until_begun(cron, 2) == [(first, "1.0"), (first, "1.1")]
        cron.write("1.2", loading='raise ValueError("not today")')
        assert isinstance(await server.reload(), Refused)
        cron.write("1.3")
        cron.killed.add(first)
        kill(first)
        await gone(first)
        second = await leader(server, first)
        assert isinstance(await server.reload(), Committed)
        begun = await until_begun(cron, 4)
        assert begun[2:] == [(second, "1.1"), (second, "1.3")]
        moved = await until_told(server, LeadershipMoved, 2)
        assert [record.pid for record in moved] == [first, second]
    assert len(cron.begun()) == 4
    assert cron.log.read_text().splitlines()[-1] == f"end {second} 1.3"


async def test_a_roll_passes_it_on_to_new_processes(story: Story, cron: Cron) -> None:
    async with story.server(2, env=OFTEN) as server:
        old = [slot.pid for slot in (await server.status()).slots]
        first = await leader(server)
        for version in ("1.1", "1.2"):
            cron.write(version)
            assert isinstance(await server.reload(strategy=Strategy.ROLL), Committed)
        last = await leader(server, *old)
        assert (await until_begun(cron, 2))[0] == (first, "1.0")
        await status_when(server, lambda status: len(status.slots) == 2)
        async with asyncio.timeout(15):
            while cron.begun()[-1] != (last, "1.2"):
                last = await leader(server, *old)
    cron.begun()


async def test_recycled_workers_and_those_that_are_too_many_pass_it_on(story: Story, cron: Cron) -> None:
    async with story.server(2, "--max-worker-lifetime=1s", "--max-worker-lifetime-jitter=1s", env=OFTEN) as server:
        first = await leader(server)
        second = await leader(server, first)
        server.signal(signal.SIGTTIN)
        await status_when(server, lambda status: len(status.slots) >= 3)
        server.signal(signal.SIGTTOU)
        await leader(server, first, second)
        assert len(await until_begun(cron, 3)) >= 3
    cron.begun()


async def test_the_list_of_plugins_says_where_it_runs(story: Story, cron: Cron) -> None:
    async with story.server(2, env=OFTEN) as server:
        pid = await leader(server)
        await until_begun(cron, 1)
        view = await server.plugins()
        [plugin] = view.plugins
        [slot] = [slot.slot for slot in (await server.status()).slots if slot.pid == pid]
        assert [copy.slot for copy in plugin.copies if copy.leads] == [slot]
        assert f"2 active (slot {slot} leads)" in "\n".join(lines(view, 0.0))


@pytest.mark.skipif(landlock.abi() < landlock.LEAST_ABI, reason="the kernel has no Landlock that is new enough")
async def test_workers_that_may_write_little_lead(story: Story, cron: Cron) -> None:
    (story.folder / "logs").mkdir()
    cron.log = story.folder / "logs" / "log"
    cron.write("1.0")
    confined = {"CHANGEOVER_LANDLOCK": "true", "CHANGEOVER_WRITABLE": str(cron.log.parent)}
    async with story.server(2, env=OFTEN | confined) as server:
        assert [pid for pid, _ in await until_begun(cron, 1)] == [await leader(server)]
