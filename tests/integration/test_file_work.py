"""The supervisor's loop waits for no file: whatever lies on a disk is read and written beside it."""

import asyncio
import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from changeover.supervisor.api.bodies import CutoverBody, RollbackBody
from changeover.supervisor.api.client import SOCKET_NAME, Client, NoAnswer
from changeover.supervisor.control import StatusView
from tests.service import Story
from tests.waits import until

WATCHED = """
import asyncio, os, sys, threading, traceback

folders, note = tuple(sys.argv[1].split(":")), sys.argv[2]
del sys.argv[1:3]
IN_FILES = {"open", "sqlite3.connect", "os.listdir", "os.scandir", "os.mkdir", "os.rename", "os.remove", "os.rmdir"}


def hook(event, arguments):
    if event not in IN_FILES or not isinstance(arguments[0], (str, bytes, os.PathLike)):
        return
    path = os.path.abspath(os.fsdecode(arguments[0]))
    if path.startswith(folders) and asyncio._get_running_loop() is not None and os.path.exists(note):
        with open(note, "a") as told:
            told.write(f"{event} {path}\\n{''.join(traceback.format_stack(limit=12))}\\n")


from changeover.supervisor.cli import main

sys.addaudithook(hook)
main(prog_name="changeover")
"""
"""Notes each file below `folders` that is touched where a loop runs, as soon as the note is there."""
[INSTALLED] = Path(sysconfig.get_path("purelib")).glob("changeover-*.dist-info")
"""Says which version is installed, which need not be the one that runs."""
APP = """
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({{"type": "http.response.start", "status": 200, "headers": []}})
        await send({{"type": "http.response.body", "body": b"{version}"}})
"""


class Supervisor:
    """A supervisor that is watched.

    Attributes:
        pid: Its process.
        note: What it did to files on its loop, once it is there.
    """

    def __init__(self, story: Story, pid: int, note: Path) -> None:
        self.pid = pid
        self.note = note
        self._client = Client(story.folder / "runtime" / SOCKET_NAME)

    def epoch(self) -> int:
        try:
            return self._client.get("/v1/status", StatusView).epoch
        except NoAnswer:
            return 0

    async def cut_over(self, target: str, body: CutoverBody | RollbackBody) -> None:
        events = await asyncio.to_thread(lambda: [*self._client.stream("POST", target, body, seconds=20)])
        assert events[-1].event == "end"

    async def ask(self, target: str) -> None:
        await asyncio.to_thread(self._client.raw, "GET", target)


@asynccontextmanager
async def watched(story: Story, place: Path) -> AsyncIterator[Supervisor]:
    """A service whose state, plugins and application lie in `place`."""
    note = story.folder / "note"
    serve = ["run", "main:app", f"--app-dir={place}", f"--plugins={story.plugins}", "--bind=127.0.0.1:0", "--workers=2"]
    folders = [f"--runtime-dir={story.folder / 'runtime'}", f"--state-dir={place / 'state'}"]
    program = [sys.executable, "-P", "-c", WATCHED, f"{place}:{INSTALLED}", str(note)]
    with (
        (story.folder / "log").open("ab") as log,
        subprocess.Popen([*program, *serve, *folders], stderr=log, cwd=place) as process,
    ):
        try:
            supervisor = Supervisor(story, process.pid, note)
            await until(lambda: supervisor.epoch() == 1, "it to serve", 30)
            note.touch()
            yield supervisor
            process.terminate()
            assert await asyncio.to_thread(process.wait, 20) == 0
        finally:
            process.kill()


@pytest.fixture
def place(story: Story) -> Path:
    """Where everything lies that is on a disk."""
    place = story.folder / "disk"
    story.plugins = place / "plugins"
    story.plugins.mkdir(parents=True)
    return place


async def test_no_file_is_touched_by_the_loop_of_a_supervisor_that_serves(story: Story, place: Path) -> None:
    story.write("1.0")
    (place / "main.py").write_text(APP.format(version="1"))
    (place / "changeover.toml").write_text('[plugins]\nreload = "on-change"\n')
    async with watched(story, place) as supervisor:
        story.write("2.0")
        await until(lambda: supervisor.epoch() == 2, "a change to be taken", 20)
        (place / "main.py").write_text(APP.format(version="2"))
        os.kill(supervisor.pid, signal.SIGHUP)
        await until(lambda: supervisor.epoch() == 3, "a roll", 20)
        await supervisor.cut_over("/v1/rollbacks", RollbackBody())
        (place / "main.py").write_text("raise RuntimeError('broken')\n")
        await supervisor.cut_over("/v1/cutovers", CutoverBody(dry_run=True))
        await supervisor.cut_over("/v1/cutovers", CutoverBody())
        assert supervisor.epoch() == 4
        for target in ("history", "epochs/5", "diff?from=1&to=4", "diff", "plugins", "leases", "workers", "pipelines"):
            await supervisor.ask(f"/v1/{target}")
        assert supervisor.note.read_text() == ""
