"""New code that kills every worker at its first request is taken back, by itself."""

import asyncio
import time
from pathlib import Path

import pytest

from changeover.server import Committed, OutcomeUnknown, Refused, Server, ServerFailed
from changeover.supervisor.control import ZygoteState
from changeover.supervisor.core.entries import Trigger
from changeover.supervisor.core.records.rescue import RescueBegan
from changeover.supervisor.core.records.staffing import ZygoteStarted
from changeover.workers.protocol.refusal import Stage
from tests.integration.test_adoption_stories import ORPHAN, alive, all_serve, zygote_of
from tests.integration.test_roll_stories import Shop, alone, serving
from tests.rehearsals import pids, told
from tests.service import Answer, Story, gone, kill, status_when
from tests.waits import until

SEGFAULT = """
class Version:
    def __format__(self, spec):
        os.kill(os.getpid(), 11)

VERSION = Version()
"""

NOTED = 'print(VERSION, file=open(FOLDER / "imported", "a"))'
"""Code of an application that writes down each import of it."""
PICKY = 'assert not (FOLDER / "moved on").exists(), "the database has moved on"'


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


async def crash_all(server: Server) -> None:
    """Both workers are killed, and so are those that take their places."""
    killed = await kill_all_but(server, set())
    await kill_all_but(server, killed)


async def kill_all_but(server: Server, former: set[int]) -> set[int]:
    """Kill both workers that serve, once they are others than the former ones."""
    status = await status_when(server, lambda status: len(set(serving(status)) - former) == 2)
    killed = set(serving(status)) - former
    for pid in killed:
        kill(pid)
    return killed


async def rescued(server: Server, epoch: int) -> None:
    """What the first epoch served serves again, in workers of its own zygote, and that was told once."""
    status = await status_when(server, lambda status: status.serving is not None and status.serving.epoch == epoch)
    assert status.serving is not None
    assert (status.serving.origin.trigger, status.serving.restores) == (Trigger.RESCUE, 1)
    assert {slot.cohort for slot in (await alone(server, 2)).slots} == {1}
    assert [began.before for began in await told(server, RescueBegan)] == [1]
    assert [started.cohort for started in await told(server, ZygoteStarted)] == [1, 2]


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


async def test_a_rollback_that_workers_refuse_leaves_the_way_back_without_an_import(story: Story) -> None:
    shop, moved = Shop(story), story.folder / "moved on"
    shop.write("1", top=NOTED, startup=PICKY)
    async with story.server(2, app="main:app") as server:
        await shop.roll(server, "2")
        until_then = (await server.status()).zygotes[0].until
        before = pids(await alone(server, 2))
        moved.touch()
        refused = await server.rollback()
        assert isinstance(refused, Refused)
        assert "the database has moved on" in refused.reason
        status = await alone(server, 2)
        assert (pids(status), [each.state for each in status.zygotes]) == (
            before,
            [ZygoteState.KEPT, ZygoteState.READY],
        )
        assert status.zygotes[0].until == pytest.approx(until_then, abs=1.0)
        moved.unlink()
        await crash_all(server)
        await rescued(server, 4)
        assert (await story.get(server, "/")).words[0] == "1"
    assert (story.folder / "imported").read_text().split() == ["1"]


async def test_a_rollback_that_its_rehearsal_refuses_leaves_the_way_back_without_an_import(story: Story) -> None:
    shop, moved = Shop(story), story.folder / "moved on"
    shop.write("1", top=NOTED)
    story.write("1.0", top=f"import os\nassert not os.path.exists({str(moved)!r}), 'the database has moved on'")
    async with story.server(2, app="main:app") as server:
        story.write("2.0")
        await shop.roll(server, "2")
        before = pids(await alone(server, 2))
        moved.touch()
        refused = await server.rollback()
        assert isinstance(refused, Refused)
        assert [(each.slot, each.refusal.stage) for each in refused.refusals] == [(-1, Stage.PREFLIGHT)]
        status = await server.status()
        assert (pids(status), [each.state for each in status.zygotes]) == (
            before,
            [ZygoteState.KEPT, ZygoteState.READY],
        )
        moved.unlink()
        await crash_all(server)
        await rescued(server, 4)
        assert [(await story.get(server, path)).words[0] for path in ("/", "/shop")] == ["1", "1.0"]
    assert (story.folder / "imported").read_text().split() == ["1"]


async def test_a_supervisor_that_starts_after_one_that_died_in_a_rollback_lets_go_of_its_zygote(story: Story) -> None:
    shop = Shop(story)
    shop.write("1", startup="(FOLDER / 'begun').touch(); await opened()")
    story.open_gate()
    with pytest.raises(ServerFailed):
        async with story.server(2, app="main:app", env=ORPHAN) as first:
            [kept] = {zygote_of(pid) for pid in serving(await first.status())}
            await shop.roll(first, "2")
            before = serving(await alone(first, 2))
            story.gate.unlink()
            (story.folder / "begun").unlink()
            rollback = asyncio.create_task(first.rollback())
            await until(lambda: (story.folder / "begun").exists(), "the workers of the rollback")
            kill(first.pid)
            await until(lambda: not alive(first.pid), "the supervisor to be dead")
            with pytest.raises(OutcomeUnknown):
                await rollback
    async with story.server(2, app="main:app", env=ORPHAN) as second:
        assert await all_serve(second) == before
        await until(lambda: not alive(kept), "the zygote of the rollback to be gone")
        assert serving(await alone(second, 2)) == before
        assert [each.cohort for each in (await second.status()).zygotes] == [2]
        assert (await story.get(second, "/")).words[0] == "2"
