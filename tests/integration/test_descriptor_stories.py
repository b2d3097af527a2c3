"""Rolls leave no descriptor behind: neither in the supervisor, which stays, nor in the processes that come."""

import asyncio

import psutil
from benchmarks.household import descriptors

from changeover.server import Committed, Milestone, Server
from changeover.supervisor.control import ZygoteState
from tests.integration.test_roll_stories import Shop, alone, serving, version
from tests.service import Story, status_when

ROLLS, CLIENTS = 5, 40
MOMENT = 0.3
"""Seconds in which what is on its way to be closed is closed."""


async def roll(story: Story, shop: Shop, server: Server, number: int) -> None:
    """Roll under connections that all go over, and close them."""
    connections = [await story.connect(server) for _ in range(CLIENTS)]
    assert {await version(connection) for connection in connections} == {f"{number - 1}"}
    shop.write(f"{number}")
    assert isinstance(await server.reload(until=Milestone.RETIRED), Committed)
    assert {await version(connection) for connection in connections} == {f"{number}"}
    for connection in connections:
        connection.close()
    await alone(server, 2)
    await status_when(server, lambda status: not any(slot.connections for slot in status.slots))
    await the_zygote_before_the_last_is_gone(server)


async def the_zygote_before_the_last_is_gone(server: Server) -> None:
    """It stays for half a second after the commit, and ends as fast as the machine lets it: with what is held of it."""
    wanted = [ZygoteState.KEPT, ZygoteState.READY]
    await status_when(server, lambda status: [zygote.state for zygote in status.zygotes] == wanted)


async def held(server: Server) -> list[dict[str, int]]:
    """What supervisor, zygote and workers hold open, once that stays the same for a moment."""
    workers = serving(await server.status())
    family = (server.pid, psutil.Process(workers[0]).ppid(), *workers)
    seen: list[dict[str, int]] = []
    async with asyncio.timeout(20):
        while seen != (seen := [descriptors(pid) for pid in family]):
            await asyncio.sleep(MOMENT)
    return seen


async def test_rolls_leave_no_descriptor_in_supervisor_zygote_or_workers(story: Story) -> None:
    shop = Shop(story)
    async with story.server(2, app="main:app") as server:
        await roll(story, shop, server, 2)
        before = await held(server)
        for number in range(3, 3 + ROLLS):
            await roll(story, shop, server, number)
        assert await held(server) == before
