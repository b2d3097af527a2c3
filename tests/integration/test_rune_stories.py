"""The tests that the model of hot reload names, told of an engine of rules and policies in a plugin.

There, readers share an engine behind one atomic pointer of a process; here every process has its
own, and what is swapped at one instant is the generation.
"""

from pathlib import Path

from changeover.server import Committed, Refused, Server
from tests.asking import asking
from tests.service import Story, logged, status_when

PLUGIN = '''
"""An engine: rules and policies, each from files of its own."""
import asyncio

from changeover.plugin import CallContext, LoadContext, Plugin, Request, Response, service


class Engine(Plugin[None]):
    def on_load(self, ctx: LoadContext) -> None:
        self.rules = ctx.resource("rules").toml()
        self.policies = ctx.resource("policies").toml()

    @service
    async def decide(self, request: Request, call: CallContext) -> Response:
        rules = self.rules["version"]
        await asyncio.sleep(0)
        return Response.text(f"{call.epoch} {rules} {self.policies['version']}")
'''
MANIFEST = """id = "rune"
version = "1.0"
plugin = "rune:Engine"
services = { decide = "/decide" }
resources = { rules = { path = "rules.toml" }, policies = { path = "policies.toml" } }
"""


class Rune:
    """The engine's folder."""

    def __init__(self, story: Story) -> None:
        self.folder = story.plugins / "rune"
        self.folder.mkdir()
        (self.folder / "plugin.toml").write_text(MANIFEST)
        (self.folder / "rune.py").write_text(PLUGIN)
        self.write(1)

    def write(self, version: int) -> None:
        """Change rules and policies."""
        self.put("rules.toml", f"version = {version}\n")
        self.put("policies.toml", f"version = {version}\n")

    def put(self, file: str, text: str) -> Path:
        path = self.folder / file
        path.write_text(text)
        return path


def decisions(told: list[str]) -> list[tuple[int, int, int]]:
    """Epoch, version of the rules, version of the policies."""
    return [(int(epoch), int(rules), int(policies)) for epoch, rules, policies in map(str.split, told)]


async def reload(server: Server) -> int:
    outcome = await server.reload()
    assert isinstance(outcome, Committed), outcome
    return outcome.serving


async def test_atomic_engine_swap(story: Story) -> None:
    """Every decision is one epoch's, whole; what is asked after a commit is decided by it."""
    rune = Rune(story)
    async with story.server(2) as server:
        async with asking(server.addresses[0], "/decide") as asked:
            for version in range(2, 6):
                rune.write(version)
                assert await reload(server) == version
                before = [len(each) for each in asked.answers]
                await asked.some()
                after = [each[count + 1 :] for each, count in zip(asked.answers, before, strict=True)]
                assert {each[0] for told in after for each in decisions(told)} == {version}
        assert asked.failed == []
        assert {epoch == rules == policies for epoch, rules, policies in decisions(asked.told)} == {True}


async def test_concurrent_read_write(story: Story) -> None:
    """Readers never go back, whichever process answers them."""
    rune = Rune(story)
    async with story.server(2) as server:
        async with asking(server.addresses[0], "/decide", 12) as asked:
            for version in range(2, 8):
                rune.write(version)
                await reload(server)
        assert asked.failed == []
        for told in asked.answers:
            epochs = [epoch for epoch, _, _ in decisions(told)]
            assert epochs == sorted(epochs)


async def test_file_watcher_notifications(story: Story) -> None:
    rune = Rune(story)
    async with story.server(1, env={"CHANGEOVER_PLUGINS_RELOAD": "on-change"}) as server:
        rune.put("rules.toml", "version = 2\n")
        await status_when(server, lambda status: status.epoch == 2)
        assert (await story.get(server, "/decide")).body == "2 2 1"
        await logged(server, "rules.toml")


async def test_hot_reload_under_load(story: Story) -> None:
    """Rules alone leave policies as they were, and no decision fails."""
    rune = Rune(story)
    async with story.server(2) as server:
        async with asking(server.addresses[0], "/decide", 12) as asked:
            for version in range(2, 6):
                rune.put("rules.toml", f"version = {version}\n")
                await reload(server)
                await asked.some()
        assert asked.failed == []
        assert set(decisions(asked.told)) == {(version, version, 1) for version in range(1, 6)}


async def test_invalid_config_rollback(story: Story) -> None:
    """What cannot be read is refused, and what served serves on, without a failure in between."""
    rune = Rune(story)
    async with story.server(2) as server:
        async with asking(server.addresses[0], "/decide") as asked:
            rune.put("policies.toml", "version = \n")
            outcome = await server.reload()
            assert isinstance(outcome, Refused)
            assert "policies.toml" in outcome.refusals[0].refusal.summary
            await asked.some()
        assert asked.failed == []
        assert set(decisions(asked.told)) == {(1, 1, 1)}
        rune.write(2)
        assert await reload(server) == 3
        assert (await story.get(server, "/decide")).body == "3 2 2"


async def test_zero_downtime_reload(story: Story) -> None:
    """No connection is closed and no process replaced, however often."""
    rune = Rune(story)
    async with story.server(2) as server:
        pids = [slot.pid for slot in (await server.status()).slots]
        async with asking(server.addresses[0], "/decide") as asked:
            for version in range(2, 12):
                rune.write(version)
                await reload(server)
            await asked.some()
        assert asked.failed == []
        assert [slot.pid for slot in (await server.status()).slots] == pids
        assert {decisions([told[-1]])[0] for told in asked.answers} == {(11, 11, 11)}
