"""The life of a plugin in real workers: its state goes from version to version, and its moves and stalls are told."""

import asyncio
from collections import Counter
from typing import TypeVar

import msgspec

from changeover.server import Committed, Refused, Server
from changeover.supervisor.core.records.plugin import HookStalled, PluginsMoved, StateNotTaken
from changeover.supervisor.core.records.record import Record
from tests.plugin_folder import PluginFolder
from tests.service import Answer, Story, logged

R = TypeVar("R", bound=Record)

COUNTER = '''# /// script
# requires-python = ">=3.11"
# [tool.changeover]
# id = "counter"
# version = "{version}"
# plugin = "counter:Counter"
# services = {{ count = {{ mount = "/count" }} }}
# {state}
# ///
"""Counts the requests that each worker gets."""
import asyncio
import time
from pathlib import Path

from changeover.plugin import CallContext, Plugin, PluginVersion, Request, Response, service

GATE = Path("{gate}")


class Counter(Plugin[None]):
    def __init__(self, config: None) -> None:
        super().__init__(config)
        self.hits = 0

    def on_activate(self) -> None:
        time.sleep({stall})

    def export_state(self) -> bytes:
        {giving}

    def import_state(self, old: PluginVersion, state: bytes) -> None:
        {taking}

    def merge_state(self, old: PluginVersion, imported: bytes, latest: bytes) -> None:
        self.hits += int(latest) - int(imported or 0)

    @service
    async def count(self, request: Request, call: CallContext) -> Response:
        if request.path.endswith("/peek"):
            return Response.text(f"{{call.worker}} {{self.hits}}")
        while request.path.endswith("/slow") and not GATE.exists():
            await asyncio.sleep(0.005)
        self.hits += 1
        return Response.text(f"{{call.worker}} {version}")
'''
TAKES = 'state = ">=1"'
IMPORTS = "self.hits = int(state)"
EXPORTS = 'return b"%d" % self.hits'


def write(
    story: Story, version: str, state: str = TAKES, taking: str = IMPORTS, stall: float = 0.0, giving: str = EXPORTS
) -> None:
    """Write a version of the counter."""
    text = COUNTER.format(version=version, state=state, taking=taking, stall=stall, gate=story.gate, giving=giving)
    (story.plugins / "counter.py").write_text(text)


async def counted(story: Story, server: Server, slots: int) -> Counter[str]:
    """What each worker has counted."""
    seen: Counter[str] = Counter()
    async with asyncio.timeout(20):
        while len(seen) < slots:
            slot, hits = (await story.get(server, "/count/peek")).words
            seen[slot] = int(hits)
    return seen


async def told(server: Server, kind: type[R]) -> list[R]:
    """What was told of a kind."""
    events = [event for event in await server.told() if event.type == kind.__name__]
    return [msgspec.json.decode(event.record, type=kind) for event in events]


async def until_told(server: Server, kind: type[R], number: int) -> list[R]:
    """Wait until so many of a kind were told."""
    async with asyncio.timeout(20):
        while len(records := await told(server, kind)) < number:
            await asyncio.sleep(0.01)
    return records


async def test_no_count_is_lost_over_swaps_under_load_nor_of_a_request_that_outlives_two(story: Story) -> None:
    answers: list[Answer] = []

    async def visit() -> None:
        while not done.is_set():
            answers.append(await story.get(server, "/count"))

    done = asyncio.Event()
    write(story, "1.0")
    async with story.server(2) as server:
        slow = await story.connect(server)
        await slow.ask("/count/slow")
        visitors = [asyncio.create_task(visit()) for _ in range(4)]
        for version in ("1.1", "1.2"):
            write(story, version)
            assert isinstance(await server.reload(), Committed)
            async with asyncio.timeout(30):
                while version not in (answer.words[1] for answer in answers):
                    await asyncio.sleep(0.01)
        done.set()
        await asyncio.gather(*visitors)
        story.open_gate()
        answers.append(await slow.answer())
        expected = Counter(answer.words[0] for answer in answers)
        assert {answer.words[1] for answer in answers} == {"1.0", "1.1", "1.2"}
        assert answers[-1].words[1] == "1.0"
        async with asyncio.timeout(20):
            while await counted(story, server, 2) != expected:
                await asyncio.sleep(0.01)


async def test_a_version_that_takes_no_state_begins_afresh_and_that_is_told(story: Story) -> None:
    write(story, "1.0")
    async with story.server(1) as server:
        await story.get(server, "/count")
        write(story, "2.0", 'state = ">=1.5"')
        assert isinstance(await server.reload(), Committed)
        assert await counted(story, server, 1) == {"0": 0}
        [record] = await until_told(server, StateNotTaken, 1)
        assert (record.plugin, record.version, record.old) == ("counter", "2.0", "1.0")
        assert record.why == "its manifest takes the state of >=1.5"
        await logged(server, "counter 2.0 begins without the state of 1.0: its manifest takes the state of >=1.5")


async def test_state_that_cannot_be_imported_refuses_the_reload_and_the_old_version_counts_on(story: Story) -> None:
    write(story, "1.0")
    async with story.server(1) as server:
        await story.get(server, "/count")
        write(story, "2.0", taking='raise ValueError("what is this?")')
        outcome = await server.reload()
        assert isinstance(outcome, Refused)
        refusal = outcome.refusals[0].refusal
        assert (refusal.unit, refusal.hook) == ("plugin counter", "import_state")
        assert "ValueError: what is this?" in refusal.summary
        await story.get(server, "/count")
        assert await counted(story, server, 1) == {"0": 2}


RULES = """
from changeover.plugin import CallContext, LoadContext, Plugin, Request, Resource, Response, service

LOADED = object()


class Rules(Plugin[None]):
    async def on_load(self, ctx: LoadContext) -> None:
        self.load(ctx.resource("rules"))

    async def on_resources(self, changed: dict[str, Resource]) -> None:
        self.load(changed["rules"])

    def load(self, rules: Resource) -> None:
        self.word = rules.toml()["word"]

    @service
    async def ask(self, request: Request, call: CallContext) -> Response:
        return Response.text(f"{self.word} {id(LOADED)} {call.epoch}")
"""
MANIFEST = """
plugin = "rules:Rules"
services = { ask = "/ask" }
resources = { rules = { path = "rules.toml" } }
"""


async def test_changed_rules_are_taken_without_new_code_and_wrong_ones_refused(story: Story) -> None:
    async def asked() -> dict[str, tuple[str, str]]:
        """Slot -> the rule and the address of something in the module."""
        seen: dict[str, tuple[str, str]] = {}
        async with asyncio.timeout(20):
            while len(seen) < 2:
                answer = await story.get(server, "/ask")
                word, loaded, _ = answer.words
                seen[answer.headers["x-changeover-worker"]] = (word, loaded)
        return seen

    folder = PluginFolder(story.plugins).folder("rules", more=MANIFEST, rules=RULES)
    (folder / "rules.toml").write_text('word = "one"')
    async with story.server(2, "--epoch-header") as server:
        before = await asked()
        (folder / "rules.toml").write_text('word = "two"')
        assert isinstance(await server.reload(), Committed)
        after = await asked()
        assert {word for word, _ in after.values()} == {"two"}
        assert {slot: loaded for slot, (_, loaded) in after.items()} == {slot: it for slot, (_, it) in before.items()}
        (folder / "rules.toml").write_text("word = ")
        outcome = await server.reload()
        assert isinstance(outcome, Refused)
        assert outcome.refusals[0].refusal.hook == "on_resources"
        assert await asked() == after
        assert isinstance(await server.rollback(), Committed)
        assert await asked() == before


async def test_every_move_is_told_and_a_hook_that_stalls_the_loop_by_its_name(story: Story) -> None:
    write(story, "1.0")
    async with story.server(1) as server:
        write(story, "1.1", stall=0.2)
        assert isinstance(await server.reload(), Committed)
        [stall] = await until_told(server, HookStalled, 1)
        assert (stall.unit, stall.hook, stall.worker.slot) == ("plugin counter", "on_activate", 0)
        assert 0.2 <= stall.seconds < 10
        async with asyncio.timeout(20):
            while "Removed" not in (states := await moves(server, 1)):
                await asyncio.sleep(0.01)
        assert states == ["Loaded", "Linked", "Initialized", "Active", "Draining", "Removed"]
        assert (await moves(server, 2)) == ["Loaded", "Linked", "Initialized", "Active"]


async def moves(server: Server, since: int) -> list[str]:
    """The states to which the plugin of an epoch came."""
    records = await told(server, PluginsMoved)
    return [move.state for record in records for move in record.moves if move.key.since == since]
