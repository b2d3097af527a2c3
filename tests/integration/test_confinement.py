"""What workers may use and gain: set once for zygote and workers, and kept through every death."""

import os
import resource
import signal
from pathlib import Path

import pytest

from changeover.server import Committed, ServerFailed, Strategy
from changeover.workers.runtime import landlock
from tests import facts
from tests.service import Story, gone, status_when

WRITES = """# /// script
# requires-python = ">=3.11"
# [tool.changeover]
# id = "writes"
# version = "{version}"
# services = {{ writes = {{ mount = "/writes" }} }}
# ///
from pathlib import Path

from changeover.plugin import CallContext, Request, Response, service


def tried(path: str) -> str:
    try:
        Path(path).write_text("changed")
    except PermissionError:
        return "denied"
    return "written"


@service
async def writes(request: Request, call: CallContext) -> Response:
    return Response.text(" ".join(tried(path) for path in {paths}) + " {version}")
"""


def status_of(pid: int) -> str:
    return Path(f"/proc/{pid}/status").read_text()


async def test_limits_reach_every_worker_and_not_the_supervisor(story: Story) -> None:
    facts.write(story.plugins, "1.0")
    async with story.server(1, "--rlimit=nofile=300:400", "--rlimit=core=0") as server:
        first = await facts.ask(server.addresses[0])
        assert (first.nofile, first.core) == ((300, 400), (0, 0))
        os.kill(first.pid, signal.SIGKILL)
        await gone(first.pid)
        await status_when(server, lambda status: status.slots[0].pid not in (0, first.pid) and status.slots[0].epoch)
        second = await facts.ask(server.addresses[0])
        assert second.nofile == (300, 400)
        assert all(int(each.status["FDSize"]) >= 300 for each in (first, second))
        assert resource.prlimit(server.pid, resource.RLIMIT_NOFILE) != (300, 400)


@pytest.mark.parametrize(("flag", "kept"), [((), "1"), (("--new-privs",), "0")])
async def test_workers_gain_no_privileges_unless_they_are_let(story: Story, flag: tuple[str, ...], kept: str) -> None:
    facts.write(story.plugins, "1.0")
    async with story.server(1, *flag) as server:
        assert (await facts.ask(server.addresses[0])).status["NoNewPrivs"].strip() == kept
        assert "NoNewPrivs:\t0\n" in status_of(server.pid)


async def test_confined_workers_write_where_they_are_let_and_nowhere_else_also_after_a_roll(story: Story) -> None:
    uploads, temporary = story.folder / "uploads", story.folder / "temporary"
    uploads.mkdir()
    temporary.mkdir()
    plugin = story.plugins / "writes.py"
    paths = [f"{uploads}/new", f"{temporary}/new", "/dev/null", str(plugin), f"{story.folder}/state/new"]
    plugin.write_text(WRITES.format(version="1.0", paths=paths))
    confinement = {"CHANGEOVER_LANDLOCK": "true", "CHANGEOVER_WRITABLE": str(uploads), "TMPDIR": str(temporary)}
    if landlock.abi() < landlock.LEAST_ABI:
        with pytest.raises(ServerFailed, match="Landlock 3"):
            async with story.server(1, env=confinement):
                pass
        return
    async with story.server(2, env=confinement) as server:
        kept = await story.connect(server)
        assert (await kept.get("/writes")).words == ["written"] * 3 + ["denied"] * 2 + ["1.0"]
        plugin.write_text(WRITES.format(version="1.1", paths=paths))
        assert isinstance(await server.reload(strategy=Strategy.ROLL), Committed)
        assert (await kept.get("/writes")).words == ["written"] * 3 + ["denied"] * 2 + ["1.1"]


async def test_a_folder_to_write_to_that_is_not_there_is_named_at_the_start(story: Story) -> None:
    story.write("1.0")
    confinement = {"CHANGEOVER_LANDLOCK": "true", "CHANGEOVER_WRITABLE": str(story.folder / "uploads")}
    with pytest.raises(ServerFailed, match=r"writable.*is no folder: make it first|Landlock 3"):
        async with story.server(1, env=confinement):
            pass
