"""Connections pass from worker to worker, and their clients notice nothing."""

import asyncio
from pathlib import Path

from tests.handover import sides
from tests.waits import until
from tests.wire import get, serving


async def test_idle_silent_and_half_said_connections_go_on_elsewhere(tmp_path: Path) -> None:
    async with serving() as server, sides(tmp_path, server) as workers:
        old, new = workers.add(server.connections), workers.add()
        idle, silent, half = [await server.client() for _ in range(3)]
        await idle.ask()
        half.send(get("/half")[:9])
        await until(lambda: any(connection.unread() for connection in old.connections))
        await old.leave_to(new)
        await asyncio.wait_for(old.departure.done(), 5)
        assert (len(old.connections), len(new.connections)) == (0, 3)
        half.send(get("/half")[9:])
        assert await half.response() == (200, b"GET /half ")
        assert await idle.ask("/idle") == (200, b"GET /idle ")
        assert await silent.ask("/silent") == (200, b"GET /silent ")
