"""Plugins that installed distributions announce, in real workers: served, upgraded by a roll, and never mixed."""

import pytest

from changeover.server import Committed, NeedsRoll, Refused, Server, Strategy
from changeover.supervisor.artifacts.survey import DiskState
from changeover.supervisor.control import SlotState
from tests.environments import Environment
from tests.service import Story, kill, status_when
from tests.site_packages import SitePackages

CODE = '''"""Says who and what it is."""
import os
from pathlib import Path

from changeover.plugin import CallContext, LoadContext, Plugin, Request, Response, service


class Geo(Plugin[None]):
    def on_load(self, ctx: LoadContext) -> None:
        self.rules = ctx.resource("rules").text()

    @service
    async def where(self, request: Request, call: CallContext) -> Response:
        import geo_plugin.late
        return Response.text(f"{version} {{geo_plugin.late.VERSION}} {{self.rules}} {{os.getpid()}} {{call.epoch}}")
'''
MORE = (
    'plugin = "geo_plugin.geo:Geo"\nservices = { where = "/where" }\nresources = { rules = { path = "rules.txt" } }\n'
)


def install(site: SitePackages, version: str) -> None:
    late = f"VERSION = {version!r}\n"
    folder = site.plugin("geo", version, MORE, geo=CODE.format(version=version), late=late)
    (folder / "rules.txt").write_text(f"rules-{version}")


@pytest.fixture
def site(story: Story) -> SitePackages:
    made = SitePackages(story.folder.with_name(f"{story.folder.name}-site"))
    install(made, "1.2")
    return made


def path(site: SitePackages) -> dict[str, str]:
    return {"PYTHONPATH": str(site.path)}


async def words(story: Story, server: Server) -> list[str]:
    return (await story.get(server, "/where")).words


async def test_it_serves_from_the_environment_and_is_upgraded_by_a_roll(story: Story, site: SitePackages) -> None:
    async with story.server(2, env=path(site)) as server:
        connection = await story.connect(server)
        *said, pid, epoch = (await connection.get("/where")).words
        assert (said, epoch) == (["1.2", "1.2", "rules-1.2"], "1")
        install(site, "1.3")
        left = await server.reload(strategy=Strategy.SWAP)
        assert isinstance(left, NeedsRoll)
        assert left.changed == ("geo (needs a roll: installed by geo-plugin==1.3)",)
        assert (await words(story, server))[:3] == ["1.2", "1.2", "rules-1.2"]
        outcome = await server.reload()
        assert isinstance(outcome, Committed)
        assert "geo 1.2 -> 1.3 (4 files; rolls: installed by geo-plugin==1.3)" in outcome.summary
        *said, other, epoch = (await connection.get("/where")).words
        assert (said, epoch, other != pid) == (["1.3", "1.3", "rules-1.3"], "2", True)


async def test_a_worker_that_would_load_another_version_than_its_neighbours_does_not_boot(
    story: Story, site: SitePackages
) -> None:
    async with story.server(2, env=path(site)) as server:
        install(site, "1.3")
        kill((await server.status()).slots[0].pid)
        reason = "geo was taken from geo-plugin==1.2, and geo-plugin==1.3 is installed now"
        await status_when(server, lambda s: reason in s.slots[0].note, deadline=30)
        assert (await words(story, server))[0] == "1.2"
        install(site, "1.2")
        await status_when(server, lambda s: all(slot.state is SlotState.SERVING for slot in s.slots), deadline=60)


async def test_code_of_it_that_does_not_load_changes_nothing_and_is_told_with_its_place(
    story: Story, site: SitePackages
) -> None:
    async with story.server(1, env=path(site)) as server:
        folder = site.plugin("geo", "1.3", MORE, geo="raise ValueError('no map')")
        (folder / "rules.txt").touch()
        outcome = await server.reload()
        assert isinstance(outcome, Refused)
        assert "ValueError: no map" in outcome.refusals[0].refusal.summary
        assert outcome.refusals[0].refusal.where == "geo.py:1"
        assert (await words(story, server))[0] == "1.2"


async def test_another_environment_brings_its_own(story: Story, site: SitePackages) -> None:
    other = Environment(story.folder / "other")
    install(SitePackages(other.packages), "2.0")
    async with story.server(1) as server:
        assert (await story.get(server, "/where")).status == 503
        outcome = await server.reload(python=other.python)
        assert isinstance(outcome, Committed)
        assert (await words(story, server))[0] == "2.0"


async def test_it_is_listed_beside_the_others(story: Story, site: SitePackages) -> None:
    story.write("1.0")
    async with story.server(1, env=path(site)) as server:
        before = {each.id: each for each in (await server.plugins()).plugins}
        assert (before["geo"].version, before["geo"].disk and before["geo"].disk.state) == ("1.2", DiskState.SAME)
        install(site, "1.3")
        [geo] = [each for each in (await server.plugins()).plugins if each.id == "geo"]
        assert geo.disk is not None
        assert (geo.disk.state, geo.disk.note) == (
            DiskState.CHANGED,
            "geo needs a roll: installed by geo-plugin==1.3",
        )
