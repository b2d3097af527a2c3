"""A service under a service manager: told how it is, given its sockets, and kept alive by its watchdog."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from changeover.supervisor.api.client import SOCKET_NAME, Client
from changeover.supervisor.process.notify import VARIABLES
from changeover.supervisor.process.passed import FIRST, stored_name
from tests.integration.test_upgrade_stories import environment, upgrade
from tests.ports import unused
from tests.service import Connection, Story
from tests.service_manager import FakeManager, managing
from tests.waits import until

EXECUTE = (
    "import json, os, sys\n"
    "given = json.loads(sys.argv[1])\n"
    "held = [os.dup(fd) for fd in given]\n"
    "for fd in given: os.close(fd)\n"
    f"for index, fd in enumerate(held, {FIRST}): os.set_inheritable(os.dup2(fd, index), True)\n"
    "os.environ.setdefault('LISTEN_PID', str(os.getpid()))\n"
    "os.execv(sys.executable, [sys.executable, *sys.argv[2:]])\n"
)
"""Does what a service manager does between fork and exec."""


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[FakeManager]:
    with managing(str(tmp_path / "notify")) as managing_us:
        yield managing_us


def log_of(story: Story) -> str:
    path = story.folder / "log"
    return path.read_text() if path.exists() else ""


@asynccontextmanager
async def started(
    story: Story,
    manager: FakeManager,
    *arguments: str,
    sockets: Sequence[socket.socket | int] = (),
    env: dict[str, str] | None = None,
    program: Sequence[str] = ("-m", "changeover.supervisor"),
) -> AsyncIterator["subprocess.Popen[bytes]"]:
    """A supervisor whose parent is a service manager; TERM ends it."""
    fds = [sock if isinstance(sock, int) else sock.fileno() for sock in sockets]
    environment = {**os.environ, "NOTIFY_SOCKET": manager.address, **(env or {})}
    if fds:
        environment["LISTEN_FDS"] = str(len(fds))
    folders = [f"--{kind}-dir={story.folder / kind}" for kind in ("runtime", "state")]
    run = [*program, "run", f"--plugins={story.plugins}", "--log-format=text", *folders, *arguments]
    with (story.folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", EXECUTE, json.dumps(fds), *run], env=environment, stderr=log, pass_fds=fds
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            await asyncio.to_thread(process.wait, 20)
        finally:
            process.kill()


async def ready(manager: FakeManager, times: int = 1) -> None:
    await until(lambda: manager.said("READY=1") == times, f"READY; said {manager.notices}", 15)


async def shows(manager: FakeManager, status: str) -> None:
    """Wait until the status begins like that: it is told beside all else."""
    await until(lambda: manager.status().startswith(status), f"{status}; said {manager.notices}", 15)


def control(story: Story) -> Client:
    return Client(story.folder / "runtime" / SOCKET_NAME)


async def answer(address: str) -> int:
    connection = await Connection.open(address)
    try:
        return (await connection.get("/shop")).status
    finally:
        connection.close()


def shown(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"{host}:{port}"


async def test_ready_reloading_and_stopping_are_told_as_they_happen(story: Story, manager: FakeManager) -> None:
    story.write("1.0")
    async with started(story, manager, "--workers=2", "--bind=127.0.0.1:0", "--log-level=debug") as process:
        await ready(manager)
        assert manager.commands()[-2:] == ["READY=1", f"MAINPID={process.pid}"]
        await shows(manager, "epoch 1, 2 of 2 slots serve")
        story.write("2.0")
        process.send_signal(signal.SIGHUP)
        await ready(manager, 2)
        assert manager.commands()[-2:] == ["RELOADING=1", "READY=1"]
        assert manager.said("MONOTONIC_USEC") == 1
        await shows(manager, "epoch 2, 2 of 2 slots serve; epoch 2 serves in all 2 workers")
        story.write("3.0", top="raise RuntimeError('on purpose')")
        process.send_signal(signal.SIGHUP)
        await ready(manager, 3)
        assert manager.commands()[-2:] == ["RELOADING=1", "READY=1"]
        await shows(manager, "epoch 2, 2 of 2 slots serve; epoch 3 refused: ")
        for child in psutil.Process(process.pid).children(recursive=True):
            assert not set(child.environ()) & set(VARIABLES)
        process.terminate()
        await asyncio.to_thread(process.wait, 20)
        assert manager.commands()[-1] == "STOPPING=1"


async def test_a_start_that_fails_says_why(story: Story, manager: FakeManager) -> None:
    story.write("1.0")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        async with started(story, manager, f"--bind={shown(taken)}") as process:
            assert await asyncio.to_thread(process.wait, 20) == 1
        assert manager.commands() == []
        assert manager.status().startswith(f"cannot listen on {shown(taken)}: in use, held by pid {os.getpid()}")


async def test_the_watchdog_hears_from_the_loop_and_not_from_one_that_is_stuck(
    story: Story, manager: FakeManager
) -> None:
    story.write("1.0")
    stuck, gate = story.folder / "stuck", story.folder / "gate"
    sticking = (
        "import pathlib, time\n"
        "from changeover.supervisor.core.machine import _Handlers\n"
        "from changeover.supervisor.cli import main\n"
        "def stick(self, event):\n"
        f"    pathlib.Path({str(stuck)!r}).touch()\n"
        f"    while not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.01)\n"
        "_Handlers._scale = stick\n"
        "main(prog_name='changeover')\n"
    )
    env = {"WATCHDOG_USEC": "100000"}
    async with started(story, manager, "--bind=127.0.0.1:0", env=env, program=("-c", sticking)) as process:
        await ready(manager)
        [address] = json.loads(control(story).raw("GET", "/v1/status"))["listen"]
        before = manager.said("WATCHDOG=1")
        await until(lambda: manager.said("WATCHDOG=1") > before + 3, "the watchdog's answers")
        process.send_signal(signal.SIGTTIN)
        await until(stuck.exists)
        during, end = manager.said("WATCHDOG=1"), asyncio.get_running_loop().time() + 0.5
        while asyncio.get_running_loop().time() < end:
            assert await answer(address) == 200
        assert manager.said("WATCHDOG=1") == during
        gate.touch()
        await until(lambda: manager.said("WATCHDOG=1") > during, "the loop to run again")


async def beats(manager: FakeManager, done: asyncio.Event) -> list[float]:
    """When the watchdog heard something, until it is done."""
    loop, heard = asyncio.get_running_loop(), list[float]()
    while not done.is_set():
        if manager.said("WATCHDOG=1") > len(heard):
            heard += [loop.time()] * (manager.said("WATCHDOG=1") - len(heard))
        await asyncio.sleep(0.02)
    return heard


async def test_the_watchdog_is_answered_while_a_program_that_stands_still_makes_room_for_the_one_before(
    story: Story, manager: FakeManager
) -> None:
    story.write("1.0")
    still = (
        "import sys\n"
        "if 'launch' in sys.orig_argv:\n"
        "    import changeover.supervisor.lifetime as lifetime\n"
        "    def broken(*_): import time; time.sleep(60)\n"
        "    lifetime.run = broken\n"
    )
    python, patience, watchdog = environment(story.folder / "venv", at_start=still), story.folder / "patience", 6.0
    patience.mkdir()
    (patience / "sitecustomize.py").write_text(
        f"from changeover.supervisor.upgrade import execution; execution.TAKES = {1.5 * watchdog}"
    )
    env = {"WATCHDOG_USEC": f"{watchdog * 1e6:.0f}", "PYTHONPATH": str(patience)}
    async with started(story, manager, "--bind=127.0.0.1:0", env=env):
        await ready(manager)
        done = asyncio.Event()
        hearing = asyncio.create_task(beats(manager, done))
        assert (await upgrade(story, f"--python={python}")).returncode == 1
        await ready(manager, 2)
        done.set()
        heard = await hearing
        assert max(after - before for before, after in pairwise(heard)) < watchdog


async def test_a_watchdog_of_another_process_hears_nothing(story: Story, manager: FakeManager) -> None:
    story.write("1.0")
    env = {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}
    async with started(story, manager, "--bind=127.0.0.1:0", env=env):
        await ready(manager)
        assert manager.said("WATCHDOG=1") == 0


async def test_every_socket_that_is_passed_serves_where_no_address_is_configured(
    story: Story, manager: FakeManager
) -> None:
    story.write("1.0")
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        async with started(story, manager, sockets=[first, second]):
            await ready(manager)
            assert [await answer(shown(sock)) for sock in (first, second)] == [200, 200]
            assert manager.said("FDSTORE=1") == 0
        queued = await Connection.open(shown(first))
        await queued.ask("/shop")
        async with started(story, manager, sockets=[first, second]):
            assert (await queued.answer()).status == 200
        queued.close()


async def test_a_socket_is_found_by_its_name(story: Story, manager: FakeManager) -> None:
    story.write("1.0")
    with socket.create_server(("127.0.0.1", 0)) as admin, socket.create_server(("127.0.0.1", 0)) as web:
        names = {"LISTEN_FDNAMES": "admin:web"}
        async with started(story, manager, "--bind=fd://web", sockets=[admin, web], env=names):
            await ready(manager)
            assert await answer(shown(web)) == 200
            assert json.loads(control(story).raw("GET", "/v1/status"))["listen"] == [shown(web)]


async def test_sockets_of_another_process_are_refused_with_the_reason(story: Story, manager: FakeManager) -> None:
    story.write("1.0")
    with socket.create_server(("127.0.0.1", 0)) as web:
        env = {"LISTEN_PID": "1", "LISTEN_FDNAMES": "web"}
        async with started(story, manager, "--bind=fd://web", sockets=[web], env=env) as process:
            assert await asyncio.to_thread(process.wait, 20) == 1
            assert f"are for process 1 and this is process {process.pid}; start changeover itself" in log_of(story)
        async with started(story, manager, "--bind=127.0.0.1:0", sockets=[web], env=env):
            await ready(manager)


async def test_a_client_that_comes_between_two_lives_is_served_by_the_second(
    story: Story, manager: FakeManager
) -> None:
    story.write("1.0")
    address = unused()
    async with started(story, manager, f"--bind={address}"):
        await ready(manager)
        assert await answer(address) == 200
    [stored] = [notice for notice in manager.notices if notice.descriptors]
    assert stored.lines == ("FDSTORE=1", f"FDNAME={stored_name(address)}")
    between = asyncio.create_task(answer(address))
    names = {"LISTEN_FDNAMES": stored_name(address)}
    async with started(story, manager, f"--bind={address}", sockets=stored.descriptors, env=names):
        async with asyncio.timeout(20):
            assert await between == 200
        await ready(manager, 2)
        assert manager.said("FDSTORE=1") == 1


@pytest.mark.parametrize("survivors", [True, False], ids=["workers-live", "all-are-killed"])
async def test_after_a_kill_what_was_stored_and_who_lives_come_together(
    story: Story, manager: FakeManager, survivors: bool
) -> None:
    story.write("1.0")
    address = unused()
    async with started(story, manager, f"--bind={address}") as process:
        await ready(manager)
        kept = await Connection.open(address)
        assert (await kept.get("/shop")).status == 200
        below = psutil.Process(process.pid).children(recursive=True)
        for each in (psutil.Process(process.pid), *(() if survivors else below)):
            each.kill()
        await asyncio.to_thread(process.wait, 20)
        await until(lambda: survivors or not any(map(psutil.Process.is_running, below)), "all to be gone")
    [stored] = [notice for notice in manager.notices if notice.descriptors]
    between = await Connection.open(address)
    await between.ask("/shop")
    names = {"LISTEN_FDNAMES": stored_name(address)}
    async with started(story, manager, f"--bind={address}", sockets=stored.descriptors, env=names) as process:
        await ready(manager, 2)
        assert (await between.answer()).status == 200
        workers = {slot["pid"] for slot in json.loads(control(story).raw("GET", "/v1/status"))["slots"]}
        assert (workers <= {each.pid for each in below}) is survivors
        assert not survivors or (await kept.get("/shop")).status == 200
        assert await answer(address) == 200
        assert manager.said("FDSTORE=1") == 1
        assert manager.said("FDSTOREREMOVE=1") == 0
    kept.close()
    between.close()


async def test_a_stored_socket_that_nobody_wants_any_more_is_let_go_of(story: Story, manager: FakeManager) -> None:
    story.write("1.0")
    with socket.create_server(("127.0.0.1", 0)) as old:
        name, address = stored_name(shown(old)), shown(old)
        env = {"LISTEN_FDNAMES": name}
        async with started(story, manager, "--bind=127.0.0.1:0", sockets=[old], env=env):
            old.close()
            await ready(manager)
            assert manager.said(f"FDNAME={name}") == manager.said("FDSTOREREMOVE=1") == 1
            with pytest.raises(ConnectionRefusedError):
                await Connection.open(address)


def below_systemd(story: Story, cgroup: str, answer: str) -> list[str]:
    """A command that finds itself in a control group of systemd, whose systemctl gives an answer.

    It leaves `looked` once it has told what that means.
    """
    found, systemctl = story.folder / "cgroup", story.folder / "systemctl"
    found.write_text(f"0::{cgroup}\n")
    systemctl.write_text(f"#!/bin/sh\n{answer}\n")
    systemctl.chmod(0o755)
    under = (
        "from pathlib import Path\n"
        "from changeover.supervisor import notifier\n"
        "from changeover.supervisor.process import unit\n"
        "from changeover.supervisor.cli import main\n"
        f"unit.CGROUP, unit.BOOTED = Path({str(found)!r}), Path('/')\n"
        f"unit.SYSTEMCTL, unit.ANSWER = ({str(systemctl)!r},), 60.0\n"
        "look = notifier._look_at_unit\n"
        "async def looked(*arguments, **named):\n"
        "    await look(*arguments, **named)\n"
        f"    Path({str(story.folder / 'looked')!r}).touch()\n"
        "notifier._look_at_unit = looked\n"
        "main(prog_name='changeover')\n"
    )
    return ["-c", under]


@pytest.mark.parametrize(("mode", "warned"), [("control-group", True), ("mixed", True), ("process", False)])
async def test_a_kill_mode_that_voids_the_promises_is_warned_of(
    story: Story, manager: FakeManager, mode: str, warned: bool
) -> None:
    story.write("1.0")
    under = below_systemd(story, "/system.slice/shop.service", f"echo KillMode={mode}")
    async with started(story, manager, "--bind=127.0.0.1:0", program=under):
        await ready(manager)
        await until((story.folder / "looked").exists)
    assert (f"KillMode={mode}" in log_of(story)) is warned


async def test_a_service_that_need_not_tell_anything_is_warned_too(story: Story, manager: FakeManager) -> None:
    story.write("1.0")
    answer = "echo MainPID=$PPID\necho KillMode=control-group"
    under = below_systemd(story, "/system.slice/shop.service", answer)
    simple = {"NOTIFY_SOCKET": "", "INVOCATION_ID": "1f"}
    async with started(story, manager, "--bind=127.0.0.1:0", program=under, env=simple):
        await until(lambda: "shop.service has KillMode=control-group" in log_of(story), log_of(story), 15)
    assert manager.listen().notices == []


async def test_the_store_follows_the_addresses_that_a_reload_adds_and_removes(
    story: Story, manager: FakeManager
) -> None:
    story.write("1.0")
    first, second = unused(), unused()
    config = story.folder / "changeover.toml"

    def bind(*addresses: str) -> None:
        config.write_text(f"bind = {json.dumps(addresses)}\n[drain]\naddress = 0.2\n")

    bind(first)
    async with started(story, manager, f"--config={config}") as process:
        await ready(manager)
        bind(first, second)
        process.send_signal(signal.SIGHUP)
        await until(lambda: manager.said(f"FDNAME={stored_name(second)}") == 1, log_of(story))
        stored = [notice for notice in manager.notices if notice.descriptors]
        assert [notice.lines[0] for notice in stored] == ["FDSTORE=1"] * 2
        await until(lambda: manager.said("READY=1") == 2, log_of(story))
        assert await answer(second) == 200
        bind(second)
        process.send_signal(signal.SIGHUP)
        await until(lambda: manager.said("FDSTOREREMOVE=1") == 1, log_of(story))
        assert manager.said(f"FDNAME={stored_name(first)}") == 2
        assert await answer(second) == 200


async def test_a_socket_that_was_passed_is_added_by_a_reload_and_removed_without_being_ended(
    story: Story, manager: FakeManager
) -> None:
    story.write("1.0")
    config = story.folder / "changeover.toml"
    config.write_text('bind = ["fd://web"]\n')
    with socket.create_server(("127.0.0.1", 0)) as web, socket.create_server(("127.0.0.1", 0)) as admin:
        names = {"LISTEN_FDNAMES": "web:admin"}
        async with started(story, manager, f"--config={config}", sockets=[web, admin], env=names) as process:
            await ready(manager)
            config.write_text('bind = ["fd://web", "fd://admin"]\n')
            process.send_signal(signal.SIGHUP)
            assert await answer(shown(admin)) == 200
            config.write_text('bind = ["fd://web"]\n')
            process.send_signal(signal.SIGHUP)
            await until(lambda: f"{shown(admin)} is closed" in log_of(story), log_of(story))
            waiting = await Connection.open(shown(admin))
            assert await answer(shown(web)) == 200
            waiting.close()
            assert manager.said("FDSTORE=1") == 0
