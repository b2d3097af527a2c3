"""What serves kills its workers, again and again: a mend is taken, and what would kill them as well is not."""

import asyncio

import pytest

from changeover.server import Committed, Refused, Server, StatusView
from changeover.supervisor.control import SlotState
from changeover.supervisor.core.records.worker import WorkerExited
from changeover.workers.protocol.refusal import Fault
from tests.integration.test_plugin_life_stories import until_told, write
from tests.integration.test_rescue_stories import kill_all_but
from tests.rehearsals import pids
from tests.service import Story, all_given_up, kill, status_when

DEATHS = {
    "at once": "__import__('os')._exit(3)",
    "after a moment": "__import__('threading').Timer(0.4, __import__('os')._exit, (3,)).start()",
}
"""How a worker ends once it serves; no rehearsal comes so far."""
SLOW, WAITS, KILLS = "time.sleep(1.0)", "while not Path({gate!r}).exists(): time.sleep(0.01)", "os._exit(4)"
IN_WORKERS = """
import os, setproctitle
if "preflight" not in setproctitle.getproctitle():
    {does}
"""


def edit(story: Story, version: str, line: str, instead: str) -> None:
    """Write a version of which one line is another."""
    write(story, version)
    file = story.plugins / "counter.py"
    file.write_text(file.read_text().replace(line, instead, 1))


def mend(story: Story, does: str) -> None:
    """Write a version that does something where workers load it."""
    edit(story, "3.0", "\nGATE = ", f"{IN_WORKERS.format(does=does)}\nGATE = ")


async def crash(story: Story, server: Server, how: str) -> None:
    """2.0 is committed, and each of its two workers has crashed, and the next one, too."""
    edit(story, "2.0", "time.sleep(0.0)", DEATHS[how])
    assert isinstance(await server.reload(), Committed)
    await until_told(server, WorkerExited, 5)


def served(status: StatusView) -> bool:
    return {slot.state for slot in status.slots} == {SlotState.SERVING}


@pytest.mark.parametrize("how", DEATHS)
async def test_a_mend_is_taken_at_the_first_asking_while_workers_of_what_serves_die(story: Story, how: str) -> None:
    write(story, "1.0")
    async with story.server(2) as server:
        await crash(story, server, how)
        mend(story, SLOW)
        outcome = await server.reload()
        assert isinstance(outcome, Committed), outcome
        assert outcome.workers == 2
        assert (await story.get(server, "/count")).words[1] == "3.0"


async def test_who_dies_while_a_mend_is_prepared_is_no_refusal_of_it_where_workers_died_before(story: Story) -> None:
    write(story, "1.0")
    async with story.server(2) as server:
        former = await kill_all_but(server, set())
        former |= await kill_all_but(server, former)
        serving = await status_when(server, lambda now: len(set(pids(now).values()) - former) == 2 and served(now))
        mend(story, WAITS.format(gate=str(story.gate)))
        asked = asyncio.create_task(server.reload())
        await status_when(server, lambda now: now.cutover == "preparing")
        for pid in pids(serving).values():
            kill(pid)
        await status_when(server, lambda now: not set(pids(serving).values()) & set(pids(now).values()))
        story.open_gate()
        outcome = await asked
        assert isinstance(outcome, Committed), outcome
        assert outcome.workers == 2
        assert {lost.refusal.summary for lost in outcome.lost} == {"was ended by signal 9"}
        assert (await story.get(server, "/count")).words[1] == "3.0"


@pytest.mark.parametrize("parked", [False, True])
async def test_what_would_kill_them_as_well_is_refused_and_what_served_before_is_had_back(
    story: Story, parked: bool
) -> None:
    write(story, "1.0")
    async with story.server(2) as server:
        await crash(story, server, "at once")
        if parked:
            await status_when(server, all_given_up, 60.0)
        mend(story, KILLS)
        outcome = await server.reload()
        assert isinstance(outcome, Refused), outcome
        assert {(no.refusal.fault, no.refusal.summary) for no in outcome.refusals} == {
            (Fault.CRASH, "exited with status 4")
        }
        back = await server.rollback()
        assert isinstance(back, Committed), back
        assert (await story.get(server, "/count")).words[1] == "1.0"
