"""One worker in a process of its own with an application for hostile clients, and how much memory it has."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from changeover.server import Server
from tests.service import Story, status_when

APP = Path(__file__).with_name("hostile_app.py")


@asynccontextmanager
async def hostile(story: Story, limits: str = "", flags: tuple[str, ...] = ()) -> AsyncIterator[Server]:
    """One worker with the application for such clients."""
    (story.folder / "main.py").write_text(APP.read_text())
    config = story.folder / "changeover.toml"
    config.write_text(f"[limits]\n{limits}\n")
    async with story.server(
        1, f"--config={config}", *flags, app="main:app", env={"STORY": str(story.folder)}
    ) as server:
        yield server


async def worker_of(server: Server) -> int:
    """Its process id."""
    status = await status_when(server, lambda status: status.slots and status.slots[0].pid)
    return status.slots[0].pid


def resident(pid: int) -> int:
    """Bytes of resident memory."""
    text = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("VmRSS:"))
