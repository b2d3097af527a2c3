"""A roll is cut short by the end of its supervisor, or scaled in the middle: what the command says is what is so."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from changeover.server import Committed, Refused, Server, ServerFailed, Told
from changeover.supervisor.cli.progress import Progress
from tests.integration.test_roll_stories import Shop
from tests.service import Connection, Story, gone, kill, status_when

RELOAD = (sys.executable, "-m", "changeover", "reload", "--surge=1", "--allow-partial")
SECOND_WAITS = """
async def first_comes_up():
    if (FOLDER / "came").exists():
        await opened()
    (FOLDER / "came").touch()
"""
"""Whoever starts first of a version comes up, and nobody else does."""


@asynccontextmanager
async def half_rolled(story: Story, server: Server) -> AsyncIterator[asyncio.subprocess.Process]:
    """The command that rolls the application, of which one worker serves the next version and a second is awaited."""
    Shop(story).write("2", top=SECOND_WAITS, startup="await first_comes_up()")
    words = (*RELOAD, f"--runtime-dir={story.folder / 'runtime'}")
    pipe, along = asyncio.subprocess.PIPE, asyncio.subprocess.STDOUT
    command = await asyncio.create_subprocess_exec(*words, stdout=pipe, stderr=along)
    try:
        await heard(command, "part       2 of 3")
        await status_when(server, lambda status: status.part == "part 1 of 3" and status.cutover == "preparing")
        yield command
    finally:
        story.open_gate()


async def heard(command: asyncio.subprocess.Process, line: str) -> None:
    """Wait until the command says something."""
    assert command.stdout is not None
    async with asyncio.timeout(30):
        while line not in (told := await command.stdout.readline()).decode():
            assert told, f"the command ended before it said {line!r}"


async def said(command: asyncio.subprocess.Process) -> list[str]:
    """The last lines of the command: what it says once all is over."""
    output, _ = await asyncio.wait_for(command.communicate(), 30)
    return output.decode().splitlines()


async def test_a_stop_between_parts_is_not_said_to_have_reverted_them_and_the_next_start_takes_what_is_on_disk(
    story: Story,
) -> None:
    Shop(story)
    async with story.server(3, app="main:app") as server, half_rolled(story, server) as command:
        os.kill(server.pid, signal.SIGTERM)
        assert await said(command) == [
            "refused (exit 1): cut short by the end of the service, and nothing is reverted",
            "  part 1 of 3 (epoch 2) was committed, and is not reverted",
            "  of 3 workers, 2 served epoch 1 and 1 served epoch 2 when it was cut short",
            "  the service is stopping: asked to stop",
            "next: the next start takes what is on disk, unless `boot` says otherwise; "
            "`changeover run --boot=last` serves epoch 1",
        ]
        assert command.returncode == 1
        story.open_gate()
        await gone(server.pid)
    async with story.server(3, "--boot=last", app="main:app") as last:
        assert (await story.get(last, "/")).words[0] == "1"
    async with story.server(3, app="main:app") as disk:
        assert (await story.get(disk, "/")).words[0] == "2"


async def test_a_supervisor_that_is_killed_between_parts_is_told_with_who_serves_what_and_the_next_one_goes_back(
    story: Story,
) -> None:
    Shop(story)
    orphans = {"CHANGEOVER_DEADLINES_ORPHAN": "60"}
    with pytest.raises(ServerFailed):
        async with story.server(3, app="main:app", env=orphans) as server, half_rolled(story, server) as command:
            [address] = server.addresses
            kill(server.pid)
            [error, served, then] = await said(command)
            assert error.endswith("the server ended before the outcome was known")
            assert served == (
                "  when last heard of, epoch 2 (part 1 of 3) served in 1 of 3 workers, epoch 1 in all others; "
                "those that live serve on"
            )
            assert then.startswith("next: start it again: with workers that live it goes back to what epoch 1 is")
            assert command.returncode == 5
    connection = await Connection.open(address)
    assert (await connection.get("/")).words[0] in ("1", "2")
    async with story.server(3, app="main:app", env=orphans) as second:
        await status_when(second, lambda status: status.parted is None and status.epoch > 2)
        assert (await connection.get("/")).words[0] == "1"
        connection.close()


async def test_a_command_counts_the_workers_that_a_scale_adds_while_it_waits(story: Story) -> None:
    shop = Shop(story)
    async with story.server(2, app="main:app") as server:
        shop.write("2", startup="await opened()")
        told: list[Told] = []
        reload = asyncio.create_task(server.reload(on_progress=told.append))
        await status_when(server, lambda status: status.cutover == "preparing")
        os.kill(server.pid, signal.SIGTTIN)
        await status_when(server, lambda status: len(status.staff) == 3)
        story.open_gate()
        assert isinstance(await reload, Committed)
        progress = Progress("story")
        lines = [line for each in told for line in progress.take(each)]
        assert any(line.startswith("  prepare    3/3  ") for line in lines)


async def test_a_stop_in_a_cutover_of_all_is_not_said_to_leave_anybody_who_serves(story: Story) -> None:
    shop = Shop(story)
    async with story.server(2, app="main:app") as server:
        shop.write("2", startup="await opened()")
        reload = asyncio.create_task(server.reload())
        await status_when(server, lambda status: status.cutover == "preparing")
        os.kill(server.pid, signal.SIGTERM)
        outcome = await reload
        story.open_gate()
        await gone(server.pid)
    assert isinstance(outcome, Refused)
    assert (outcome.stopping, outcome.parts) == (True, ())
