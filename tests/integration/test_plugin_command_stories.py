"""Plugins of a running server: listed with what every worker has of them, and taken out of what serves."""

import asyncio
from collections.abc import Callable

from changeover.server import Committed, Refused, Server
from changeover.supervisor.artifacts.survey import DiskState
from changeover.supervisor.core.retirement import State
from changeover.supervisor.plugins import ListedPlugin
from tests.service import Story, status_when

NEEDS_SHOP = """# /// script
# requires-python = ">=3.11"
# [tool.changeover]
# id = "tax"
# version = "1.0"
# requires = { shop = ">=1" }
# ///
"""


async def until_held(server: Server) -> None:
    """Wait until a request has its lease."""
    async with asyncio.timeout(20):
        while not any(slot.leases for slot in (await server.leases()).slots):
            await asyncio.sleep(0.02)


async def listed_when(server: Server, plugin: str, wanted: Callable[[ListedPlugin], bool]) -> ListedPlugin:
    """The first listing of a plugin for which `wanted(listing)` holds."""
    async with asyncio.timeout(20):
        while True:
            for each in (await server.plugins()).plugins:
                if each.id == plugin and wanted(each):
                    return each
            await asyncio.sleep(0.02)


def states(plugin: ListedPlugin) -> list[tuple[int, str]]:
    return [(copy.since, copy.state) for copy in plugin.copies]


async def test_a_plugin_is_listed_with_each_copy_of_it_until_the_old_one_is_released(story: Story) -> None:
    story.write("1.0")
    async with story.server(2) as server:
        slow = await story.connect(server)
        await slow.ask("/shop/slow")
        await until_held(server)
        first = await listed_when(server, "shop", lambda it: states(it) == [(1, "Active"), (1, "Active")])
        assert [copy.slot for copy in first.copies] == [0, 1]
        assert first.disk is not None
        assert (first.version, first.disk.state, first.disk.digest) == ("1.0", DiskState.SAME, first.digest)
        story.write("1.1")
        lying = await listed_when(server, "shop", lambda it: it.disk is not None and it.disk.version == "1.1")
        assert lying.disk is not None
        assert (lying.version, lying.disk.state) == ("1.0", DiskState.CHANGED)
        assert isinstance(await server.reload(), Committed)
        old_and_new = [(1, "Draining"), (2, "Active")]  # an old copy stays in every worker until no request uses any
        drains = await listed_when(server, "shop", lambda it: states(it) == [*old_and_new, *old_and_new])
        assert (drains.version, drains.digest, drains.since) == ("1.1", lying.disk.digest, 2)
        used = await status_when(server, lambda it: [len(older.slots) for older in it.draining] == [1])
        assert [(older.id, older.since, older.state) for older in used.draining] == [("shop", 1, State.DRAINING)]
        story.open_gate()
        await slow.answer()
        await status_when(server, lambda it: not it.draining)
        await listed_when(server, "shop", lambda it: states(it) == [(2, "Active"), (2, "Active")])


async def test_a_plugin_is_removed_under_its_requests_and_stays_away_over_reloads_and_a_restart(story: Story) -> None:
    story.write("1.0")
    story.write("1.0", id="ads", mount="/ads")
    async with story.server(2) as server:
        slow = await story.connect(server)
        await slow.ask("/ads/slow")
        await until_held(server)
        removed = await server.remove_plugin("ads", label="no more ads")
        assert isinstance(removed, Committed)
        assert (await story.get(server, "/ads")).status == 404
        assert (await story.get(server, "/shop")).words[:2] == ["1.0", str(removed.serving)]
        story.open_gate()
        assert (await slow.answer()).words[:2] == ["1.0", "1"]
        held = await server.reload()
        assert isinstance(held, Refused)
        assert "ads 1.0" in held.reason + " ".join(held.summary)
        gone = await listed_when(server, "ads", lambda it: not it.copies)
        assert gone.disk is not None
        assert (gone.version, gone.disk.state) == ("", DiskState.HELD)
    async with story.server(2) as server:
        assert (await story.get(server, "/ads")).status == 404
        assert isinstance(await server.reload(force=True), Committed)
        assert (await story.get(server, "/ads")).status == 200


async def test_a_rollback_undoes_a_removal_and_leaves_what_was_served_with_it_alone(story: Story) -> None:
    story.write("1.0")
    async with story.server(2) as server:
        story.write("1.0", id="ads", mount="/ads")
        assert isinstance(await server.reload(), Committed)
        story.write("2.0")
        assert isinstance(await server.reload(), Committed)
        assert isinstance(await server.remove_plugin("ads"), Committed)
        assert (await story.get(server, "/ads")).status == 404
        assert isinstance(await server.rollback(), Committed)
        assert (await story.get(server, "/ads")).words[0] == "1.0"
        assert (await story.get(server, "/shop")).words[0] == "2.0"


async def test_what_another_plugin_requires_is_not_removed(story: Story) -> None:
    story.write("1.0")
    (story.plugins / "tax.py").write_text(NEEDS_SHOP)
    async with story.server(1) as server:
        refused = await server.remove_plugin("shop")
        assert isinstance(refused, Refused)
        assert "tax 1.0 requires shop >=1: remove tax first" in refused.reason
        assert (await story.get(server, "/shop")).status == 200
