"""In a container: the first of all processes, nobody in particular, and nowhere to write but a tmpfs."""

import asyncio
import contextlib
import os
import pty
import shlex
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from changeover.server import StatusView
from changeover.supervisor.api.client import SOCKET_NAME, Client, NoAnswer
from tests import facts
from tests.namespaces import for_everybody, needs_root, open_folder
from tests.service import Connection
from tests.waits import until

ORPHANS = """# /// script
# requires-python = ">=3.11"
# [tool.changeover]
# id = "orphans"
# version = "1.0"
# services = {{ orphans = {{ mount = "/orphans" }} }}
# ///
import os
import time

from changeover.plugin import CallContext, Request, Response, service


@service
async def orphans(request: Request, call: CallContext) -> Response:
    child = os.fork()
    if child == 0:
        if os.fork() == 0:
            while not os.path.exists("{gate}"):
                time.sleep(0.01)
        os._exit(0)
    os.waitpid(child, 0)
    return Response.text("forked")
"""

SOMEBODY = 47110
"""A user without an entry anywhere."""


async def ended(outer: "subprocess.Popen[bytes]") -> None:
    """End a process tree that `unshare` made, and wait until it is gone."""
    tree = psutil.Process(outer.pid).children() if outer.poll() is None else []
    for first in tree:
        first.terminate()
    try:
        await asyncio.to_thread(outer.wait, 20)
    finally:
        for first in tree:
            with contextlib.suppress(psutil.NoSuchProcess):
                first.kill()
        outer.kill()


class Container:
    """A process tree, a read-only root, and a tmpfs, by themselves.

    Attributes:
        disk: The only folder that can be written to, seen from inside.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plugins = folder / "plugins"
        self.disk = folder / "disk"
        for made in (self.plugins, self.disk, folder / "scratch"):
            made.mkdir()

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    @asynccontextmanager
    async def running(self, *arguments: str) -> AsyncIterator["psutil.Process"]:
        """Its first process, as it is seen from outside."""
        enter = (
            f"mount -t tmpfs -o mode=0700,uid={SOMEBODY} tmpfs {shlex.quote(str(self.disk))}",
            "mount -o remount,bind,ro /",
            "cd /",
            'exec "$@"',
        )
        run = [sys.executable, "-m", "changeover.supervisor", "run", f"--plugins={self.plugins}", *arguments]
        drop = ["setpriv", f"--reuid={SOMEBODY}", f"--regid={SOMEBODY}", "--clear-groups", "--"]
        inside = ["sh", "-ec", "; ".join(enter), "sh", *drop, *run, "--bind=127.0.0.1:0", "--log-format=text"]
        apart = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
        environment = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG")}
        with (self.folder / "log").open("ab") as log:
            outer = subprocess.Popen(
                [*apart, *for_everybody(inside, self.folder / "scratch")], stderr=log, env=environment
            )
        self.outer = outer
        try:
            await until(lambda: psutil.Process(outer.pid).children() or outer.poll() is not None, "the first process")
            first = next(iter(psutil.Process(outer.pid).children()), psutil.Process(outer.pid))
            yield first
        finally:
            await ended(outer)

    async def status(self, first: psutil.Process, epoch: int = 1) -> StatusView:
        """How it fares, as soon as `epoch` serves everywhere."""
        client = Client(Path(f"/proc/{first.pid}/root{self.disk}/run") / SOCKET_NAME)
        seen: list[StatusView] = []

        def serves() -> object:
            assert self.outer.poll() is None, self.log
            try:
                seen.append(client.get("/v1/status", StatusView))
            except NoAnswer:
                return False
            return seen[-1].slots and all(slot.epoch == epoch for slot in seen[-1].slots)

        await until(serves, f"epoch {epoch}; {self.log}", 30)
        return seen[-1]


@pytest.fixture
def container() -> Iterator[Container]:
    needs_root("--pid", "--fork", "--mount", "--mount-proc")
    with open_folder() as folder:
        yield Container(folder)


def on_tmpfs(container: Container) -> tuple[str, str]:
    return (f"--runtime-dir={container.disk}/run", f"--state-dir={container.disk}/state")


def zombies(first: psutil.Process) -> list[psutil.Process]:
    return [child for child in first.children(recursive=True) if child.status() == psutil.STATUS_ZOMBIE]


async def test_a_tmpfs_is_all_it_needs(container: Container) -> None:
    facts.write(container.plugins, "1.0")
    async with container.running(*on_tmpfs(container)) as first:
        status = await container.status(first)
        told = await facts.ask(status.listen[0])
        assert told.uids == (SOMEBODY,) * 3
        assert "HOME" not in told.environment
        assert told.environment["TMPDIR"] == f"{container.disk}/run/tmp"
        facts.write(container.plugins, "2.0")
        first.send_signal(signal.SIGHUP)
        status = await container.status(first, 2)
        assert (await facts.ask(status.listen[0])).version == "2.0"
    assert container.outer.returncode == 0, container.log
    assert "finished: asked to stop" in container.log


async def test_without_a_place_to_write_it_says_what_to_set(container: Container) -> None:
    facts.write(container.plugins, "1.0")
    async with container.running():
        await asyncio.to_thread(container.outer.wait, 20)
    assert container.outer.returncode == 1
    assert f"changeover-{SOMEBODY}" in container.log
    assert (
        "Read-only file system; choose a folder that we may write to with --runtime-dir and --state-dir"
        in container.log
    )
    assert "Traceback" not in container.log


async def test_the_first_process_reaps_orphans_and_takes_no_end_from_the_supervisor(container: Container) -> None:
    gate = container.folder / "gate"
    (container.plugins / "orphans.py").write_text(ORPHANS.format(gate=gate))
    async with container.running(*on_tmpfs(container), "--workers=2") as first:
        status = await container.status(first)
        for _ in range(5):
            connection = await Connection.open(status.listen[0])
            assert (await connection.get("/orphans")).body == "forked"
            connection.close()
        await until(lambda: len(first.children()) > 1, "orphans to be inherited")
        gate.touch()
        await until(lambda: len(first.children()) == 1, "orphans to be reaped")
        [supervisor] = first.children()
        [zygote] = supervisor.children()
        workers = zygote.children()
        zygote.kill()
        await until(lambda: not zygote.is_running() and supervisor.children(), "another zygote")
        for worker in workers:
            worker.kill()
        await until(lambda: not any(worker.is_running() for worker in workers), "the old workers to be reaped")
        await until(lambda: len(supervisor.children(recursive=True)) == 3, "two workers again", 30)
        await until(lambda: not zombies(first), "nothing unreaped")
        await until(lambda: "its workers serve on: it ended with status -9" in container.log, "that to be told")
    assert container.outer.returncode == 0, container.log


async def test_a_supervisor_that_is_killed_ends_the_container_with_its_signal(container: Container) -> None:
    facts.write(container.plugins, "1.0")
    async with container.running(*on_tmpfs(container)) as first:
        await container.status(first)
        [supervisor] = first.children()
        supervisor.kill()
        await asyncio.to_thread(container.outer.wait, 20)
    assert container.outer.returncode == 128 + signal.SIGKILL


async def test_a_key_at_the_terminal_is_one_signal_although_two_processes_have_it(container: Container) -> None:
    facts.write(container.plugins, "1.0")
    keyboard, terminal = pty.openpty()
    run = [sys.executable, "-m", "changeover.supervisor", "run", f"--plugins={container.plugins}", "--log-format=text"]
    apart = ["setsid", "--ctty", "--wait", "unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    with (container.folder / "log").open("ab") as log:
        outer = subprocess.Popen([*apart, *run, *on_tmpfs(container), "--bind=127.0.0.1:0"], stdin=terminal, stderr=log)
    try:
        await until(lambda: "serves in its worker" in container.log, "it to serve", 30)
        os.write(keyboard, b"\x03")
        await until(lambda: "finished: asked to stop" in container.log, "it to stop", 20)
        assert container.log.count("SIGINT: ") == container.log.count("SIGINT: stop gracefully") == 1
        assert await asyncio.to_thread(outer.wait, 20) == 0
    finally:
        await ended(outer)
        os.close(keyboard)
        os.close(terminal)
