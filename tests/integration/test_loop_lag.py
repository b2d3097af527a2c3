"""The supervisor's loop lag, where operators see it."""

import json
import os
import signal
import time

from changeover.supervisor.api.client import SOCKET_NAME, Client
from tests.service import Story
from tests.waits import until

PAUSE = 0.6


async def test_a_supervisor_that_stood_still_says_so_in_its_status(story: Story) -> None:
    story.write("1.0")
    async with story.server(workers=1) as server:
        before = (await server.status()).counts
        os.kill(server.pid, signal.SIGSTOP)
        end = time.monotonic() + PAUSE
        await until(lambda: time.monotonic() > end)
        os.kill(server.pid, signal.SIGCONT)
        counts = json.loads(Client(story.folder / "runtime" / SOCKET_NAME).raw("GET", "/v1/status"))["counts"]
        assert counts["loop_lag_worst"] >= counts["loop_lag"] > PAUSE / 2
        assert counts["loop_lag"] > before.loop_lag
