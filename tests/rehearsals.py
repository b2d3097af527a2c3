"""What stories look at while a candidate is rehearsed: what the server told, who lives, and who rehearses."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

import msgspec
import psutil
import pytest

from changeover.server import Server, StatusView
from changeover.supervisor.core.records.record import Record
from tests.service import Story, status_when
from tests.waits import until

R = TypeVar("R", bound=Record)

NOTE = """
import os, setproctitle
if "preflight" not in setproctitle.getproctitle():
    with open({side!r}, "a") as file:
        print(os.getpid(), file=file)
"""
"""Code that writes down which process runs it, unless that is a rehearsal."""
ENDS = {
    "raises": "raise RuntimeError('boom')",
    "exits": "raise SystemExit(3)",
    "exits at once": "os._exit(3)",
    "crashes": "import signal; os.kill(os.getpid(), signal.SIGSEGV)",
    "hangs": "print('so far', flush=True)\nwhile True: pass",
}
"""Code that ends its process, or lets it get no further; after `NOTE`."""


async def told(server: Server, kind: type[R]) -> list[R]:
    """What the server told of one kind."""
    return [
        msgspec.json.decode(event.record, type=kind) for event in await server.told() if event.type == kind.__name__
    ]


async def until_rehearsing(server: Server) -> None:
    """Wait until a candidate is rehearsed."""
    await status_when(server, lambda status: status.cutover == "preflighting")


def pids(status: StatusView) -> dict[int, int]:
    """Slot -> its worker's process."""
    return {slot.slot: slot.pid for slot in status.staff}


def rehearsers(supervisor: int) -> list[psutil.Process]:
    """Everything below a supervisor that rehearses: keepers, and what is below them."""
    below = psutil.Process(supervisor).children(recursive=True)
    return [each for each in below if "preflight" in " ".join(_cmdline(each))]


def _cmdline(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.NoSuchProcess:
        return []


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that have not ended."""
    return [each for each in processes if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]


@asynccontextmanager
async def load(story: Story, server: Server, path: str = "/shop") -> AsyncIterator[list[int]]:
    """Requests, one after the other on one connection, until the block ends; their statuses."""
    statuses: list[int] = []
    connection = await story.connect(server)

    async def ask() -> None:
        while True:
            statuses.append((await connection.get(path)).status)

    asking = asyncio.create_task(ask())
    try:
        yield statuses
        seen = len(statuses)
        await until(lambda: len(statuses) > seen or asking.done(), "another answer")
    finally:
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
