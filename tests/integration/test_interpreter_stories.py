"""Workers go over to another virtual environment, and come back, while requests are served."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from changeover.server import Committed, NeedsRoll, Planned, Refused, Server, ServerFailed, Strategy, Unchanged
from changeover.supervisor.control import SlotState, StatusView
from changeover.supervisor.interpreters.asking import DEADLINE
from changeover.workers.protocol.refusal import Fault
from tests.environments import Environment, script
from tests.service import Connection, Story, kill, logged, status_when
from tests.waits import until

APP = """
import os
import sys
{top}


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    text = f"{{sys.prefix}} {{os.getpid()}}".encode()
    await send({{"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(text))]}})
    await send({{"type": "http.response.body", "body": text}})
"""


@pytest.fixture
def other(story: Story) -> Environment:
    return Environment(story.folder / "other")


@pytest.fixture(autouse=True)
def app(story: Story) -> None:
    edit(story)


def edit(story: Story, top: str = "") -> None:
    """Write the application; `top` is further code at the top of its module."""
    (story.folder / "main.py").write_text(APP.format(top=top))


async def prefix(story: Story, server: Server) -> str:
    return (await story.get(server, "/")).words[0]


def serving(status: StatusView) -> list[int]:
    return [slot.pid for slot in status.slots if slot.state is SlotState.SERVING]


async def alone(server: Server, workers: int) -> list[int]:
    """The pids of those that serve, once those that they replaced have left."""
    return serving(await status_when(server, lambda s: len(s.slots) == len(serving(s)) == workers))


@asynccontextmanager
async def load(story: Story, server: Server, connections: int = 8) -> AsyncIterator[list[str]]:
    """Requests without a pause on open connections; a failed one, or a closed connection, fails the test.

    Yields:
        What was answered so far.
    """
    answered: list[str] = []
    over = asyncio.Event()

    async def ask(connection: Connection) -> None:
        while not over.is_set():
            answer = await connection.get("/")
            assert answer.status == 200
            answered.append(answer.words[0])

    opened = [await story.connect(server) for _ in range(connections)]
    async with asyncio.TaskGroup() as asking:
        for connection in opened:
            asking.create_task(ask(connection))
        try:
            yield answered
        finally:
            over.set()


async def test_workers_go_over_to_another_environment_and_back_under_load_and_no_request_fails(
    story: Story, other: Environment
) -> None:
    async with story.server(2, app="main:app") as server:
        own, before = await prefix(story, server), await alone(server, 2)
        async with load(story, server) as answered:
            there = await server.reload(python=other.folder)
            assert isinstance(there, Committed), there
            await until(lambda: answered[-1] == str(other.folder), "answers out of the other environment")
            after = await alone(server, 2)
            back = await server.rollback()
            assert isinstance(back, Committed), back
            await until(lambda: answered[-1] == own, "answers out of our own again")
        assert not set(before) & set(after)
        assert set(answered) == {own, str(other.folder)}
        assert f"({other.python})" in there.summary[0]
        assert there.summary[0].startswith("python 3.")
        assert there.summary[0].partition(" -> ")[2] in back.summary[0].partition(" -> ")[0]
        assert there.memory is not None
        assert (there.memory.workers, there.memory.each > 1 << 20) == (2, True)


async def test_a_dry_run_says_that_another_environment_takes_a_roll_and_what_memory(
    story: Story, other: Environment
) -> None:
    async with story.server(1, app="main:app") as server:
        await status_when(server, lambda status: status.slots[0].rss)
        planned = await server.reload(python=other.python, dry_run=True)
        assert isinstance(planned, Planned), planned
        assert planned.candidate is not None
        assert planned.candidate.is_roll
        assert f"-> {planned.candidate.interpreter}" in planned.summary[0]
        assert planned.candidate.interpreter.python == str(other.python)
        assert planned.memory is not None
        swap = await server.reload(python=other.python, strategy=Strategy.SWAP)
        assert isinstance(swap, NeedsRoll), swap
        assert swap.changed[0] == f"{planned.summary[0]} (needs a roll)"


async def test_a_killed_worker_and_a_killed_zygote_come_back_in_the_environment_that_serves(
    story: Story, other: Environment
) -> None:
    # Two deaths of the only worker right after a roll would be a reason to go back.
    async with story.server(1, app="main:app", env={"CHANGEOVER_DEADLINES_RESCUE": "0"}) as server:
        assert isinstance(await server.reload(python=other.folder), Committed)
        [pid] = await alone(server, 1)
        kill(pid)
        await status_when(server, lambda s: serving(s) and pid not in serving(s))
        assert await prefix(story, server) == str(other.folder)
        [pid] = serving(await server.status())
        kill(psutil.Process(pid).ppid())
        await logged(server, "the zygote of cohort 3 is ready")
        kill(pid)
        await status_when(server, lambda s: serving(s) and pid not in serving(s))
        assert await prefix(story, server) == str(other.folder)


async def test_the_environment_that_a_reload_took_holds_through_a_restart_until_the_configuration_changes(
    story: Story, other: Environment
) -> None:
    async with story.server(1, app="main:app") as server:
        own = await prefix(story, server)
        assert isinstance(await server.reload(python=other.folder), Committed)
        again = await server.reload()
        assert isinstance(again, Unchanged)
        assert any("holds until the configuration's `python` changes" in note for note in again.notes)
    async with story.server(1, app="main:app") as server:
        assert await prefix(story, server) == str(other.folder)
        assert isinstance(await server.reload(force=True), Committed)
        assert await prefix(story, server) == own


async def test_a_link_that_is_turned_changes_nothing_until_a_reload(story: Story, other: Environment) -> None:
    new = Environment(story.folder / "new")
    current = story.folder / "current"
    os.symlink(other.folder, current)
    async with story.server(1, f"--python={current}", app="main:app") as server:
        assert await prefix(story, server) == str(other.folder)
        os.unlink(current)
        os.symlink(new.folder, current)
        [pid] = serving(await server.status())
        kill(psutil.Process(pid).ppid())
        await logged(server, "the zygote of cohort 2 is ready")
        kill(pid)
        await status_when(server, lambda s: serving(s) and pid not in serving(s))
        assert await prefix(story, server) == str(other.folder)
        assert isinstance(await server.reload(), Committed)
        assert await prefix(story, server) == str(new.folder)


async def test_plugins_alone_are_served_by_the_configured_environment_and_a_cold_start_falls_back_to_the_last(
    story: Story, other: Environment
) -> None:
    story.write("1.0", top=f"import sys\nassert sys.prefix == {str(other.folder)!r}, sys.prefix")
    missing = story.folder / "missing"
    async with story.server(1, f"--python={other.folder}") as server:
        assert (await story.get(server, "/shop")).words[0] == "1.0"
    async with story.server(1, f"--python={missing}") as server:
        assert (await story.get(server, "/shop")).words[0] == "1.0"
        await logged(server, f"python {missing} cannot be executed: No such file or directory")
    with pytest.raises(ServerFailed, match="cannot be executed: No such file") as failed:
        async with story.server(1, f"--python={missing}", "--boot=disk"):
            pass
    assert failed.value.status == 4


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda folder: Environment(folder / "bare", ()).folder, "cannot import changeover.workers"),
        (lambda folder: folder / "nothing", "No such file or directory"),
        (lambda folder: folder / "plugins", "plugins/bin/python cannot be executed"),
        (lambda folder: script(folder / "mute", "exit 0"), "did not say who it is"),
    ],
    ids=["without changeover", "not there", "no environment", "no python"],
)
async def test_an_interpreter_that_cannot_execute_what_serves_is_refused_and_nothing_changed(
    story: Story, make: Callable[[Path], Path], why: str
) -> None:
    async with story.server(1, app="main:app") as server:
        before = await alone(server, 1)
        outcome = await server.reload(python=make(story.folder))
        assert isinstance(outcome, Refused), outcome
        [refusal] = outcome.refusals
        assert why in refusal.refusal.summary
        assert (refusal.refusal.fault, outcome.epoch, outcome.serving) == (Fault.CONFIG, None, 1)
        assert isinstance(await server.reload(), Unchanged)
        assert await alone(server, 1) == before


async def test_one_that_hangs_is_refused_after_its_deadline_and_holds_up_no_request(story: Story) -> None:
    hanging = script(story.folder / "hanging", "exec sleep 600")
    async with story.server(1, app="main:app") as server:
        own = await prefix(story, server)
        async with load(story, server, 2) as answered:
            before = len(answered)
            outcome = await server.reload(python=hanging)
            assert len(answered) > before + 10
        assert isinstance(outcome, Refused)
        assert f"did not say within {DEADLINE:g} s who it is" in outcome.reason
        assert outcome.refusals[0].refusal.fault is Fault.TIMEOUT
        assert set(answered) == {own}


async def test_a_changeover_of_another_protocol_is_refused(story: Story, other: Environment) -> None:
    other.at_start("import changeover.workers.protocol.messages as messages; messages.PROTOCOL_VERSION = 99")
    async with story.server(1, app="main:app") as server:
        outcome = await server.reload(python=other.folder)
        assert isinstance(outcome, Refused)
        assert "speaks protocol 99" in outcome.reason


async def test_an_environment_that_is_gone_keeps_its_workers_and_one_that_died_comes_back_once_it_is_there_again(
    story: Story, other: Environment
) -> None:
    async with story.server(2, app="main:app") as server:
        assert isinstance(await server.reload(python=other.folder), Committed)
        first, second = await alone(server, 2)
        away = other.folder.rename(story.folder / "away")
        kill(psutil.Process(first).ppid())
        await logged(server, "cannot be executed: No such file or directory")
        kill(first)
        await status_when(server, lambda s: first not in serving(s))
        assert await prefix(story, server) == str(other.folder)
        assert serving(await server.status()) == [second]
        away.rename(other.folder)
        await status_when(server, lambda s: len(serving(s)) == 2, deadline=30)


async def test_distributions_of_the_other_environment_are_content_and_ours_are_not(
    story: Story, other: Environment
) -> None:
    async with story.server(1, app="main:app") as server:
        assert isinstance(await server.reload(python=other.folder), Committed)
        other.install("shop", "2.0")
        outcome = await server.reload()
        assert isinstance(outcome, Committed), outcome
        assert outcome.summary[0] == "app main:app (installed packages)"
        shutil.rmtree(other.packages / "shop-2.0.dist-info")
        [pid] = await alone(server, 1)
        kill(psutil.Process(pid).ppid())
        await logged(server, "- shop 2.0")
        assert await prefix(story, server) == str(other.folder)


THREAD = "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()"


async def test_strict_preloading_refuses_what_starts_threads_and_names_it(story: Story) -> None:
    async with story.server(1, "--preload=strict", app="main:app") as server:
        before = await alone(server, 1)
        (story.folder / "pool.py").write_text(THREAD)
        edit(story, "import pool")
        outcome = await server.reload()
        assert isinstance(outcome, Refused), outcome
        assert "importing pool started threads" in outcome.reason
        assert outcome.refusals[0].refusal.fault is Fault.CONTRACT
        assert await alone(server, 1) == before
    with pytest.raises(ServerFailed, match="importing pool started threads") as failed:
        async with story.server(1, "--preload=strict", "--boot=disk", app="main:app"):
            pass
    assert failed.value.status == 4


async def test_plain_preloading_says_that_workers_import_after_the_fork_and_because_of_what(story: Story) -> None:
    (story.folder / "pool.py").write_text(THREAD)
    edit(story, "import pool")
    async with story.server(1, "--preload", app="main:app") as server:
        assert str(os.getpid()) != (await story.get(server, "/")).words[1]
        await logged(server, "its workers import after the fork, because importing pool started threads")
