"""Real workers prove that what they released is gone, name what is not, and are replaced when that is too much."""

from changeover.server import Committed, LeaksView, Server
from changeover.supervisor.core.records.retirement import LeakFound, ReleaseProved
from changeover.supervisor.core.records.worker import WorkerTired
from tests.integration.test_plugin_life_stories import told, until_told
from tests.service import Story, gone, logged, status_when

APP = """
HOOKS = []


async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})
"""
PRICING = '''# /// script
# requires-python = ">=3.11"
# [tool.changeover]
# id = "pricing"
# version = "1.{number}"
# plugin = "pricing:Pricing"
# services = {{ price = {{ mount = "/price" }} }}
# ///
"""Registers with the application that it runs beside."""
import main

from changeover.plugin import CallContext, Plugin, Request, Response, service


class Pricing(Plugin[None]):
    def on_activate(self) -> None:
        main.HOOKS.append(self.price)

    def on_unload(self) -> None:
        {unload}

    @service
    async def price(self, request: Request, call: CallContext) -> Response:
        return Response.text("{number}")
'''
TAKES_BACK = "main.HOOKS.remove(self.price)"
FORGETS = "pass"
OFTEN = {"CHANGEOVER_DEADLINES_HEARTBEAT": "200ms"}


def write(story: Story, number: int, unload: str) -> None:
    """Write a version of the plugin, and the application."""
    (story.folder / "main.py").write_text(APP)
    (story.plugins / "pricing.py").write_text(PRICING.format(number=number, unload=unload))


async def swap(story: Story, server: Server, number: int, unload: str) -> None:
    write(story, number, unload)
    assert isinstance(await server.reload(), Committed)


async def test_what_takes_back_what_it_did_is_proved_to_be_gone_one_worker_after_the_other(story: Story) -> None:
    write(story, 0, TAKES_BACK)
    async with story.server(2, app="main:app") as server:
        await swap(story, server, 1, TAKES_BACK)
        proved = await until_told(server, ReleaseProved, 2)
        assert {record.worker.slot for record in proved} == {0, 1}
        assert all("plugin pricing" in map(str, (key.ref for key in record.units)) for record in proved)
        assert [record.leaks for record in proved] == [0, 0]
        assert all(0 < record.pause < 5 for record in proved)
        assert await told(server, LeakFound) == []
        leaks = await server.leaks()
        assert [slot.leaks for slot in leaks.slots] == [(), ()]
        assert [slot.resident["plugin pricing"] for slot in leaks.slots] == [1, 1]
        status = await status_when(server, lambda status: status.resident == 1)
        assert (status.counts.proofs, status.counts.leaks) == (2, 0)
        assert status.counts.longest_pause == max(record.pause for record in proved)


async def test_what_does_not_is_named_with_what_holds_it_in_what_was_preloaded(story: Story) -> None:
    write(story, 0, FORGETS)
    async with story.server(1, app="main:app", env=OFTEN) as server:
        await swap(story, server, 1, TAKES_BACK)
        [leak] = await until_told(server, LeakFound, 1)
        assert (leak.worker.slot, leak.what) == (0, "module pricing.py is alive")
        assert leak.chain == ("module main.HOOKS", "list", "method Pricing.price", "function Pricing.price")
        view: LeaksView = await server.leaks()
        [named] = view.slots[0].leaks
        assert (named.unit, named.chain) == (leak.unit, leak.chain)
        assert view.slots[0].resident["plugin pricing"] == 2
        status = await status_when(server, lambda status: status.slots[0].leaked == 1)
        assert any("see: changeover leaks" in alarm for alarm in status.alarms)
        await logged(server, "but module pricing.py is alive, held by module main.HOOKS -> list")
        await swap(story, server, 2, TAKES_BACK)
        await until_told(server, ReleaseProved, 2)
        assert len(await told(server, LeakFound)) == 1


async def test_a_worker_that_keeps_too_many_copies_is_replaced_by_one_that_serves_first(story: Story) -> None:
    write(story, 0, FORGETS)
    env = OFTEN | {"CHANGEOVER_RECYCLE_LEAKS": "2"}
    async with story.server(1, app="main:app", env=env) as server:
        idle = await story.connect(server)
        [old] = [slot.pid for slot in (await server.status()).slots]
        for number in (1, 2):
            assert (await idle.get("/price")).status == 200
            await swap(story, server, number, FORGETS)
        [tired] = await until_told(server, WorkerTired, 1)
        assert (tired.pid, tired.reason) == (old, "2 copies of what it released are not gone")
        await gone(old)
        assert (await idle.get("/price")).body == "2"
        status = await status_when(server, lambda status: [slot.leaked for slot in status.slots] == [0])
        assert status.counts.restarts == 0
