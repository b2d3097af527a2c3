"""The supervisor becomes another program in the process that it has, while everything serves on."""

import asyncio
import operator
import os
import signal
import subprocess
import sys
import time
import venv
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import pytest

import changeover
from changeover.server import Committed, ServerFailed, StatusView, Strategy
from changeover.supervisor.control import SlotState
from changeover.supervisor.core.entries import Trigger
from changeover.supervisor.upgrade.execution import TAKES
from tests.integration.test_service_stories import run_command
from tests.service import Answer, Connection, Story, gone, kill, logged, status_when
from tests.waits import until

WHERE = """
import os


async def app(scope, receive, send):
    body = os.getcwd().encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})
"""
"""An application that says where it is."""
ENOUGH = 30
"""Seconds that a command may take on a busy machine."""


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path)


def serving(status: StatusView) -> list[int]:
    return [slot.pid for slot in status.staff if slot.state is SlotState.SERVING]


async def upgrade(story: Story, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "changeover.supervisor", "upgrade", f"--runtime-dir={story.folder / 'runtime'}"]
    return await asyncio.to_thread(
        subprocess.run, [*command, *arguments], capture_output=True, text=True, timeout=ENOUGH
    )


def environment(folder: Path, *, dependencies: bool = True, at_start: str = "") -> Path:
    """A virtual environment whose programs are ours; `at_start` is code that each of its interpreters runs first."""
    venv.create(folder, symlinks=True, with_pip=False)
    [packages] = folder.glob("lib/python*/site-packages")
    if dependencies:
        here = [path for path in sys.path if path.endswith("site-packages")]
        sources = [str(Path(portion).parent) for portion in changeover.__path__]
        (packages / "ours.pth").write_text("\n".join([*sources, *here]))
    if at_start:
        (packages / "at_start.py").write_text(at_start)
        (packages / "then.pth").write_text("import at_start")
    return folder / "bin" / "python"


async def requests(connection: Connection, done: asyncio.Event) -> list[Answer]:
    """One request after the other on one connection."""
    answers = []
    while not done.is_set():
        answers.append(await connection.get("/shop"))
    return answers


async def test_the_same_program_takes_over_from_itself_and_nobody_notices(story: Story) -> None:
    story.write("1.0")
    async with story.server() as server:
        before = await server.status()
        connections = [await story.connect(server) for _ in range(4)]
        done = asyncio.Event()
        load = [asyncio.create_task(requests(connection, done)) for connection in connections]
        result = await upgrade(story)
        assert result.returncode == 0, result.stderr
        assert "serves in 2 workers, as before" in result.stdout
        done.set()
        assert {answer.words[0] for answers in await asyncio.gather(*load) for answer in answers} == {"1.0"}
        after = await server.status()
        assert (after.pid, after.term) == (before.pid, before.term + 1)
        assert serving(after) == serving(before)
        for other in ("state", "runtime"):
            command = run_command(story, "127.0.0.1:0", f"--{other}-dir={story.folder / 'other'}")
            second = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=ENOUGH)
            assert second.returncode == 1
            assert str(server.pid) in second.stderr
        story.write("2.0")
        assert isinstance(await server.reload(), Committed)
        assert (await connections[0].get("/shop")).words[:2] == ["2.0", "2"]


async def test_upgrades_follow_one_another_and_a_worker_that_dies_is_replaced_as_ever(story: Story) -> None:
    story.write("1.0")
    async with story.server() as server:
        before = await server.status()
        family = (server.pid, *serving(before))
        held = await rested(family)
        archives = []
        for _ in range(3):
            result = await upgrade(story)
            assert result.returncode == 0, result.stderr
            archives.append(opened(server.pid).count("/memfd:changeover-program (deleted)"))
        assert archives[2] <= archives[1]
        settled = f"supervisor and workers to hold no more sockets than {held} once there is no way back"
        await until(lambda: not any(map(operator.gt, sockets(family), held)), settled, TAKES + ENOUGH)
        first, second = serving(await server.status())
        kill(first, signal.SIGSEGV)
        await gone(first)
        after = await status_when(server, lambda status: len(serving(status)) == 2 and first not in serving(status))
        assert second in serving(after)
        assert after.term == before.term + 3
        await logged(server, "SIGSEGV")


async def test_a_program_of_another_environment_takes_over(story: Story) -> None:
    story.write("1.0")
    python = environment(story.folder / "venv")
    async with story.server() as server:
        before = await server.status()
        result = await upgrade(story, f"--python={python}")
        assert result.returncode == 0, result.stderr
        assert executable(server.pid) == executable(os.getpid())
        await logged(server, str(python))
        assert serving(await server.status()) == serving(before)


async def test_workers_keep_their_interpreter_until_a_reload_rolls_them_to_that_of_the_new_program(
    story: Story,
) -> None:
    story.write("1.0")
    python = environment(story.folder / "venv")
    async with story.server() as server:
        before = await server.status()
        assert (await upgrade(story, f"--python={python}")).returncode == 0
        kill(serving(before)[0])
        await gone(serving(before)[0])
        after = await status_when(server, lambda status: len(serving(status)) == 2)
        assert after.interpreter == before.interpreter
        outcome = await server.reload()
        assert isinstance(outcome, Committed)
        assert outcome.summary[0].endswith(f"-> {before.interpreter.version} ({python})")
        rolled = await server.status()
        assert not set(serving(rolled)) & set(serving(after))


async def test_a_program_that_does_not_run_is_refused_with_what_it_printed(story: Story) -> None:
    story.write("1.0")
    python = environment(story.folder / "venv", dependencies=False)
    async with story.server() as server:
        before = await server.status()
        result = await upgrade(story, f"--python={python}")
        assert result.returncode == 1
        assert "No module named" in result.stderr
        after = await server.status()
        assert (after.term, serving(after)) == (before.term, serving(before))
        assert isinstance(await server.reload(force=True), Committed)


async def test_a_program_that_speaks_otherwise_with_workers_is_refused(story: Story) -> None:
    story.write("1.0")
    other = "import changeover.workers.protocol.messages as messages\nmessages.PROTOCOL_VERSION += 1\n"
    python = environment(story.folder / "venv", at_start=other)
    async with story.server() as server:
        result = await upgrade(story, f"--python={python}")
        assert result.returncode == 1
        assert "protocol" in result.stderr
        assert (await story.get(server, "/shop")).words[:2] == ["1.0", "1"]


FAILURES = {
    "raises": "raise RuntimeError('on purpose')",
    "exits": "raise SystemExit(5)",
    "raises where nobody reads": (
        "import os; nobody, end = os.pipe(); os.close(nobody); os.dup2(end, 2); raise RuntimeError('on purpose')"
    ),
    "stands still": "import time; time.sleep(60)",
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_a_program_that_does_not_take_over_makes_room_for_the_one_before(story: Story, failure: str) -> None:
    story.write("1.0")
    launched = (
        "import sys\n"
        "if 'launch' in sys.orig_argv:\n"
        "    import changeover.supervisor.lifetime as lifetime\n"
        f"    def broken(*_): {FAILURES[failure]}\n"
        "    lifetime.run = broken\n"
    )
    python = environment(story.folder / "venv", at_start=launched)
    impatient = "from changeover.supervisor.upgrade import execution; execution.TAKES = 4.0"
    (story.folder / "impatient").mkdir()
    (story.folder / "impatient" / "sitecustomize.py").write_text(impatient)
    async with story.server(env={"PYTHONPATH": str(story.folder / "impatient")}) as server:
        before = await server.status()
        connection = await story.connect(server)
        result = await upgrade(story, f"--python={python}")
        assert result.returncode == 1, result.stdout
        assert "again" in result.stderr
        after = await status_when(server, lambda status: len(serving(status)) == 2)
        assert (after.pid, serving(after)) == (before.pid, serving(before))
        assert any("the last upgrade failed" in alarm for alarm in after.alarms)
        assert (await connection.get("/shop")).words[:2] == ["1.0", "1"]
        story.write("2.0")
        assert isinstance(await server.reload(), Committed)
        assert (await connection.get("/shop")).words[:2] == ["2.0", "2"]


@pytest.mark.parametrize("comes_up", [True, False], ids=["late", "never"])
async def test_workers_wait_longer_for_the_next_program_than_for_a_supervisor_that_died(
    story: Story, comes_up: bool
) -> None:
    story.write("1.0")
    slow = (
        "import sys, time\n"
        "if 'launch' in sys.orig_argv:\n"
        "    import changeover.supervisor.lifetime as lifetime\n"
        "    from changeover.supervisor.lifetime import run\n"
        "    def late(*given):\n"
        "        time.sleep(6)\n"
        "        return run(*given)\n"
        "    lifetime.run = late\n"
    )
    python = environment(story.folder / "venv", at_start=slow)
    takes = f"from changeover.supervisor.upgrade import execution; execution.TAKES = {30.0 if comes_up else 5.0}"
    (story.folder / "patience").mkdir()
    (story.folder / "patience" / "sitecustomize.py").write_text(takes)
    patience = {"PYTHONPATH": str(story.folder / "patience")}
    async with story.server(2, "--orphan-timeout=0.5", env=patience) as server:
        before = await server.status()
        connection = await story.connect(server)
        assert (await connection.get("/shop")).words[:2] == ["1.0", "1"]
        result = await upgrade(story, f"--python={python}")
        assert result.returncode == (0 if comes_up else 1), result.stderr
        assert (await connection.get("/shop")).words[:2] == ["1.0", "1"]
        assert serving(await server.status()) == serving(before)
        assert "no supervisor came" not in server.logs


@pytest.mark.parametrize("changed", ["what a hook looks at", "where the state is"])
async def test_what_refuses_the_next_program_refuses_nothing_to_the_one_before(story: Story, changed: str) -> None:
    story.write("1.0")
    config, log, looked_at = (story.folder / name for name in ("changeover.toml", "log", "looked-at"))
    looked_at.touch()
    config.write_text(f"state_dir = 'one'\n[hooks]\nbefore_boot = 'test -e {looked_at}'\n")
    folders = [f"--plugins={story.plugins}", f"--runtime-dir={story.folder / 'runtime'}"]
    run = [sys.executable, "-m", "changeover.supervisor", "run", f"--config={config}", "--bind=127.0.0.1:0", *folders]
    with log.open("wb") as out, subprocess.Popen([*run, "--log-format=text"], stderr=out) as process:
        try:
            await until(lambda: "serves in its worker" in log.read_text(), "it to serve", ENOUGH)
            if changed == "where the state is":
                config.write_text("state_dir = 'two'\n")
            else:
                looked_at.unlink()
            result = await upgrade(story)
            assert (result.returncode, "again" in result.stderr) == (1, True), result.stderr
            story.write("2.0")
            process.send_signal(signal.SIGHUP)
            await until(lambda: "epoch 2 serves in its worker" in log.read_text(), log.read_text(), ENOUGH)
            process.terminate()
            assert await asyncio.to_thread(process.wait, ENOUGH) == 0
        finally:
            process.kill()


async def test_a_program_that_fails_once_it_listens_takes_no_address_away(story: Story) -> None:
    story.write("1.0")
    launched = (
        "import sys\n"
        "if 'launch' in sys.orig_argv:\n"
        "    import changeover.supervisor.service as service\n"
        "    async def broken(*_): raise RuntimeError('on purpose')\n"
        "    service.Service.start = broken\n"
    )
    python = environment(story.folder / "venv", at_start=launched)
    path = story.folder / "shop.sock"
    async with story.server(bind=f"unix:{path}") as server:
        assert (await upgrade(story, f"--python={python}")).returncode == 1
        assert (await story.get(server, "/shop")).words[:2] == ["1.0", "1"]
    assert not path.exists()


async def test_as_many_workers_are_wanted_as_before(story: Story) -> None:
    story.write("1.0")
    async with story.server(1) as server:
        server.signal(signal.SIGTTIN)
        before = serving(await status_when(server, lambda status: len(serving(status)) == 2))
        assert (await upgrade(story)).returncode == 0
        status = await status_when(server, lambda status: status.term == 2 and len(serving(status)) == 2)
        assert (serving(status), len(status.slots)) == (before, 2)


async def test_a_service_that_went_elsewhere_first_is_there_after_an_upgrade_and_a_roll_too(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = story.folder / "elsewhere"
    elsewhere.mkdir()
    (story.folder / "main.py").write_text(WHERE)
    monkeypatch.chdir(story.folder)
    async with story.server(1, "--chdir=elsewhere", app="main:app") as server:
        assert (await story.get(server, "/")).body == str(elsewhere)
        assert (await upgrade(story)).returncode == 0, server.logs
        assert os.readlink(f"/proc/{server.pid}/cwd") == str(elsewhere)
        assert isinstance(await server.reload(strategy=Strategy.ROLL), Committed)
        assert (await story.get(server, "/")).body == str(elsewhere)


async def test_a_runtime_directory_that_was_tidied_up_holds_up_no_upgrade(story: Story) -> None:
    story.write("1.0")
    async with story.server() as server:
        before = serving(await server.status())
        (story.folder / "runtime" / "secret").unlink()
        result = await upgrade(story)
        assert result.returncode == 0, result.stderr
        assert serving(await server.status()) == before


async def test_a_cutover_that_runs_goes_first(story: Story) -> None:
    story.write("1.0")
    async with story.server() as server:
        waits = "import time, pathlib\nwhile not pathlib.Path('{gate}').exists(): time.sleep(0.01)\n"
        story.write("2.0", top=waits.format(gate=story.gate))
        reload = asyncio.create_task(server.reload())
        await logged(server, "epoch 2 is preflighting")
        upgrading = asyncio.create_task(upgrade(story))
        await logged(server, "goes first", ENOUGH)
        story.open_gate()
        assert isinstance(await reload, Committed)
        result = await upgrading
        assert result.returncode == 0, result.stderr
        assert (await story.get(server, "/shop")).words[:2] == ["2.0", "2"]


async def test_signals_that_arrive_between_two_programs_wait_for_the_next(story: Story) -> None:
    story.write("1.0")
    async with story.server() as server:
        server.signal(signal.SIGUSR2)
        await logged(server, "the supervisor becomes version", ENOUGH)
        story.write("2.0")
        await until(lambda: "launch" in Path(f"/proc/{server.pid}/cmdline").read_text(), deadline=ENOUGH)
        server.signal(signal.SIGHUP)
        await logged(server, "the supervisor was upgraded", ENOUGH)
        await status_when(server, lambda status: status.epoch == 2)


async def test_a_signal_whose_upgrade_is_refused_is_seen_in_the_status_until_one_takes_place(story: Story) -> None:
    story.write("1.0")
    unfit = story.folder / "sitecustomize.py"
    async with story.server(env={"PYTHONPATH": str(story.folder)}) as server:
        unfit.write_text(
            "import sys\nif 'changeover.supervisor.upgrade.trial' in sys.orig_argv: sys.exit('not today')\n"
        )
        server.signal(signal.SIGUSR2)
        status = await status_when(server, lambda status: status.refused_upgrade is not None)
        refused = status.refused_upgrade
        assert refused is not None
        assert (refused.origin.trigger, "not today" in refused.reason) == (Trigger.USR2, True)
        assert 0 <= time.time() - refused.at < ENOUGH
        unfit.unlink()
        server.signal(signal.SIGUSR2)
        await logged(server, "the supervisor was upgraded", ENOUGH)
        assert (await server.status()).refused_upgrade is None


async def test_a_stop_in_the_last_moment_before_the_next_program_is_heeded(story: Story) -> None:
    story.write("1.0")
    moment = 5.0
    (story.folder / "patience").mkdir()
    (story.folder / "patience" / "sitecustomize.py").write_text(
        f"from changeover.supervisor import replacement; replacement.ANSWERED = {moment}"
    )
    async with story.server(env={"PYTHONPATH": str(story.folder / "patience")}) as server:
        busy = await story.connect(server)
        await busy.ask("/shop/slow")
        await status_when(server, lambda status: any(slot.leases for slot in status.slots))
        server.signal(signal.SIGUSR2)
        await logged(server, "the supervisor becomes version", ENOUGH)
        server.signal(signal.SIGTERM)
        over = time.monotonic() + moment + 1.0
        await until(lambda: time.monotonic() > over, "the moment to be over, and the stop not yet")
        story.open_gate()
        assert (await busy.answer()).words[0] == "1.0"
        await gone_or_dead(server.pid)
        assert "the supervisor was upgraded" not in server.logs


async def test_what_was_upgraded_and_killed_is_adopted_by_the_next(story: Story) -> None:
    story.write("1.0")
    with pytest.raises(ServerFailed):
        async with story.server() as first:
            assert (await upgrade(story)).returncode == 0
            before = serving(await first.status())
            kill(first.pid)
            await gone_or_dead(first.pid)
    async with story.server() as second:
        status = await status_when(second, lambda status: len(serving(status)) == 2)
        assert serving(status) == before


def opened(pid: int) -> list[str]:
    links = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            links.append(os.readlink(entry))
    return links


def sockets(family: Iterable[int]) -> list[int]:
    """How many sockets each of these processes holds; while it is asked something it is one more."""
    return [sum(link.startswith("socket:") for link in opened(pid)) for pid in family]


async def rested(family: Iterable[int]) -> list[int]:
    """The same, when nobody asks: fifty looks in a row saw no other number."""
    looks: list[list[int]] = []

    def alike() -> bool:
        looks.append(sockets(family))
        return len(looks) > 50 and all(look == looks[-1] for look in looks[-50:])

    await until(alike, "the number of sockets to rest")
    return looks[-1]


def executable(pid: int) -> str:
    return os.readlink(f"/proc/{pid}/exe")


async def gone_or_dead(pid: int) -> None:
    def dead() -> bool:
        try:
            return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
        except FileNotFoundError:
            return True

    await until(dead, "the supervisor to be dead")
