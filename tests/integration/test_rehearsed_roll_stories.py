"""Plugins of a start and of a roll run in a process apart before any worker is there that could run them."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from changeover.server import Committed, Refused, Server, ServerFailed, Strategy
from changeover.supervisor.core.records.boot import BootFellBack
from changeover.supervisor.core.records.preflight import PreflightCompleted
from changeover.supervisor.core.records.staffing import ZygoteStarted
from changeover.supervisor.core.records.worker import WorkerForked
from changeover.workers.protocol.refusal import Fault, Stage
from tests.plugin_folder import PluginFolder
from tests.rehearsals import ENDS, NOTE, alive, load, pids, rehearsers, told, until_rehearsing
from tests.service import Story, gone, kill
from tests.waits import until

CONFIGURED = """
import msgspec

print("imported", flush=True)


class Config(msgspec.Struct):
    depth: int = 1
"""
APP = """
import os
from pathlib import Path

VERSION = {version!r}


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        with open({side!r}, "a") as file:
            print(os.getpid(), file=file)
        await send({{"type": "lifespan.startup.complete"}})
        await receive()
        await send({{"type": "lifespan.shutdown.complete"}})
        return
    await send({{"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]}})
    await send({{"type": "http.response.body", "body": VERSION.encode()}})
"""
HANG = "while True: pass"


def config(story: Story, depth: str) -> str:
    """A configuration of the plugin `rates`; its file."""
    file = story.folder / "changeover.toml"
    file.write_text(f"[plugins.rates]\nconfig = {{ depth = {depth} }}\n")
    return str(file)


def rates(story: Story, side: Path) -> None:
    """A plugin that wants a number, and says which processes import it."""
    code = NOTE.format(side=str(side)) + CONFIGURED
    PluginFolder(story.plugins).single("rates", more='config = "rates:Config"', code=code)


def ran(side: Path) -> set[int]:
    """Who wrote itself down."""
    return set(map(int, side.read_text().split())) if side.exists() else set()


@asynccontextmanager
async def starting(story: Story, **environment: str) -> AsyncIterator[tuple[Server, "asyncio.Task[Server]"]]:
    """A server on its way up; gone afterwards."""
    server = story.unstarted(2, env=environment)
    task = asyncio.create_task(server.__aenter__())
    try:
        await until(lambda: "epoch 1 is preflighting" in server.logs or task.done(), "the rehearsal")
        yield server, task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await server._end()


async def test_a_start_with_a_config_that_does_not_fit_ends_before_any_worker_loads_its_plugin(story: Story) -> None:
    side = story.folder / "side"
    rates(story, side)
    with pytest.raises(ServerFailed) as failed:
        async with story.server(2, "--config", config(story, '"deep"')):
            pass
    assert failed.value.status == 4
    assert "preflight: plugin rates" in failed.value.logs
    assert "`config` of [plugins.rates], does not fit: Expected `int`" in failed.value.logs
    assert "> imported" in failed.value.logs
    assert "forked" not in failed.value.logs
    assert ran(side) == set()
    async with story.server(2, "--config", config(story, "3")) as server:
        assert ran(side) == set(pids(await server.status()).values())
        assert [passed.epoch for passed in await told(server, PreflightCompleted)] == [2]


@pytest.mark.parametrize("how", ENDS)
async def test_a_start_falls_back_to_what_was_committed_and_no_worker_ran_what_is_on_disk(
    story: Story, how: str
) -> None:
    side = story.folder / "side"
    story.write("1.0")
    async with story.server(2):
        pass
    story.write("2.0", top=NOTE.format(side=str(side)) + ENDS[how])
    async with story.server(2, env={"CHANGEOVER_DEADLINES_PREFLIGHT": "5s"}) as server:
        assert (await story.get(server, "/shop")).words[0] == "1.0"
        [fallen] = await told(server, BootFellBack)
        assert fallen.reason.startswith("preflight: plugin shop")
        [refused] = fallen.refusals
        assert (refused.slot, refused.refusal.stage, refused.refusal.unit) == (-1, Stage.PREFLIGHT, "plugin shop")
        assert how != "hangs" or "so far" in refused.refusal.output
        assert await told(server, PreflightCompleted) == []
        assert (await server.status()).counts.refusals == {"preflight": 1}
        assert not alive(rehearsers(server.pid))
    assert ran(side) == set()


async def test_a_restart_and_new_workers_of_what_was_committed_cost_no_rehearsal(story: Story) -> None:
    story.write("1.0")
    async with story.server(2) as server:
        assert [passed.epoch for passed in await told(server, PreflightCompleted)] == [1]
        before = pids(await server.status())
        kill(before[0])
        await gone(before[0])
        await until_refilled(server, before[0])
        assert len(await told(server, PreflightCompleted)) == 1
    async with story.server(2) as again:
        assert await told(again, PreflightCompleted) == []
        assert (await story.get(again, "/shop")).words[:2] == ["1.0", "1"]


async def until_refilled(server: Server, gone_pid: int) -> None:
    async def refilled() -> bool:
        living = pids(await server.status())
        return len(living) == 2 and gone_pid not in living.values()

    async with asyncio.timeout(10):
        while not await refilled():
            await asyncio.sleep(0.02)


BOTH = """
from changeover.plugin import Response, Service, service

@service
async def shop(request, call):
    return Response.text("shop")

class Admin(Service):
    def __init__(self, plugin=None):
        {note}
        os._exit(3)

    async def __call__(self, request, call):
        return Response.text("admin")
"""


async def test_a_service_that_a_start_mounts_first_is_rehearsed_though_its_plugin_served(story: Story) -> None:
    side, file = story.folder / "side", story.folder / "changeover.toml"
    note = NOTE.format(side=str(side)).strip().replace("\n", "\n        ")
    code = BOTH.format(note=note)
    PluginFolder(story.plugins).single(
        "both", more='services = { shop = "both:shop", admin = "both:Admin" }', code=code
    )
    file.write_text('[plugins.both]\nmount = { shop = "/shop" }\n')
    async with story.server(2, "--config", str(file)):
        pass
    file.write_text('[plugins.both]\nmount = { shop = "/shop", admin = "/admin" }\n')
    async with story.server(2, "--config", str(file)) as server:
        assert (await story.get(server, "/shop")).body == "shop"
        [fallen] = await told(server, BootFellBack)
        assert fallen.reason.startswith("preflight: ")
    assert ran(side) == set()


@pytest.mark.parametrize("how", ENDS)
async def test_a_roll_to_bad_code_is_refused_before_any_worker_of_it_is_there(story: Story, how: str) -> None:
    side = story.folder / "side"
    story.write("1.0")
    async with (
        story.server(2, env={"CHANGEOVER_DEADLINES_PREFLIGHT": "5s"}) as server,
        load(story, server) as statuses,
    ):
        before = pids(await server.status())
        story.write("2.0", top=NOTE.format(side=str(side)) + ENDS[how])
        outcome = await server.reload(strategy=Strategy.ROLL)
        assert isinstance(outcome, Refused)
        [refused] = outcome.refusals
        assert (refused.slot, refused.refusal.stage, refused.refusal.unit) == (-1, Stage.PREFLIGHT, "plugin shop")
        assert outcome.reason.startswith("preflight: plugin shop")
        assert outcome.durations.preflight > 0
        assert pids(await server.status()) == before
        assert len(await told(server, WorkerForked)) == 2
        assert (await server.status()).counts.refusals == {"preflight": 1}
        assert not alive(rehearsers(server.pid))
        story.write("3.0")
        assert isinstance(await server.reload(strategy=Strategy.ROLL), Committed)
        assert (await story.get(server, "/shop")).words[0] == "3.0"
    assert set(statuses) == {200}
    assert ran(side) == set()


async def test_a_roll_with_a_config_that_does_not_fit_is_refused_before_any_worker_loads_its_plugin(
    story: Story,
) -> None:
    side = story.folder / "side"
    story.write("1.0")
    rates(story, side)
    async with story.server(2, "--config", config(story, "1")) as server, load(story, server) as statuses:
        before = pids(await server.status())
        config(story, '"deep"')
        outcome = await server.reload(strategy=Strategy.ROLL)
        assert isinstance(outcome, Refused)
        [refused] = outcome.refusals
        assert (refused.slot, refused.refusal.unit, refused.refusal.fault) == (-1, "plugin rates", Fault.CONFIG)
        assert pids(await server.status()) == before
        assert ran(side) == set(before.values())
        assert len(await told(server, WorkerForked)) == 2
    assert set(statuses) == {200}


async def test_a_roll_whose_plugins_served_before_costs_no_rehearsal(story: Story) -> None:
    side, main = story.folder / "side", story.folder / "main.py"
    main.write_text(APP.format(version="1", side=str(side)))
    story.write("1.0")
    async with story.server(2, app="main:app") as server:
        main.write_text(APP.format(version="2", side=str(side)))
        assert isinstance(await server.reload(), Committed)
        assert (await story.get(server, "/")).body == "2"
        assert isinstance(await server.reload(strategy=Strategy.ROLL), Committed)
        assert [passed.epoch for passed in await told(server, PreflightCompleted)] == [1]
        story.write("2.0")
        assert isinstance(await server.reload(strategy=Strategy.ROLL), Committed)
        assert [passed.epoch for passed in await told(server, PreflightCompleted)] == [1, 4]


async def test_an_application_is_left_to_the_workers_and_its_modules_can_be_imported(story: Story) -> None:
    side, main = story.folder / "side", story.folder / "main.py"
    main.write_text(APP.format(version="1", side=str(side)))
    for preload in ("--preload", "--no-preload"):
        story.write("1.0", top=f"import main\nassert main.VERSION\n# {preload}")
        async with story.server(2, preload, app="main:app") as server:
            assert ran(side) == set(pids(await server.status()).values())
            [passed] = await told(server, PreflightCompleted)
            assert passed.warnings == ()
        side.unlink()


async def test_a_stop_during_the_rehearsal_of_a_start_leaves_no_process(story: Story) -> None:
    story.write("1.0", top=HANG)
    async with starting(story) as (server, task):
        await until(lambda: rehearsers(server.pid), "the rehearsal")
        below = psutil.Process(server.pid).children(recursive=True)
        server.signal(signal.SIGTERM)
        with pytest.raises(ServerFailed) as failed:
            await task
        assert failed.value.status == 0
        await until(lambda: not alive(below), "everything to be gone")


async def test_a_start_that_was_killed_in_its_rehearsal_is_made_again_from_what_is_on_disk(story: Story) -> None:
    marker = story.folder / "go"
    story.write("1.0")
    async with story.server(2):
        pass
    story.write("2.0", top=f"import os, time\nwhile not os.path.exists({str(marker)!r}): time.sleep(0.01)")
    server = story.unstarted(2)
    task = asyncio.create_task(server.__aenter__())
    await until(lambda: "epoch 2 is preflighting" in server.logs or task.done(), "the rehearsal")
    [zygote] = psutil.Process(server.pid).children()
    kill(server.pid)
    with pytest.raises(ServerFailed):
        await task
    marker.touch()
    async with story.server(2) as again:
        assert (await story.get(again, "/shop")).words[0] == "2.0"
        assert [passed.epoch for passed in await told(again, PreflightCompleted)] == [3]
        await until(lambda: not alive([zygote]), "the zygote that was left behind to be gone")


async def test_a_hup_during_the_rehearsal_of_a_start_is_for_the_cutover_that_follows(story: Story) -> None:
    marker = story.folder / "go"
    story.write("1.0", top=f"import os, time\nwhile not os.path.exists({str(marker)!r}): time.sleep(0.01)")
    async with starting(story) as (server, task):
        story.write("2.0")
        server.signal(signal.SIGHUP)
        marker.touch()
        await task
        async with asyncio.timeout(10):
            while (await server.status()).epoch != 2:
                await asyncio.sleep(0.02)
        assert [passed.epoch for passed in await told(server, PreflightCompleted)] == [1, 2]


async def test_a_zygote_that_dies_during_the_rehearsal_of_a_start_is_replaced_and_the_next_one_rehearses(
    story: Story,
) -> None:
    marker = story.folder / "go"
    story.write("1.0", top=f"import os, time\nwhile not os.path.exists({str(marker)!r}): time.sleep(0.01)")
    async with starting(story) as (server, task):
        await until(lambda: rehearsers(server.pid), "the rehearsal")
        below = rehearsers(server.pid)
        [zygote] = psutil.Process(server.pid).children()
        kill(zygote.pid)
        await until(lambda: not alive(below), "the rehearsal to be gone")
        marker.touch()
        await task
        assert [passed.epoch for passed in await told(server, PreflightCompleted)] == [1]
        assert len(await told(server, ZygoteStarted)) == 2


async def test_a_stop_and_a_hup_during_the_rehearsal_of_a_roll(story: Story) -> None:
    story.write("1.0")
    async with story.server(2) as server:
        story.write("2.0", top=HANG)
        reload = asyncio.create_task(server.reload(strategy=Strategy.ROLL))
        await until_rehearsing(server)
        server.signal(signal.SIGHUP)
        await until(lambda: rehearsers(server.pid), "the rehearsal")
        below = rehearsers(server.pid)
        assert (await story.get(server, "/shop")).words[0] == "1.0"
    outcome = await reload
    assert isinstance(outcome, Refused)
    assert "stopping" in outcome.reason
    assert not alive(below)


async def test_a_zygote_that_dies_during_the_rehearsal_of_a_roll_refuses_it(story: Story) -> None:
    story.write("1.0")
    async with story.server(2) as server, load(story, server) as statuses:
        before = pids(await server.status())
        serving = psutil.Process(before[0]).ppid()
        story.write("2.0", top=HANG)
        reload = asyncio.create_task(server.reload(strategy=Strategy.ROLL))
        await until_rehearsing(server)
        await until(lambda: rehearsers(server.pid), "the rehearsal")
        below = rehearsers(server.pid)
        [zygote] = [child.pid for child in psutil.Process(server.pid).children() if child.pid != serving]
        kill(zygote)
        outcome = await reload
        assert isinstance(outcome, Refused)
        await until(lambda: not alive(below), "the rehearsal to be gone")
        assert pids(await server.status()) == before
        story.write("3.0")
        assert isinstance(await server.reload(strategy=Strategy.ROLL), Committed)
    assert set(statuses) == {200}


OWN = """
import os
from changeover.plugin import Plugin

class Own(Plugin[None]):
    def on_load(self, ctx):
        {0}
"""
LOGS = "if os.path.exists({late!r}): raise PermissionError('its log')"
REQUIRING = 'plugin = "tax:Own"\nrequires = { log = ">=1" }'


async def test_what_requires_something_that_does_not_load_there_is_refused_unless_the_configuration_says_so(
    story: Story,
) -> None:
    late, file = story.folder / "late", story.folder / "changeover.toml"
    file.touch()
    story.write("1.0")
    folder = PluginFolder(story.plugins)
    folder.single("log", more='plugin = "log:Own"', code=OWN.format(LOGS.format(late=str(late))))
    folder.single("tax", "1.0", REQUIRING, OWN.format("pass"))
    async with story.server(2, "--config", str(file)) as server, load(story, server) as statuses:
        before = pids(await server.status())
        late.touch()
        folder.single("tax", "2.0", REQUIRING, OWN.format("1 / 0"))
        outcome = await server.reload()
        assert isinstance(outcome, Refused)
        [refused] = outcome.refusals
        assert (refused.slot, refused.refusal.unit, refused.refusal.stage) == (-1, "plugin tax", Stage.PREFLIGHT)
        assert "it requires plugin log, which serves and does not load" in refused.refusal.summary
        assert "PermissionError: its log" in refused.refusal.summary
        assert "`preflight = false` in [plugins.log]" in refused.refusal.summary
        folder.single("tax", "3.0", REQUIRING, OWN.format("self.rates = 1"))
        assert isinstance(await server.reload(), Refused)
        file.write_text("[plugins.log]\npreflight = false\n")
        assert isinstance(await server.reload(), Committed)
        warnings = (await told(server, PreflightCompleted))[-1].warnings
        assert "not rehearsed: plugin tax, which requires plugin log (preflight = false)" in warnings
        assert pids(await server.status()) == before
        file.write_text("")
        assert isinstance(await server.rollback(), Committed)
        warnings = (await told(server, PreflightCompleted))[-1].warnings
        assert "not rehearsed: plugin tax, which requires what was left out" in warnings
    assert set(statuses) == {200}
