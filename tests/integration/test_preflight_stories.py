"""What is to be swapped in runs in a process apart first: what is bad there is refused, and no worker ever runs it."""

import asyncio
import signal

import psutil
import pytest

from changeover.server import Committed, Refused, ServerFailed
from changeover.supervisor.core.records.plugin import PluginsMoved
from changeover.supervisor.core.records.preflight import PreflightCompleted, PreflightSkipped
from changeover.workers.protocol.refusal import Fault, Stage
from tests.integration.test_plugin_life_stories import until_told
from tests.plugin_folder import PluginFolder
from tests.rehearsals import ENDS, NOTE, alive, load, pids, rehearsers, told, until_rehearsing
from tests.service import Story, kill, status_when
from tests.waits import until

SURVIVES_NOT = """
import os, setproctitle
if "preflight" in setproctitle.getproctitle() and os.path.exists({late!r}):
    exec({ends!r})
"""
"""It passes the preflight of its start, and none once the file is there."""
HASTY = {"CHANGEOVER_DEADLINES_PREFLIGHT": "5s"}
HANG = "while True: pass"
SOON = 5.0
"""Seconds that a preflight of a small plugin may take here at most, on a machine with other work."""


@pytest.mark.parametrize("how", ENDS)
async def test_bad_code_is_refused_and_no_worker_ever_ran_it(story: Story, how: str) -> None:
    side = story.folder / "side"
    story.write("1.0")
    async with story.server(2, env=HASTY) as server, load(story, server) as statuses:
        before = pids(await server.status())
        story.write("2.0", top=NOTE.format(side=str(side)) + ENDS[how])
        outcome = await server.reload()
        assert isinstance(outcome, Refused)
        [refused] = outcome.refusals
        assert (refused.slot, refused.refusal.stage, refused.refusal.unit) == (-1, Stage.PREFLIGHT, "plugin shop")
        assert refused.refusal.fault is (Fault.TIMEOUT if how == "hangs" else refused.refusal.fault)
        assert outcome.reason.startswith("preflight: plugin shop")
        assert outcome.durations.preflight > 0 == outcome.durations.prepare
        if how == "hangs":
            assert "so far" in refused.refusal.output
        assert pids(await server.status()) == before
        assert not alive(rehearsers(server.pid))
        assert not side.exists()
        assert (await server.status()).counts.refusals == {"preflight": 1}
    assert set(statuses) == {200}


CONFIGURED = """
import msgspec


class Config(msgspec.Struct):
    depth: int = 1
"""


async def test_a_configuration_that_does_not_fit_is_refused_before_any_worker_loads_its_plugin(story: Story) -> None:
    config = story.folder / "changeover.toml"
    config.touch()
    PluginFolder(story.plugins).single("rates", more='config = "rates:Config"', code=CONFIGURED)
    async with story.server(2, "--config", str(config)) as server:
        config.write_text('[plugins.rates]\nconfig = { depth = "deep" }\n')
        outcome = await server.reload()
        assert isinstance(outcome, Refused)
        [refused] = outcome.refusals
        assert (refused.slot, refused.refusal.unit, refused.refusal.fault) == (-1, "plugin rates", Fault.CONFIG)
        assert "`config` of [plugins.rates], does not fit: Expected `int`" in refused.refusal.summary
        moves = [move for record in await until_told(server, PluginsMoved, 2) for move in record.moves]
        assert {move.key.since for move in moves} == {1}


async def test_good_code_passes_quickly_and_is_served(story: Story) -> None:
    story.write("1.0")
    async with story.server(2) as server:
        story.write("2.0")
        outcome = await server.reload()
        assert isinstance(outcome, Committed)
        assert (await story.get(server, "/shop")).words[:2] == ["2.0", "2"]
        first, passed = await told(server, PreflightCompleted)
        assert (passed.epoch, passed.modules, passed.warnings) == (2, 1, ())
        assert 0 < passed.seconds <= SOON
        counts = (await server.status()).counts
        assert (counts.preflights, counts.longest_preflight) == (2, max(first.seconds, passed.seconds))
        assert not alive(rehearsers(server.pid))


async def test_a_rollback_is_rehearsed_too(story: Story) -> None:
    story.write("1.0")
    async with story.server(2) as server:
        story.write("2.0")
        await server.reload()
        assert isinstance(await server.rollback(), Committed)
        assert [passed.epoch for passed in await told(server, PreflightCompleted)] == [1, 2, 3]
        assert (await story.get(server, "/shop")).words[:2] == ["1.0", "3"]


async def test_an_edit_is_rehearsed_too(story: Story) -> None:
    story.write("1.0")
    story.write("1.0", id="geo", mount="/geo")
    async with story.server(2) as server:
        assert isinstance(await server.remove_plugin("geo"), Committed)
        assert [passed.epoch for passed in await told(server, PreflightCompleted)] == [1, 2]


async def test_what_serves_and_does_not_survive_a_rehearsal_bars_no_way_on(story: Story) -> None:
    late = story.folder / "late"
    story.write("1.0", top=SURVIVES_NOT.format(late=str(late), ends=ENDS["exits at once"]))
    story.write("1.0", id="geo", mount="/geo")
    async with story.server(2) as server:
        late.touch()
        assert isinstance(await server.remove_plugin("geo"), Committed)
        story.write("2.0")
        assert isinstance(await server.reload(), Committed)
        _, *passed = await told(server, PreflightCompleted)
        assert [record.epoch for record in passed] == [2, 3]
        left_out = "left out: what serves cannot be loaded in a preflight: it ended its process with status 3"
        assert all(record.warnings[0].startswith(left_out) for record in passed)
        assert (await story.get(server, "/shop")).words[0] == "2.0"
        assert (await server.status()).quarantine == ()


ENDLESS = """
import threading
from changeover.plugin import Plugin


class Endless(Plugin[None]):
    def on_unload(self) -> None:
        if not {late!r} or Path({late!r}).exists():
            threading.Event().wait()
"""
HASTY_HOOKS = {"CHANGEOVER_DEADLINES_HOOK": "1s"}
LONG_HOOKS = {"CHANGEOVER_DEADLINES_HOOK": "9s", "CHANGEOVER_DEADLINES_PREFLIGHT": "6s"}


def write_endless(story: Story, version: str, late: str) -> None:
    """Write a version whose `on_unload` never returns: at once, or from when a file is there."""
    story.write(version, top=ENDLESS.format(late=late))
    file = story.plugins / "shop.py"
    entry = '# plugin = "shop:Endless"\n# services = { shop = { entry = "shop:shop", mount = "/shop" } }'
    text = file.read_text()
    [line] = [line for line in text.splitlines() if line.startswith("# services")]
    file.write_text(text.replace(line, entry))


async def test_what_never_ends_is_refused_before_it_serves_and_what_serves_and_never_ends_bars_no_way_on(
    story: Story,
) -> None:
    late = story.folder / "late"
    write_endless(story, "1.0", str(late))
    async with story.server(2, env=HASTY_HOOKS) as server:
        before = pids(await server.status())
        write_endless(story, "2.0", "")
        outcome = await server.reload()
        assert isinstance(outcome, Refused)
        [refused] = outcome.refusals
        why = (refused.slot, refused.refusal.stage, refused.refusal.unit, refused.refusal.hook, refused.refusal.fault)
        assert why == (-1, Stage.PREFLIGHT, "plugin shop", "on_unload", Fault.TIMEOUT)
        assert (pids(await server.status()), (await story.get(server, "/shop")).words[0]) == (before, "1.0")
        late.touch()
        story.write("3.0")
        assert isinstance(await server.reload(), Committed)
        assert (await story.get(server, "/shop")).words[0] == "3.0"
        passed = (await told(server, PreflightCompleted))[-1]
        assert passed.warnings[0].startswith("plugin shop on_unload: not done within 1 s")


async def test_what_serves_and_never_ends_within_a_preflight_is_left_out(story: Story) -> None:
    late = story.folder / "late"
    write_endless(story, "1.0", str(late))
    async with story.server(2, env=LONG_HOOKS) as server:
        late.touch()
        story.write("2.0")
        assert isinstance(await server.reload(), Committed)
        assert (await story.get(server, "/shop")).words[0] == "2.0"
        passed = (await told(server, PreflightCompleted))[-1]
        left_out = "left out: what serves cannot be ended in a preflight: not done within 3 s in plugin shop on_unload"
        assert passed.warnings[0].startswith(left_out)


RULED = """
import threading
from pathlib import Path
from changeover.plugin import CallContext, LoadContext, Plugin, Request, Resource, Response, service


class Ruled(Plugin[None]):
    async def on_load(self, ctx: LoadContext) -> None:
        self.word = ctx.resource("rules").toml()["word"]

    async def on_resources(self, changed: dict[str, Resource]) -> None:
        self.word = changed["rules"].toml()["word"]

    def on_unload(self) -> None:
        if Path({late!r}).exists():
            threading.Event().wait()

    @service
    async def ruled(self, request: Request, call: CallContext) -> Response:
        return Response.text(self.word)
"""
RULED_MANIFEST = """
plugin = "ruled:Ruled"
services = { ruled = "/ruled" }
resources = { rules = { path = "rules.toml" } }
"""


@pytest.mark.parametrize(
    ("strategy", "hooks"),
    [("", HASTY_HOOKS), ("", LONG_HOOKS), ('strategy = "roll"', HASTY_HOOKS)],
    ids=["within a preflight", "longer than it", "by a roll"],
)
async def test_what_serves_and_never_ends_takes_other_resources_all_the_same(
    strategy: str, hooks: dict[str, str], story: Story
) -> None:
    late = story.folder / "late"
    folder = PluginFolder(story.plugins).folder(
        "ruled", more=RULED_MANIFEST + strategy, ruled=RULED.format(late=str(late))
    )
    rules = folder / "rules.toml"
    rules.write_text('word = "one"')
    async with story.server(2, env=hooks) as server:
        late.touch()
        for word in ("two", "three"):
            rules.write_text(f'word = "{word}"')
            outcome = await server.reload()
            assert isinstance(outcome, Committed), outcome
            assert (await story.get(server, "/ruled")).words == [word]
            passed = (await told(server, PreflightCompleted))[-1]
            assert "plugin ruled on_unload" in passed.warnings[0]
            assert "not done within" in passed.warnings[0]


async def test_what_requires_what_took_too_long_to_load_is_refused_for_now_and_not_quarantined(story: Story) -> None:
    late = story.folder / "late"
    folder, own = PluginFolder(story.plugins), "from changeover.plugin import Plugin\nclass Own(Plugin[None]): ...\n"
    folder.single("log", more='plugin = "log:Own"', code=SURVIVES_NOT.format(late=str(late), ends=ENDS["hangs"]) + own)
    requiring = 'plugin = "geo:Own"\nrequires = { log = ">=1" }'
    folder.single("geo", "1.0", requiring, own)
    async with story.server(2, env={"CHANGEOVER_DEADLINES_PREFLIGHT": "4s"}) as server:
        late.touch()
        folder.single("geo", "2.0", requiring, own)
        outcome = await server.reload()
        assert isinstance(outcome, Refused)
        [why] = [each.refusal for each in outcome.refusals]
        assert (why.unit, why.requires, why.fault) == ("plugin geo", "plugin log", Fault.TIMEOUT)
        assert (await server.status()).quarantine == ()
        late.unlink()
        assert isinstance(await server.reload(), Committed)


@pytest.mark.parametrize("how", ["exits at once", "hangs"])
async def test_what_serves_and_does_not_survive_a_rehearsal_lets_nothing_through(story: Story, how: str) -> None:
    late = story.folder / "late"
    story.write("1.0", top=SURVIVES_NOT.format(late=str(late), ends=ENDS[how]))
    story.write("1.0", id="geo", mount="/geo")
    async with story.server(2, env={"CHANGEOVER_DEADLINES_PREFLIGHT": "6s"}) as server:
        late.touch()
        before = pids(await server.status())
        for plugin in ("shop", "geo"):
            story.write("2.0", id=plugin, mount=f"/{plugin}", top="import os\nos._exit(4)")
            outcome = await server.reload(only=(plugin,))
            assert isinstance(outcome, Refused)
            assert [refused.refusal.unit for refused in outcome.refusals] == [f"plugin {plugin}"]
        assert pids(await server.status()) == before
        assert await told(server, PreflightSkipped) == []


async def test_a_hup_storm_ends_with_what_is_on_disk_and_no_process_too_many(story: Story) -> None:
    story.write("0")
    async with story.server(2, env={"CHANGEOVER_DEADLINES_PREFLIGHT": "3"}) as server, load(story, server) as statuses:
        for version in range(1, 21):
            story.write(str(version), top=HANG if version == 10 else "")
            server.signal(signal.SIGHUP)
            if version == 10:
                await until_rehearsing(server)
        async with asyncio.timeout(60):
            while (await story.get(server, "/shop")).words[0] != "20":
                server.signal(signal.SIGHUP)
                await asyncio.sleep(0.2)
        await status_when(server, lambda status: status.candidate is None)
        assert not alive(rehearsers(server.pid))
    assert set(statuses) == {200}


async def test_a_stop_during_a_rehearsal_leaves_no_process_of_it(story: Story) -> None:
    story.write("1.0")
    async with story.server(2) as server:
        story.write("2.0", top=HANG)
        server.signal(signal.SIGHUP)
        await until_rehearsing(server)
        await until(lambda: rehearsers(server.pid), "the rehearsal")
        below = rehearsers(server.pid)
    assert not alive(below)


async def test_a_supervisor_that_is_killed_during_a_rehearsal_leaves_no_process_of_it(story: Story) -> None:
    story.write("1.0")
    with pytest.raises(ServerFailed):
        async with story.server(2, env={"CHANGEOVER_DEADLINES_ORPHAN": "60"}) as server:
            [address] = server.addresses
            before = pids(await server.status())
            story.write("2.0", top=HANG)
            server.signal(signal.SIGHUP)
            await until_rehearsing(server)
            await until(lambda: rehearsers(server.pid), "the rehearsal")
            below = rehearsers(server.pid)
            kill(server.pid)
            await until(lambda: not alive(below), "the rehearsal to be gone")
    async with story.server(2) as second:
        assert second.addresses == (address,)
        assert pids(await status_when(second, lambda status: len(status.staff) == 2)) == before
        story.write("3.0")
        assert isinstance(await second.reload(), Committed)
        assert (await story.get(second, "/shop")).words[0] == "3.0"
        assert len(await told(second, PreflightCompleted)) == 1


async def test_where_nobody_wants_a_preflight_workers_are_the_first_to_run_it(story: Story) -> None:
    story.write("1.0")
    async with story.server(2, rehearsed=False) as server:
        story.write("2.0", top="raise RuntimeError('boom')")
        outcome = await server.reload()
        assert isinstance(outcome, Refused)
        assert [refused.refusal.stage for refused in outcome.refusals][:1] == [Stage.LOAD]
        assert outcome.durations.preflight == 0


async def test_with_its_zygote_a_rehearsal_goes_for_a_reason_that_passes(story: Story) -> None:
    story.write("1.0")
    async with story.server(2) as server:
        before = pids(await server.status())
        zygote = psutil.Process(before[0]).ppid()
        story.write("2.0", top=HANG)
        reload = asyncio.create_task(server.reload())
        await until_rehearsing(server)
        await until(lambda: rehearsers(server.pid), "the rehearsal")
        below = rehearsers(server.pid)
        kill(zygote)
        outcome = await reload
        assert isinstance(outcome, Refused)
        assert [refused.refusal.fault for refused in outcome.refusals] == [Fault.RESOURCE]
        await until(lambda: not alive(below), "the rehearsal to be gone")
        assert pids(await server.status()) == before


ALONE = """
from changeover.plugin import LoadContext, Plugin, PluginVersion


class Own(Plugin[None]):
    def on_load(self, ctx: LoadContext) -> None:
        {load}

    def on_reload(self, ctx: LoadContext, old: PluginVersion) -> None:
        {reload}
"""


async def test_what_only_loads_beside_what_it_replaces_is_refused_and_what_only_fails_the_second_time_is_not(
    story: Story,
) -> None:
    """No worker that is started later could load the one; each of them loads the other."""
    plugins = PluginFolder(story.plugins)

    def write(version: str, load: str, reload: str = "...") -> None:
        code = ALONE.format(load=load, reload=reload)
        plugins.folder("rates", version, 'plugin = "rates:Own"\n', rates=code)

    write("1.0", "...")
    async with story.server(1) as server:
        write("2.0", "raise OSError('nothing to load')")
        outcome = await server.reload()
        assert isinstance(outcome, Refused)
        [refused] = outcome.refusals
        assert (refused.slot, refused.refusal.unit, refused.refusal.hook) == (-1, "plugin rates", "on_load")
        assert refused.refusal.summary == "OSError: nothing to load"
        write("3.0", "import sys; assert not hasattr(sys, 'rates')", "import sys; sys.rates = 1")
        assert isinstance(await server.reload(), Committed)
