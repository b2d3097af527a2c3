"""What all workers share is migrated by one of them before the commit, and undone when the cutover fails."""

import asyncio
import signal
from pathlib import Path

import pytest

from changeover.server import Committed, Outcome, Refused, Server, Strategy
from changeover.supervisor.core.records.plugin import MigrationDone, MigrationLeft, MigrationUndone
from tests.integration.test_plugin_life_stories import until_told
from tests.plugin_folder import PluginFolder
from tests.service import Story, logged

MANIFEST = 'plugin = "ledger:Ledger"\nservices = { ledger = { mount = "/ledger" } }\n'
CODE = """
import os
import signal
import time
from pathlib import Path

from changeover.plugin import CallContext, Plugin, PluginVersion, Request, Response, service

LOG = Path("LOGFILE")


def write(what: str) -> None:
    with LOG.open("a") as log:
        log.write(f"{what} {os.getpid()}\\n")


class Ledger(Plugin[None]):
    def migrate(self, old: PluginVersion) -> None:
        write(f"migrate {old.version} VERSION")
        MIGRATING

    async def unmigrate(self, old: PluginVersion) -> None:
        write(f"unmigrate {old.version} VERSION")
        BACK

    @service
    async def ledger(self, request: Request, call: CallContext) -> Response:
        return Response.text("VERSION")
"""


class Ledger:
    """A plugin that migrates something."""

    def __init__(self, story: Story) -> None:
        self._log = story.folder / "log"
        self._plugins = PluginFolder(story.plugins)
        self.write("1.0")

    def write(self, version: str, migrating: str = "pass", back: str = "pass") -> None:
        """Write a version of it."""
        code = CODE.replace("LOGFILE", str(self._log)).replace("VERSION", version).replace("MIGRATING", migrating)
        code = code.replace("BACK", back)
        self._plugins.folder("ledger", version, MANIFEST, ledger=code)

    def done(self) -> list[str]:
        """What was migrated and undone, in order."""
        return [line.rpartition(" ")[0] for line in self._lines()]

    def pids(self) -> list[int]:
        """In which processes."""
        return [int(line.rpartition(" ")[2]) for line in self._lines()]

    def _lines(self) -> list[str]:
        return Path(self._log).read_text().splitlines() if self._log.exists() else []


@pytest.fixture
def ledger(story: Story) -> Ledger:
    return Ledger(story)


async def versions(story: Story, server: Server) -> set[str]:
    return {(await story.get(server, "/ledger")).body for _ in range(6)}


async def test_a_swap_migrates_once_in_one_of_its_workers_and_a_rollback_once_more(
    story: Story, ledger: Ledger
) -> None:
    async with story.server(3) as server:
        assert ledger.done() == []
        ledger.write("2.0")
        assert isinstance(await server.reload(), Committed)
        assert ledger.done() == ["migrate 1.0 2.0"]
        [done] = await until_told(server, MigrationDone, 1)
        assert [done.pid] == ledger.pids()
        assert isinstance(await server.rollback(), Committed)
        assert ledger.done()[1:] == ["migrate 2.0 1.0"]
        assert await versions(story, server) == {"1.0"}


async def test_a_migration_that_fails_refuses_the_reload_and_is_undone(story: Story, ledger: Ledger) -> None:
    async with story.server(2) as server:
        ledger.write("2.0", migrating='raise ValueError("no such column")')
        outcome = await server.reload()
        assert isinstance(outcome, Refused)
        refusal = outcome.refusals[0].refusal
        assert (refusal.unit, refusal.hook, refusal.summary) == (
            "plugin ledger",
            "migrate",
            "ValueError: no such column",
        )
        assert ledger.done() == ["migrate 1.0 2.0", "unmigrate 1.0 2.0"]
        assert await versions(story, server) == {"1.0"}


async def test_what_cannot_be_undone_is_told_as_left(story: Story, ledger: Ledger) -> None:
    async with story.server(2) as server:
        ledger.write("2.0", migrating='raise ValueError("no such column")', back='raise ValueError("no way back")')
        assert isinstance(await server.reload(), Refused)
        [left] = await until_told(server, MigrationLeft, 1)
        assert left.reason == "slot 0: plugin ledger unmigrate: ValueError: no way back"
        assert await versions(story, server) == {"1.0"}


async def test_the_death_of_who_migrates_has_another_one_undo_it(story: Story, ledger: Ledger) -> None:
    async with story.server(2) as server:
        ledger.write("2.0", migrating="os.kill(os.getpid(), signal.SIGKILL)")
        outcome = await server.reload()
        assert isinstance(outcome, Refused)
        assert "was ended by signal 9" in outcome.reason
        await until_told(server, MigrationUndone, 1)
        assert ledger.done() == ["migrate 1.0 2.0", "unmigrate 1.0 2.0"]
        assert len(set(ledger.pids())) == 2
        assert await versions(story, server) == {"1.0"}


async def test_one_that_hangs_is_refused_at_its_deadline_and_undone(story: Story, ledger: Ledger) -> None:
    async with story.server(2, env={"CHANGEOVER_DEADLINES_HOOK": "300ms"}) as server:
        ledger.write("2.0", migrating="time.sleep(1.0)")
        outcome = await server.reload()
        assert isinstance(outcome, Refused)
        assert "not done within 0.3 s" in outcome.reason
        assert ledger.done() == ["migrate 1.0 2.0", "unmigrate 1.0 2.0"]


async def test_a_roll_migrates_in_one_of_its_new_processes_and_one_of_the_same_content_does_not(
    story: Story, ledger: Ledger
) -> None:
    async with story.server(2) as server:
        old = {slot.pid for slot in (await server.status()).slots}
        ledger.write("2.0")
        assert isinstance(await server.reload(strategy=Strategy.ROLL), Committed)
        assert ledger.done() == ["migrate 1.0 2.0"]
        assert not old & set(ledger.pids())
        assert isinstance(await server.reload(strategy=Strategy.ROLL, force=True), Committed)
        assert ledger.done() == ["migrate 1.0 2.0"]


async def test_a_roll_whose_migration_fails_is_undone_before_its_processes_leave(story: Story, ledger: Ledger) -> None:
    async with story.server(2) as server:
        ledger.write("2.0", migrating='raise ValueError("no such column")')
        assert isinstance(await server.reload(strategy=Strategy.ROLL), Refused)
        assert ledger.done() == ["migrate 1.0 2.0", "unmigrate 1.0 2.0"]
        assert await versions(story, server) == {"1.0"}


async def migrating(story: Story, server: Server, ledger: Ledger) -> "asyncio.Task[Outcome]":
    """A reload whose migration has begun, and lasts until the gate is opened."""
    ledger.write("2.0", migrating=f"while not Path({str(story.gate)!r}).exists(): time.sleep(0.01)")
    reload = asyncio.create_task(server.reload())
    async with asyncio.timeout(15):
        while not ledger.done():
            await asyncio.sleep(0.01)
    return reload


async def test_a_quick_stop_waits_for_what_is_under_way_and_has_it_undone(story: Story, ledger: Ledger) -> None:
    async with story.server(2) as server:
        reload = await migrating(story, server, ledger)
        server.signal(signal.SIGQUIT)
        await logged(server, "stopping (quick)")
        story.open_gate()
        await asyncio.wait_for(server._running().wait(), 20)
    await asyncio.gather(reload, return_exceptions=True)
    assert ledger.done() == ["migrate 1.0 2.0", "unmigrate 1.0 2.0"]


async def test_a_stop_in_the_middle_has_it_undone(story: Story, ledger: Ledger) -> None:
    async with story.server(2) as server:
        reload = await migrating(story, server, ledger)
        server.signal(signal.SIGTERM)
        await logged(server, "stopping (graceful)")
        story.open_gate()
        await asyncio.wait_for(server._running().wait(), 20)
    await asyncio.gather(reload, return_exceptions=True)
    assert ledger.done() == ["migrate 1.0 2.0", "unmigrate 1.0 2.0"]
