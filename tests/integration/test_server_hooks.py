"""Server hooks in a real service: at their turn, with what they are told, and in nobody's way."""

import asyncio
import json
import os
import re
import signal
import subprocess
from typing import Any

import pytest

from changeover.server import Committed, Refused, ServerFailed, Strategy
from changeover.workers.protocol.refusal import Stage
from tests.integration.test_service_stories import run_command
from tests.service import Story, gone, logged, status_when
from tests.waits import until

HOOKS = """
import asyncio, json, os, threading, time
from pathlib import Path

HEARD = Path(__file__).with_name("heard")


def note(told):
    with HEARD.open("a") as heard:
        main = threading.current_thread() is threading.main_thread()
        heard.write(json.dumps({**told, "thread": main, "process": os.getpid()}) + "\\n")


async def note_async(told):
    await asyncio.sleep(0)
    note(told)


def prepare(told):
    os.environ["PREPARED"] = told["hook"]


def hang(told):
    note(told)
    time.sleep(1000)


def of_gunicorn(server, worker):
    raise AssertionError("it is called")


def fail(told):
    note(told)
    raise ValueError("on purpose")
"""
APP = """
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"1.0"})
"""


def prepare(story: Story, **hooks: object) -> str:
    """Write application and configuration; the flag that names the latter."""
    (story.folder / "hooks.py").write_text(HOOKS)
    (story.folder / "shop.py").write_text(APP)
    lines = [f"{name} = {json.dumps(value)}" for name, value in hooks.items()]
    (story.folder / "changeover.toml").write_text("[hooks]\n" + "\n".join(lines))
    story.write("1.0")
    return f"--config={story.folder / 'changeover.toml'}"


def heard(story: Story, hook: str) -> list[dict[str, Any]]:
    path = story.folder / "heard"
    lines = path.read_text().splitlines() if path.exists() else []
    return [told for line in lines if (told := json.loads(line))["hook"] == hook]


def noting(story: Story) -> str:
    """A command that writes what it is told as one line, in one piece: several of them run at a time."""
    return f"""sh -c 'echo "$(cat)" >> {story.folder}/heard'"""


async def test_functions_run_in_workers_and_commands_anywhere(story: Story) -> None:
    config = prepare(
        story,
        before_boot=noting(story),
        after_fork="hooks:note",
        worker_ready="hooks:note_async",
        worker_exit=noting(story),
        cutover_committed=noting(story),
    )
    async with story.server(2, config, app="shop:app") as server:
        assert heard(story, "before_boot") == [{"hook": "before_boot", "service": "story"}]
        await until(lambda: len(heard(story, "worker_ready")) == 2)
        pids = {slot.pid for slot in (await server.status()).slots}
        for hook in ("after_fork", "worker_ready"):
            assert {told["pid"] for told in heard(story, hook)} == pids
            assert {(told["service"], told["cohort"], told["slot"]) for told in heard(story, hook)} == {
                ("story", 1, 0),
                ("story", 1, 1),
            }
        assert all(told["thread"] for told in heard(story, "after_fork"))
        story.write("2.0")
        assert isinstance(await server.reload(), Committed)
        await until(lambda: len(heard(story, "cutover_committed")) == 2)
        assert [told["record"]["epoch"] for told in heard(story, "cutover_committed")] == [1, 2]
        assert heard(story, "worker_exit") == []
        server.signal(signal.SIGTERM)
        for pid in pids:
            await gone(pid)
        await until(lambda: {told["pid"] for told in heard(story, "worker_exit")} == pids, "both ends to be heard of")


async def test_what_is_prepared_after_a_fork_is_there_in_a_preflight_too(story: Story) -> None:
    async with story.server(2, prepare(story, after_fork="hooks:prepare"), app="shop:app") as server:
        story.write("2.0", top='import os\nassert os.environ["PREPARED"] == "after_fork"')
        assert isinstance(await server.reload(), Committed)
        assert (await story.get(server, "/shop")).words[0] == "2.0"


async def test_functions_of_the_supervisor_run_in_processes_of_their_own(story: Story) -> None:
    config = prepare(story, before_boot="hooks:note_async", cutover_committed="hooks:note")
    async with story.server(1, config, app="shop:app") as server:
        await until(lambda: heard(story, "cutover_committed"))
        [before], [committed] = heard(story, "before_boot"), heard(story, "cutover_committed")
        assert (before["service"], committed["service"]) == ("story", "story")
        assert committed["record"]["epoch"] == 1
        assert len({before["process"], committed["process"], server.pid}) == 3


@pytest.mark.parametrize("hook", ["hooks:hang", "hooks:fail", "sleep 1000", "/no/such/program"])
async def test_a_hook_that_hangs_or_fails_holds_up_neither_serving_nor_cutovers_nor_the_end(
    story: Story, hook: str
) -> None:
    config = prepare(story, worker_ready=hook, worker_exit=hook, cutover_committed=hook, deadline="700ms")
    async with story.server(1, config, app="shop:app") as server:
        for version in ("2.0", "3.0"):
            story.write(version)
            async with asyncio.timeout(10):
                assert isinstance(await server.reload(), Committed)
        assert (await story.get(server, "/shop")).words[0] == "3.0"
        await logged(server, f"hook worker_ready: {hook}")
        server.signal(signal.SIGTERM)
        await logged(server, "finished: asked to stop")
        await logged(server, f"hook worker_exit: {hook}")
        await logged(server, f"hook cutover_committed: {hook}")


@pytest.mark.parametrize(
    ("hook", "why"),
    [
        ("hooks:fail", r"server hook after_fork: hooks:fail failed: ValueError: on purpose \(hooks.py:\d+\)"),
        ("hooks:hang", r"server hook after_fork: hooks:hang failed: TimeoutError: not done within 0.5 s"),
        ("hooks:of_gunicorn", "hooks:of_gunicorn cannot be called with one argument, the table of facts"),
        ("false", "server hook after_fork: false ended with status 1"),
    ],
)
async def test_a_worker_whose_first_hook_fails_does_not_boot(story: Story, hook: str, why: str) -> None:
    config = prepare(story, after_fork=hook, deadline="500ms")
    with pytest.raises(ServerFailed) as failed:
        async with story.server(1, config, app="shop:app"):
            raise AssertionError("it serves")
    assert failed.value.status == 3
    assert re.search(f"no worker came up to try it: slot 0: .*{why}", failed.value.logs)


async def test_a_roll_tells_where_the_first_hook_of_its_workers_stood_and_the_slot_what_it_waits_for(
    story: Story,
) -> None:
    config = prepare(story, after_fork="hooks:prepare", deadline="500ms")
    async with story.server(1, config, app="shop:app") as server:
        (story.folder / "hooks.py").write_text(HOOKS.replace('"] = told["hook"]', '"] = told["nothing"]'))
        refused = await server.reload(strategy=Strategy.ROLL)
        assert isinstance(refused, Refused)
        [each] = refused.refusals
        assert (each.refusal.stage, each.refusal.hook) == (Stage.PREPARE, "after_fork")
        assert each.refusal.summary == "hooks:prepare failed: KeyError: 'nothing'"
        assert 'os.environ["PREPARED"] = told["nothing"]' in each.refusal.traceback
        assert (await story.get(server, "/shop")).words[0] == "1.0"


@pytest.mark.parametrize(
    ("hook", "why"),
    [
        ("false", "ended with status 1"),
        ("sleep 1000", "was not done within 0.5 s and was killed"),
        ("hooks:hang", "was not done within 0.5 s and was killed"),
    ],
)
async def test_a_start_that_its_hook_refuses_starts_nothing(story: Story, hook: str, why: str) -> None:
    done = await refused_start(story, hook, "500ms")
    assert f"hook before_boot: {hook} {why}; nothing was started" in done.stderr
    assert "Traceback" not in done.stderr


async def test_a_function_that_refuses_the_start_shows_its_traceback(story: Story) -> None:
    done = await refused_start(story, "hooks:fail", "10s")
    assert "hook before_boot: hooks:fail ended with status 1; nothing was started" in done.stderr
    assert "ValueError: on purpose" in done.stderr


async def refused_start(story: Story, hook: str, deadline: str) -> "subprocess.CompletedProcess[str]":
    config = prepare(story, before_boot=hook, deadline=deadline)
    run = run_command(story, "127.0.0.1:0", config, "shop:app")
    done = await asyncio.to_thread(subprocess.run, run, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    return done


async def test_a_worker_that_takes_the_place_of_a_dead_one_runs_its_hooks_too(story: Story) -> None:
    config = prepare(story, after_fork="hooks:note")
    async with story.server(1, config, app="shop:app") as server:
        [first] = heard(story, "after_fork")
        os.kill(first["pid"], signal.SIGKILL)
        status = await status_when(server, lambda s: s.slots[0].pid not in (0, first["pid"]) and s.slots[0].epoch)
        assert [told["pid"] for told in heard(story, "after_fork")] == [first["pid"], status.slots[0].pid]
