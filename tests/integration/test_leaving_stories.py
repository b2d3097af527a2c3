"""A worker that leaves with an open WebSocket is shown with what it holds, and keeps nothing of others from release."""

import asyncio
import re
import sys

import websockets

from changeover.server import Committed, Milestone, Server, Strategy
from changeover.supervisor.cli.exits import Exit
from changeover.supervisor.cli.leases import lines
from changeover.supervisor.control import SlotState
from changeover.supervisor.core.records.retirement import EpochRetired
from changeover.supervisor.remaining import SlotLeaks, SlotLeases
from changeover.workers.protocol.messages import LeaseView
from tests.integration.test_plugin_life_stories import until_told
from tests.integration.test_websocket_stories import said, url
from tests.service import Story, gone, status_when
from tests.waits import until

CHAT = '''# /// script
# requires-python = ">=3.11"
# [tool.changeover]
# id = "chat"
# version = "{version}"
# plugin = "chat:Chat"
# services = {{ chat = {{ mount = "/chat" }} }}
# ///
"""Version {version}, which says when it is unloaded."""
import os

from changeover.plugin import CallContext, Plugin, WebSocket, websocket


class Chat(Plugin[None]):
    def on_unload(self) -> None:
        print(f"{{os.getpid()}} unloads {version}", flush=True)

    @websocket
    async def chat(self, socket: WebSocket, call: CallContext) -> None:
        await socket.accept()
        async for message in socket:
            await socket.send(f"{version} {{call.epoch}} {{message}}")
'''
SWAPS = 5
UNIT = "plugin chat"
OFTEN = {"CHANGEOVER_DEADLINES_HEARTBEAT": "200ms", "CHANGEOVER_DRAIN_MAX_RESIDENT": "2"}


def write(story: Story, version: int) -> None:
    (story.plugins / "chat.py").write_text(CHAT.format(version=version))


def unloaded(server: Server, *pids: int) -> list[tuple[int, int]]:
    """Which worker unloaded which version, in order."""
    found = re.findall(r"^(\d+) unloads (\d+)$", server.logs, re.MULTILINE)
    return [(int(pid), int(version)) for pid, version in found if int(pid) in pids]


async def seen(server: Server, pids: tuple[int, ...], wanted: list[tuple[int, int]]) -> None:
    """Wait until these were unloaded, in this order, and nothing else was."""
    await until(lambda: len(unloaded(server, *pids)) >= len(wanted), f"{wanted} to be unloaded")
    assert unloaded(server, *pids) == wanted


async def roll(server: Server) -> tuple[int, int]:
    """New processes serve the same; the pids of the only worker before and after."""
    [old] = (await server.status()).slots
    assert isinstance(await server.reload(strategy=Strategy.ROLL, force=True), Committed)
    status = await status_when(server, lambda status: SlotState.YIELDING in [slot.state for slot in status.slots])
    [new] = [slot.pid for slot in status.slots if slot.state is SlotState.SERVING]
    return old.pid, new


async def leases(server: Server, pid: int) -> SlotLeases:
    [found] = [slot for slot in (await server.leases()).slots if slot.pid == pid]
    return found


async def leaks(server: Server, pid: int) -> SlotLeaks:
    [found] = [slot for slot in (await server.leaks()).slots if slot.pid == pid]
    return found


async def typed(story: Story, *words: str) -> tuple[int | None, str]:
    """Type a command: its exit status, and what it says."""
    run = (sys.executable, "-m", "changeover", *words, "--runtime-dir", str(story.folder / "runtime"))
    command = await asyncio.create_subprocess_exec(*run, stdout=asyncio.subprocess.PIPE)
    said, _ = await command.communicate()
    return command.returncode, said.decode()


async def retired(server: Server, number: int) -> list[int]:
    """Epochs in the order in which they were retired, once there are so many."""
    return [record.epoch for record in await until_told(server, EpochRetired, number)]


async def test_what_a_worker_holds_that_leaves_is_shown_as_long_as_it_does(story: Story) -> None:
    write(story, 0)
    async with story.server(1) as server:
        async with websockets.connect(url(server, "/chat")) as client:
            assert await said(client) == "0 1 hi"
            old, new = await roll(server)
            held = await leases(server, old)
            [lease] = held.leases
            assert (held.state, lease) == (SlotState.YIELDING, LeaseView("websocket", 1, "/chat", lease.age))
            [later] = (await leases(server, old)).leases
            assert 0 < lease.age < later.age < 60
            assert (await leases(server, new)).leases == ()
            heading, shown = lines(await server.leases())
            assert heading.split() == ["epoch", "kind", "age", "slot", "pid", "worker", "path"]
            assert shown.split() == ["1", "websocket", *shown.split()[2:4], "0", str(old), "handing", "over", "/chat"]
            states = {slot.pid: (slot.state, slot.resident[UNIT]) for slot in (await server.leaks()).slots}
            assert states == {old: (SlotState.YIELDING, 1), new: (SlotState.SERVING, 1)}
            assert await said(client) == "0 1 hi"
        await gone(old)
        await status_when(server, lambda status: [slot.pid for slot in status.slots] == [new])
        view = await server.leases()
        assert ([slot.pid for slot in view.slots], view.silent) == ([new], ())


async def test_beside_a_worker_that_leaves_each_version_is_released_and_its_own_when_it_is_gone(story: Story) -> None:
    write(story, 0)
    async with story.server(1, env=OFTEN) as server:
        async with websockets.connect(url(server, "/chat")) as client:
            assert await said(client) == "0 1 hi"
            old, new = await roll(server)
            for version in range(1, SWAPS + 1):
                write(story, version)
                # Epochs 1 and 2 are of the version that the old worker serves; what came after never was there.
                milestone = Milestone.ACTIVE if version == 1 else Milestone.RETIRED
                assert isinstance(await server.reload(until=milestone), Committed)
                assert (await leaks(server, new)).resident[UNIT] <= 2
            assert await retired(server, SWAPS - 1) == list(range(3, SWAPS + 2))
            await seen(server, (old, new), [(new, version) for version in range(SWAPS)])
            assert (await leaks(server, new)).resident[UNIT] == (await leaks(server, old)).resident[UNIT] == 1
            assert await said(client) == "0 1 hi"
            [draining] = (await server.status()).draining
            assert (draining.id, draining.since, draining.slots) == ("chat", 1, (0,))
        await gone(old)
        assert await retired(server, SWAPS + 1) == [*range(3, SWAPS + 2), 1, 2]
        await seen(server, (old, new), [*((new, version) for version in range(SWAPS)), (old, 0)])
        status = await status_when(server, lambda status: status.resident == 1)
        assert (status.draining, [slot.pid for slot in status.slots]) == ((), [new])
        assert [(slot.pid, slot.leaks, slot.resident[UNIT]) for slot in (await server.leaks()).slots] == [(new, (), 1)]


async def test_a_roll_of_the_same_content_is_drained_when_the_last_worker_that_it_replaced_is_gone(
    story: Story,
) -> None:
    write(story, 0)
    async with story.server(1) as server:
        async with websockets.connect(url(server, "/chat")) as client:
            assert await said(client) == "0 1 hi"
            [old] = [slot.pid for slot in (await server.status()).slots]
            roll_of_the_same = ("reload", "--strategy", "roll", "--force", "--until", "drained")
            drained = asyncio.create_task(typed(story, *roll_of_the_same))
            await status_when(server, lambda status: [slot.epoch for slot in status.slots] == [1, 2])
            write(story, 1)
            assert isinstance(await server.reload(), Committed)
            assert await said(client) == "0 1 hi"
            assert not drained.done()
        exit, told = await asyncio.wait_for(drained, 20)
        assert exit == Exit.DONE
        assert "drained: " in told
        assert old not in [slot.pid for slot in (await server.status()).slots]
