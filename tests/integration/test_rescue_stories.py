"""New code that kills every worker at its first request is taken back, by itself."""

import asyncio
import time
from pathlib import Path

import pytest

from changeover.server import Committed, Refused, Server, ServerFailed
from changeover.supervisor.control import ZygoteState
from changeover.supervisor.core.entries import Trigger
from tests.integration.test_adoption_stories import ORPHAN, alive, all_serve, zygote_of
from tests.integration.test_roll_stories import Shop, alone, serving
from tests.service import Answer, Story, gone, kill, status_when
from tests.waits import until

SEGFAULT = """
class Version:
    def __format__(self, spec):
        os.kill(os.getpid(), 11)

VERSION = Version()
"""


def title(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


async def answered(story: Story, server: Server) -> Answer:
    """The first whole answer; connections that a crash broke are opened again."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await story.get(server, "/")
            except (OSError, asyncio.IncompleteReadError):
                await asyncio.sleep(0.01)


async def test_a_version_that_crashes_in_every_worker_is_taken_back_without_an_import(story: Story) -> None:
    shop = Shop(story)
    async with story.server(2, app="main:app") as server:
        shop.write("2", top=SEGFAULT)
        assert isinstance(await server.reload(), Committed)
        answer = await answered(story, server)
        assert answer.words[0] == "1"
        await alone(server, 2)
        status = await status_when(server, lambda status: status.serving is not None and status.serving.epoch == 3)
        assert {slot.cohort for slot in status.slots} == {1}
        assert status.serving is not None
        assert (status.epoch, status.serving.origin.trigger, status.serving.restores) == (3, Trigger.RESCUE, 1)
        [alarm] = status.alarms
        assert "all workers of epoch 2 crashed" in alarm
        assert "was ended by signal 11" in alarm
        told = await server.reload()
        assert isinstance(told, Refused)
        assert "held" in told.reason
        await shop.roll(server, "3")
        assert (await server.status()).alarms == ()


async def test_the_zygote_that_is_kept_is_named_with_the_time_until_which_it_is_there(story: Story) -> None:
    shop = Shop(story)
    async with story.server(1, app="main:app", env={"CHANGEOVER_DEADLINES_RESCUE": "3"}) as server:
        replaced = zygote_of(*serving(await alone(server, 1)))
        await shop.roll(server, "2")
        kept, forking = (await server.status()).zygotes
        assert (kept.cohort, kept.state, kept.epoch) == (1, ZygoteState.KEPT, 1)
        assert 0.0 < kept.until - time.time() <= 3.0
        assert (forking.cohort, forking.state, forking.until) == (2, ZygoteState.READY, 0.0)
        assert " zygote 1 [" in title(replaced)
        await status_when(server, lambda status: [each.cohort for each in status.zygotes] == [2])
        assert not alive(replaced)


async def test_without_a_time_for_it_the_crashing_version_is_left_to_people(story: Story) -> None:
    shop = Shop(story)
    async with story.server(1, app="main:app", env={"CHANGEOVER_DEADLINES_RESCUE": "0"}) as server:
        shop.write("2", top=SEGFAULT)
        assert isinstance(await server.reload(), Committed)
        for _ in range(2):
            connection = await story.connect(server)
            await connection.ask("/")
            assert await connection.at_end()
        await status_when(server, lambda status: status.counts.restarts == 2)
        assert (await server.status()).epoch == 2


async def test_a_supervisor_that_starts_after_a_rescue_adopts_its_workers_and_the_zygote_that_made_them(
    story: Story,
) -> None:
    shop = Shop(story)
    with pytest.raises(ServerFailed):
        async with story.server(2, app="main:app", env=ORPHAN) as first:
            shop.write("2", top=SEGFAULT)
            assert isinstance(await first.reload(), Committed)
            assert (await answered(story, first)).words[0] == "1"
            before = serving(await alone(first, 2))
            zygote = zygote_of(before[0])
            kill(first.pid)
            await until(lambda: not alive(first.pid), "the supervisor to be dead")
    async with story.server(2, app="main:app", env=ORPHAN) as second:
        assert await all_serve(second) == before
        kill(before[0])
        await gone(before[0])
        after = await all_serve(second)
        assert before[1] in after
        assert {zygote_of(pid) for pid in after} == {zygote}
        assert (await story.get(second, "/")).words[0] == "1"
