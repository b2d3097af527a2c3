"""Workers of another user than their supervisor's: everything works, and they may do no more than they need."""

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
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

NOBODY = 65534
CRON = """# /// script
# [tool.changeover]
# id = "cron"
# version = "1.0"
# plugin = "cron:Cron"
# singleton = true
# ///
from changeover.plugin import Plugin


class Cron(Plugin[None]):
    pass
"""


class Place:
    """A service in a folder that everybody may enter, started by root."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plugins = folder / "plugins"
        self.plugins.mkdir()
        (folder / "scratch").mkdir()
        self.process: subprocess.Popen[bytes]
        self.client = Client(folder / "runtime" / SOCKET_NAME)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    @asynccontextmanager
    async def served(
        self, *arguments: str, umask: int = 0o022, below: Sequence[str] = ()
    ) -> AsyncIterator["subprocess.Popen[bytes]"]:
        folders = [f"--{kind}-dir={self.folder / kind}" for kind in ("runtime", "state")]
        run = [*below, sys.executable, "-m", "changeover.supervisor", "run", f"--plugins={self.plugins}", *folders]
        command = for_everybody([*run, "--log-format=text", "--bind=127.0.0.1:0", *arguments], self.folder / "scratch")
        with (self.folder / "log").open("ab") as log:
            process = self.process = subprocess.Popen(command, stderr=log, umask=umask)
        try:
            yield process
        finally:
            process.terminate()
            try:
                await asyncio.to_thread(process.wait, 20)
            finally:
                process.kill()

    async def address(self, epoch: int = 1) -> str:
        """Where it serves, as soon as every worker serves `epoch`."""
        seen: list[StatusView] = []

        def serves() -> object:
            assert self.process.poll() is None, self.log
            with contextlib.suppress(NoAnswer):
                seen.append(self.client.get("/v1/status", StatusView))
                return seen[-1].slots and all(slot.epoch == epoch for slot in seen[-1].slots)
            return False

        await until(serves, f"epoch {epoch}; {self.log}", 30)
        return seen[-1].listen[0]


@pytest.fixture
def place() -> Iterator[Place]:
    needs_root("--mount")
    with open_folder() as folder:
        yield Place(folder)


async def test_workers_and_zygote_run_as_the_user_and_the_supervisor_does_not(place: Place) -> None:
    facts.write(place.plugins, "1.0")
    async with place.served("--user=nobody", "--umask=027", "--workers=2", umask=0o077) as process:
        told = await facts.ask(await place.address())
        assert told.uids == (NOBODY,) * 3
        assert told.gids == (NOBODY,) * 3
        assert told.groups == (NOBODY,)
        assert told.umask == 0o027
        assert told.environment["USER"] == "nobody"
        assert told.environment["HOME"] == pwd.getpwnam("nobody").pw_dir
        assert int(told.status["CapEff"], 16) == int(told.status["CapPrm"], 16) == 0
        supervisor = psutil.Process(process.pid)
        assert supervisor.uids().real == 0
        assert {child.uids().effective for child in supervisor.children(recursive=True)} == {NOBODY}


@pytest.mark.parametrize("kept", ["+sys_resource", "-sys_resource"])
async def test_its_limits_need_no_capability_as_long_as_they_raise_nothing(place: Place, kept: str) -> None:
    facts.write(place.plugins, "1.0")
    limits = ("--rlimit=nofile=300:400", "--rlimit=core=0")
    async with place.served("--user=nobody", *limits, below=["setpriv", f"--bounding-set={kept}"]):
        told = await facts.ask(await place.address())
        assert (told.uids, told.nofile, told.core) == ((NOBODY,) * 3, (300, 400), (0, 0))


async def test_reloads_and_deaths_go_as_ever(place: Place) -> None:
    facts.write(place.plugins, "1.0")
    async with place.served("--user=nobody", umask=0o077) as process:
        first = await facts.ask(await place.address())
        facts.write(place.plugins, "2.0")
        process.send_signal(signal.SIGHUP)
        second = await facts.ask(await place.address(2))
        assert (second.version, second.pid) == ("2.0", first.pid)
        os.kill(first.pid, signal.SIGKILL)
        await until(lambda: not psutil.pid_exists(first.pid), "the worker to be gone")
        third = await facts.ask(await place.address(2))
        assert (third.version, third.uids) == ("2.0", (NOBODY,) * 3)
        assert third.pid != first.pid


async def test_an_application_is_preloaded_as_that_user_out_of_what_root_stored(place: Place) -> None:
    facts.write(place.plugins, "1.0")
    code = place.folder / "code"
    code.mkdir()
    (code / "shop.py").write_text(
        "import os\nUID = os.getuid()\n"
        "async def app(scope, receive, send):\n"
        "    if scope['type'] == 'http':\n"
        "        await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
        "        await send({'type': 'http.response.body', 'body': b'%d' % UID})\n"
    )
    async with place.served("shop:app", f"--app-dir={code}", "--user=nobody", umask=0o077):
        connection = await Connection.open(await place.address())
        assert (await connection.get("/")).body == str(NOBODY)
        connection.close()


async def test_functions_of_the_supervisor_run_as_that_user_and_its_commands_do_not(place: Place) -> None:
    facts.write(place.plugins, "1.0")
    notes = place.folder / "notes"
    notes.mkdir()
    notes.chmod(0o777)
    (place.folder / "hooks.py").write_text(
        "import os\nfrom pathlib import Path\n"
        "def note(told):\n"
        "    text = f'{os.getresuid()} {os.getresgid()} {os.getgroups()} {os.environ[\"USER\"]}'\n"
        "    (Path(__file__).parent / 'notes' / told['hook']).write_text(text)\n"
    )
    (place.folder / "code.py").write_text("async def app(scope, receive, send): ...\n")
    config = place.folder / "changeover.toml"
    config.write_text(f"[hooks]\nbefore_boot = 'hooks:note'\ncutover_committed = 'sh -c \"id -u > {notes}/command\"'\n")
    async with place.served("code:app", f"--config={config}", f"--app-dir={place.folder}", "--user=nobody"):
        await place.address()
        each = (NOBODY,) * 3
        assert (notes / "before_boot").read_text() == f"{each} {each} {[NOBODY]} nobody"
        await until(lambda: (notes / "command").exists() and (notes / "command").read_text() == "0\n", "the command")


async def test_a_number_without_an_entry_will_do(place: Place) -> None:
    facts.write(place.plugins, "1.0")
    async with place.served("--user=47110", "--group=47111"):
        told = await facts.ask(await place.address())
        assert (told.uids[1], told.gids[1], told.groups) == (47110, 47111, (47111,))


LIAR = """
import glob, os, socket, sys
from changeover.workers.link.packets import receive_packet, send_packet
from changeover.workers.protocol import belongings
from changeover.workers.protocol.belongings import ASK, MOST_DESCRIPTORS, Belongings, Listener, Told
from changeover.workers.protocol.identity import WorkerId

runtime, process, file = sys.argv[1], int(sys.argv[2]), sys.argv[3]
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as worker:
    worker.connect(glob.glob(runtime + "/worker-*.sock")[0])
    send_packet(worker, ASK)
    answer = receive_packet(worker, 65536, MOST_DESCRIPTORS)
truth = belongings.decode(answer.data)
listening = socket.socket(socket.AF_UNIX)
listening.bind("liar.sock")
listening.listen()
listeners = (*truth.belongings.listeners, Listener("unix:liar.sock", listening.fileno(), f"unix:{file}"))
held = Belongings(listeners, truth.belongings.cell, truth.belongings.counts)
lie = Told(WorkerId(1, 9, 777), process, truth.rolled, truth.journal, held)
asked = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
asked.bind(runtime + "/worker-777.sock")
asked.listen()
print("lies", flush=True)
while True:
    supervisor, _ = asked.accept()
    receive_packet(supervisor, 64)
    fds = (os.pidfd_open(process or os.getpid()), *answer.fds[1:], listening.fileno())
    send_packet(supervisor, belongings.encode(lie), fds)
"""
"""Stands beside a worker and tells the next supervisor of another process, and of another file, that they are its."""


@contextlib.contextmanager
def liar(place: Place, process: int, file: Path) -> Iterator[None]:
    """A program of the workers' user that lies as long as the block lasts; process 0 is its own."""
    folder = place.folder / "liar"
    for made in (folder, folder / "scratch"):
        made.mkdir()
        os.chown(made, NOBODY, NOBODY)
    python = [sys.executable, "-c", LIAR, str(place.folder / "runtime"), str(process), str(file)]
    inside = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *python]
    command = for_everybody(inside, folder / "scratch")
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=folder) as lying:
        try:
            assert lying.stdout is not None
            assert lying.stdout.readline() == b"lies\n"
            yield
        finally:
            lying.kill()


@pytest.mark.parametrize("names", ["a process of root's", "itself"])
async def test_a_worker_that_lies_to_the_next_supervisor_gets_nothing_of_roots_killed_or_removed(
    place: Place, names: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHANGEOVER_DEADLINES_ORPHAN", "60")
    monkeypatch.setenv("CHANGEOVER_DEADLINES_BOOT", "5")
    facts.write(place.plugins, "1.0")
    file = place.folder / "roots"
    file.touch()
    with subprocess.Popen(["sleep", "60"]) as roots:
        try:
            async with place.served("--user=nobody", "--workers=1") as first:
                await place.address()
                with liar(place, 0 if names == "itself" else roots.pid, file):
                    first.kill()
                    first.wait()
                    shutil.rmtree(place.folder / "scratch")
                    (place.folder / "scratch").mkdir()
                    async with place.served("--user=nobody", "--workers=1"):
                        await until(lambda: "serves epoch 1" in place.log.partition("term 2")[2], "it to serve again")
            assert roots.poll() is None
            assert file.exists()
        finally:
            roots.kill()


async def test_workers_can_neither_control_their_supervisor_nor_replace_its_sockets(place: Place) -> None:
    facts.write(place.plugins, "1.0")
    async with place.served("--user=nobody"):
        await place.address()
        runtime = place.folder / "runtime"
        attempt = (
            "import os, socket\n"
            f"runtime = {str(runtime)!r}\n"
            "def tried(what, *arguments):\n"
            "    try: what(*arguments)\n"
            "    except PermissionError: return 'refused'\n"
            "    return 'done'\n"
            "sock = socket.socket(socket.AF_UNIX)\n"
            "print(tried(sock.connect, f'{runtime}/control.sock'), tried(os.unlink, f'{runtime}/reports.sock'),\n"
            f"  tried(open, {str(place.folder / 'state' / 'journal.sqlite3')!r}, 'ab'))\n"
        )
        command = for_everybody(
            ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", sys.executable, "-c", attempt],
            place.folder / "other",
        )
        (place.folder / "other").mkdir()
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
        assert done.stdout.split() == ["refused"] * 3


async def test_a_folder_that_workers_cannot_enter_is_refused_at_the_start(place: Place) -> None:
    facts.write(place.plugins, "1.0")
    (place.folder / "closed").mkdir(mode=0o700)
    with socket.create_server(("127.0.0.1", 0)):
        async with place.served("--user=nobody", f"--state-dir={place.folder / 'closed' / 'state'}") as process:
            assert await asyncio.to_thread(process.wait, 20) == 1
    assert f"{place.folder / 'closed'} is closed to workers, which run as nobody" in place.log


async def test_one_of_them_leads(place: Place) -> None:
    (place.plugins / "cron.py").write_text(CRON)
    async with place.served("--user=nobody", "--workers=2"):
        await place.address()

        def leaders() -> list[int]:
            return [slot.slot for slot in place.client.get("/v1/status", StatusView).slots if slot.leads]

        await until(leaders, f"somebody leads; {place.log}", 20)
        lock = place.folder / "runtime" / "leader.lock"
        assert (lock.stat().st_uid, len(leaders())) == (NOBODY, 1)
