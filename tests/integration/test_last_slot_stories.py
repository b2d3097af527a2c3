"""Requests that kill every worker again and again, while the code boots: somebody always comes back."""

import asyncio
import time

import pytest

from changeover.server import Server
from changeover.supervisor.control import SlotState
from changeover.supervisor.core.records.staffing import LastSlotWaits, SlotParked
from tests.rehearsals import told
from tests.service import Story, all_given_up, logged, status_when

KILLS = """    if request.path.endswith("/poison"):
        ctypes.string_at(0)
"""
MARK = '    if request.path.endswith("/slow"):\n'
SOON = 8.0
"""Seconds in which the last slot has its next worker, and that one serves: it waits for 4 s at most."""


@pytest.fixture
def poisoned(story: Story) -> Story:
    """A service that one path kills, with a real segmentation fault."""
    story.write("1.0", top="import ctypes")
    file = story.plugins / "shop.py"
    file.write_text(file.read_text().replace(MARK, KILLS + MARK))
    return story


async def kill_one(story: Story, server: Server) -> None:
    """A request that ends the worker that takes it."""
    connection = await story.connect(server)
    await connection.ask("/shop/poison")
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await connection.answer()


@pytest.mark.parametrize(("workers", "deadly"), [(1, 7), (2, 12)])
async def test_after_requests_that_kill_every_worker_the_next_good_one_is_answered_within_seconds(
    poisoned: Story, workers: int, deadly: int
) -> None:
    async with poisoned.server(workers) as server:
        for _ in range(deadly):
            await kill_one(poisoned, server)
        since = time.monotonic()
        assert (await poisoned.get(server, "/shop")).status == 200
        assert time.monotonic() - since < SOON
        parked = [slot.state for slot in (await server.status()).slots].count(SlotState.PARKED)
        assert parked == len(await told(server, SlotParked)) == workers - 1


async def test_status_and_log_say_why_the_last_slot_is_not_parked(poisoned: Story) -> None:
    async with poisoned.server(1) as server:
        for _ in range(5):
            await kill_one(poisoned, server)
        status = await status_when(server, all_given_up)
        [slot] = status.slots
        assert "5 exits in 60 s (was ended by signal 11" in slot.note
        assert "; not parked, because no other slot could serve; next try in " in slot.note
        [waits] = await told(server, LastSlotWaits)
        assert (waits.slot, waits.seconds) == (0, 4.0)
        await logged(server, "slot 0 gets its next worker in 4")
        await logged(server, "it is not parked, because no other slot could serve")
