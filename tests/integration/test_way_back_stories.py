"""What serves bars no way on or back: not by state that it does not give, nor by failing where it is rehearsed."""

import pytest

from changeover.server import Committed, Refused, Server, Strategy
from changeover.supervisor.control import PluginState
from changeover.supervisor.core.records.plugin import StateNotTaken
from changeover.supervisor.core.records.preflight import PreflightCompleted
from tests.integration.test_inheritance_stories import alone, total
from tests.integration.test_plugin_life_stories import EXPORTS, until_told, write
from tests.integration.test_preflight_stories import SURVIVES_NOT
from tests.integration.test_watching_stories import WATCHED, refused
from tests.rehearsals import ENDS, pids, told
from tests.service import Story, all_given_up, logged, status_when

KEEPS = f"{EXPORTS} if not self.hits else {{}}['boom']"
"""Passes a preflight, where nobody asks for anything, and gives nothing once somebody has."""
APP = """
async def app(scope, receive, send):
    await send({{"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]}})
    await send({{"type": "http.response.body", "body": b"{}"}})
"""


async def test_a_version_that_could_not_be_left_again_is_refused_before_any_worker_has_it(story: Story) -> None:
    write(story, "1.0")
    async with story.server(2) as server:
        write(story, "2.0", giving="raise KeyError('boom')")
        for strategy in (Strategy.SWAP, Strategy.ROLL):
            outcome = await server.reload(strategy=strategy)
            assert isinstance(outcome, Refused)
            [no] = outcome.refusals
            assert (no.slot, no.refusal.unit, no.refusal.hook) == (-1, "plugin counter", "export_state")
            assert no.refusal.summary.startswith("KeyError: 'boom'; as it stands, what replaces it some day")
        assert (await story.get(server, "/count")).words[1] == "1.0"


async def keeping(story: Story, server: Server) -> None:
    """2.0 serves, has counted, and does not give that."""
    write(story, "2.0", giving=KEEPS)
    assert isinstance(await server.reload(), Committed)
    await story.get(server, "/count")
    write(story, "3.0")


@pytest.mark.parametrize("strategy", [Strategy.SWAP, Strategy.ROLL])
async def test_a_version_that_does_not_give_its_state_is_named_and_left_by_force(
    story: Story, strategy: Strategy
) -> None:
    write(story, "1.0")
    async with story.server(1) as server:
        await keeping(story, server)
        outcome = await server.reload(strategy=strategy)
        assert isinstance(outcome, Refused)
        [no] = outcome.refusals
        assert (no.slot, no.refusal.unit, no.refusal.hook) == (0, "plugin counter", "export_state")
        assert no.refusal.summary.startswith("counter 2.0, which serves, does not give its state: KeyError: 'boom' (")
        assert no.refusal.summary.endswith("by a rollback, or `changeover reload --force`")
        forced = await server.reload(strategy=strategy, force=True)
        assert isinstance(forced, Committed), forced
        await alone(server, 1)
        assert (await story.get(server, "/count")).words[1] == "3.0"
        assert await total(story, server, 1) == 1
        [record] = await until_told(server, StateNotTaken, 1)
        assert (record.version, record.old) == ("3.0", "2.0")
        assert record.why.startswith("export_state of 2.0 failed: KeyError: 'boom' (counter.py:")
        await logged(server, "counter 3.0 begins without the state of 2.0: export_state of 2.0 failed: KeyError")


async def test_a_version_that_does_not_give_its_state_is_left_by_a_rollback(story: Story) -> None:
    write(story, "1.0")
    async with story.server(1) as server:
        await keeping(story, server)
        assert isinstance(await server.rollback(), Committed)
        assert (await story.get(server, "/count")).words[1] == "1.0"
        [record] = await until_told(server, StateNotTaken, 1)
        assert (record.version, record.old) == ("1.0", "2.0")


async def test_a_version_that_hangs_when_asked_for_its_state_is_left_by_a_rollback_that_needs_a_roll(
    story: Story,
) -> None:
    write(story, "1.0")
    (story.folder / "app.py").write_text(APP.format(1))
    async with story.server(1, app="app:app", env={"CHANGEOVER_DEADLINES_HOOK": "2s"}) as server:
        write(story, "2.0", giving=f"{EXPORTS} if not self.hits else __import__('asyncio').sleep(60)")
        (story.folder / "app.py").write_text(APP.format(2))
        assert isinstance(await server.reload(), Committed)
        await alone(server, 1)
        await story.get(server, "/count")
        back = await server.rollback()
        assert isinstance(back, Committed), back
        await alone(server, 1)
        assert (await story.get(server, "/count")).words[1] == "1.0"
        [record] = await until_told(server, StateNotTaken, 1)
        assert record.why.startswith("export_state of 2.0 failed: not done within 2 s")


async def test_a_mend_is_not_quarantined_for_what_serves_and_is_taken_once_that_gives_its_state(story: Story) -> None:
    broken = story.folder / "broken"
    write(story, "1.0")
    async with story.server(1, env=WATCHED) as server:
        write(story, "2.0", giving=f"{EXPORTS} if not Path({str(broken)!r}).exists() else {{}}['boom']")
        await status_when(server, lambda status: status.epoch == 2)
        await story.get(server, "/count")
        broken.touch()
        write(story, "3.0")
        status = await refused(server, 3)
        assert status.quarantine == ()
        broken.unlink()
        await status_when(server, lambda status: status.epoch > 3)
        assert (await story.get(server, "/count")).words[1] == "3.0"
        assert await total(story, server, 1) == 2


def write_all(story: Story, how: str) -> None:
    """An application, a plugin `geo`, and a plugin `shop` that survives no rehearsal once there is a file `late`."""
    (story.folder / "app.py").write_text(APP.format(1))
    story.write("1.0", id="geo", mount="/geo")
    story.write("1.0", top=SURVIVES_NOT.format(late=str(story.folder / "late"), ends=ENDS[how]))


@pytest.mark.parametrize("how", ["raises", "exits at once"])
async def test_what_serves_and_does_not_survive_a_rehearsal_bars_no_roll_on_and_none_back(
    story: Story, how: str
) -> None:
    write_all(story, how)
    async with story.server(1, app="app:app") as server:
        (story.folder / "late").touch()
        (story.folder / "app.py").write_text(APP.format(2))
        story.write("2.0", id="geo", mount="/geo")
        for change in (server.reload, server.rollback):
            outcome = await change()
            assert isinstance(outcome, Committed), outcome
            await alone(server, 1)
        _, *passed = await told(server, PreflightCompleted)
        assert [record.epoch for record in passed] == [2, 3]
        assert all(record.warnings[0].startswith("left out: ") for record in passed)
        assert {(await story.get(server, path)).words[0] for path in ("/geo", "/shop")} == {"1.0"}


async def test_it_lets_nothing_through(story: Story) -> None:
    write_all(story, "exits at once")
    async with story.server(1) as server:
        (story.folder / "late").touch()
        before = pids(await server.status())
        story.write("2.0", id="geo", mount="/geo", top="import os\nos._exit(4)")
        outcome = await server.reload(strategy=Strategy.ROLL)
        assert isinstance(outcome, Refused)
        assert [no.refusal.unit for no in outcome.refusals] == ["plugin geo"]
        assert pids(await server.status()) == before


@pytest.mark.parametrize("back", [True, False])
async def test_when_all_workers_die_of_what_serves_other_content_has_them_back_at_once(
    story: Story, back: bool
) -> None:
    write(story, "1.0")
    async with story.server(2) as server:
        write(story, "2.0")
        file = story.plugins / "counter.py"
        file.write_text(file.read_text().replace("time.sleep(0.0)", "__import__('os')._exit(3)"))
        assert isinstance(await server.reload(), Committed)
        dead = await status_when(server, all_given_up, 60.0)
        assert [plugin.state for plugin in dead.plugins] == [PluginState.ABSENT]
        write(story, "3.0")
        outcome = await (server.rollback() if back else server.reload())
        assert isinstance(outcome, Committed), outcome
        assert outcome.workers == 2
        assert (await story.get(server, "/count")).words[1] == ("1.0" if back else "3.0")
