"""What workers may use and gain: set once for zygote and workers, and kept through every death."""

import os
import resource
import signal
from pathlib import Path

import pytest

from tests import facts
from tests.service import Story, gone, status_when


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
