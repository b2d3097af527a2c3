"""A supervisor dies, and the next one goes on with everything that serves."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil
import pytest

from changeover.server import Committed, NoAnswer, OutcomeUnknown, Server, ServerFailed, StatusView, Strategy
from changeover.supervisor.control import SlotState
from tests.environments import Environment
from tests.integration.test_roll_stories import Shop
from tests.service import Connection, Story, gone, kill, logged, status_when
from tests.waits import until

ORPHAN = {"CHANGEOVER_DEADLINES_ORPHAN": "60"}

SLOW_DISK = """
import asyncio
from changeover.supervisor.journal.journal import Journal
recover = Journal.recover
async def slowly(self):
    await asyncio.sleep(2)
    return await recover(self)
Journal.recover = slowly
"""

BLOCKING = """
import os, time
from types import SimpleNamespace

async def stands_still(seconds):
    named = GATE.with_name("blocked")
    if not named.exists():
        named.write_text(str(os.getpid()))
    time.sleep(seconds)

asyncio = SimpleNamespace(sleep=stands_still)
"""
"""A plugin that waits with the thread of its worker, and not with the loop."""


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path)


def serving(status: StatusView) -> list[int]:
    return [slot.pid for slot in status.staff if slot.state is SlotState.SERVING]


def alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def zygote_of(worker: int) -> int:
    return int(psutil.Process(worker).ppid())


@asynccontextmanager
async def abandoned(story: Story, workers: int = 2, *arguments: str) -> AsyncIterator[Server]:
    """A server whose supervisor is killed when the block ends; its processes live on."""
    with pytest.raises(ServerFailed):
        async with story.server(workers, *arguments, env=ORPHAN) as server:
            yield server
            with suppress(ProcessLookupError):  # some kill it themselves, before its workers
                kill(server.pid)
            await until(lambda: not alive(server.pid), "the supervisor to be dead")


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[Connection]:
    """A connection that outlives servers."""
    connection = await Connection.open(address)
    try:
        yield connection
    finally:
        connection.close()


async def all_serve(server: Server, workers: int = 2) -> list[int]:
    def so(status: StatusView) -> bool:
        pids = serving(status)
        return len(pids) == workers == len(status.slots) and all(map(alive, pids))  # of a death it hears a bit later

    return serving(await status_when(server, so))


async def test_a_supervisor_that_starts_again_adopts_workers_and_cuts_over_with_them(story: Story) -> None:
    story.write("1.0")
    async with abandoned(story) as first:
        before = serving(await first.status())
        [address] = first.addresses
    async with connected(address) as connection:
        assert (await connection.get("/shop")).words[:2] == ["1.0", "1"]
        async with story.server(env=ORPHAN) as second:
            assert second.addresses == (address,)
            assert await all_serve(second) == before
            assert (await second.status()).term == 2
            story.write("2.0")
            assert isinstance(await second.reload(), Committed)
            assert (await connection.get("/shop")).words[:2] == ["2.0", "2"]
    assert not any(map(psutil.pid_exists, before))


async def test_a_supervisor_that_is_killed_between_two_parts_of_a_roll_leaves_them_to_be_reverted(story: Story) -> None:
    story.write("1.0")
    async with abandoned(story, 3) as first:
        [address] = first.addresses
        story.write("2.0")
        rolling = asyncio.create_task(first.reload(strategy=Strategy.ROLL, surge=1, allow_partial=True))
        parted = await status_when(first, lambda status: status.part == "part 1 of 3")
        assert (parted.epoch, parted.parted) == (1, 2)
    async with connected(address) as connection:
        with pytest.raises((OutcomeUnknown, NoAnswer)):
            await rolling
        assert (await connection.get("/shop")).words[0] in ("1.0", "2.0")
        async with story.server(3, env=ORPHAN) as second:
            status = await status_when(second, lambda status: status.parted is None and status.epoch > 2)
            assert {slot.epoch for slot in status.staff} == {status.epoch}
            assert (await connection.get("/shop")).words[0] == "1.0"
            await all_serve(second, 3)
            assert isinstance(await second.reload(), Committed)
            assert (await connection.get("/shop")).words[0] == "2.0"


async def test_an_adopted_zygote_forks_and_tells_how_its_workers_ended(story: Story) -> None:
    story.write("1.0")
    async with abandoned(story) as first:
        before = serving(await first.status())
        zygote = zygote_of(before[0])
    async with story.server(env=ORPHAN) as second:
        await all_serve(second)
        kill(before[0], signal.SIGSEGV)
        await gone(before[0])
        after = await all_serve(second)
        assert before[1] in after
        assert before[0] not in after
        assert {zygote_of(pid) for pid in after} == {zygote}
        await logged(second, "SIGSEGV")


async def test_workers_that_speak_before_the_journal_is_read_are_heard_after_it(story: Story) -> None:
    story.write("1.0")
    async with abandoned(story) as first:
        before = serving(await first.status())
    slow = story.folder / "slow"
    slow.mkdir()
    (slow / "sitecustomize.py").write_text(SLOW_DISK)
    async with story.server(env={**ORPHAN, "PYTHONPATH": str(slow)}) as second:
        assert await all_serve(second) == before


async def test_workers_without_a_zygote_are_adopted_and_their_listening_sockets_with_them(story: Story) -> None:
    story.write("1.0")
    async with abandoned(story) as first:
        before = serving(await first.status())
        [address] = first.addresses
        kill(zygote_of(before[0]))
    async with story.server(env=ORPHAN) as second:
        assert second.addresses == (address,)
        assert await all_serve(second) == before
        kill(before[0])
        await gone(before[0])
        after = await all_serve(second)
        assert before[1] in after
        async with connected(address) as connection:
            assert (await connection.get("/shop")).words[:2] == ["1.0", "1"]
            story.write("2.0")
            assert isinstance(await second.reload(), Committed)
            assert (await connection.get("/shop")).words[:2] == ["2.0", "2"]


async def test_workers_of_another_interpreter_get_a_zygote_of_it_also_where_the_configuration_names_none(
    story: Story,
) -> None:
    other = Environment(story.folder / "other")
    story.write("1.0", top=f"import sys\nassert sys.prefix == {str(other.folder)!r}, sys.prefix")
    async with abandoned(story, 2, f"--python={other.folder}") as first:
        before = serving(await first.status())
        kill(zygote_of(before[0]))
    async with story.server(env=ORPHAN) as second:
        assert await all_serve(second) == before
        assert (await second.status()).interpreter.python == str(other.python)
        kill(before[0])
        await gone(before[0])
        after = await all_serve(second)
        assert before[1] in after
        assert before[0] not in after


async def test_a_zygote_without_workers_keeps_the_address_and_is_adopted(story: Story) -> None:
    story.write("1.0")
    async with abandoned(story) as first:
        before = serving(await first.status())
        [address] = first.addresses
        zygote = zygote_of(before[0])
        kill(first.pid)
        for worker in before:
            kill(worker)
    async with story.server(env=ORPHAN) as second, connected(address) as connection:
        assert second.addresses == (address,)
        assert {zygote_of(pid) for pid in await all_serve(second)} == {zygote}
        assert (await connection.get("/shop")).words[:2] == ["1.0", "1"]


async def test_a_zygote_that_does_not_answer_is_replaced_and_its_workers_are_kept(story: Story) -> None:
    story.write("1.0")
    async with abandoned(story) as first:
        before = serving(await first.status())
        zygote = zygote_of(before[0])
        kill(zygote, signal.SIGSTOP)
    async with story.server(env=ORPHAN) as second:
        assert await all_serve(second) == before
        assert not alive(zygote)
        kill(before[0])
        await gone(before[0])
        assert before[1] in await all_serve(second)


async def test_a_worker_that_is_too_busy_to_be_found_ends_its_request_and_leaves(story: Story) -> None:
    story.write("1.0", top=BLOCKING)
    async with abandoned(story) as first:
        before = serving(await first.status())
        [address] = first.addresses
        zygote = zygote_of(before[0])
        connection = await Connection.open(address)
        await connection.ask("/shop/slow")
        blocked = story.folder / "blocked"
        await until(lambda: blocked.exists() and blocked.read_text(), "a worker to stand still, and to say which")
        kill(zygote)
    busy = int(blocked.read_text())
    async with story.server(env=ORPHAN) as second:
        assert busy not in await all_serve(second)
        story.open_gate()
        assert (await connection.answer()).words[:2] == ["1.0", "1"]
        connection.close()
        await gone(busy)


async def test_processes_of_another_journal_are_named_and_left_alone(story: Story) -> None:
    story.write("1.0")
    async with abandoned(story) as first:
        before = serving(await first.status())
        zygote = zygote_of(before[0])
        [address] = first.addresses
    arguments = ["--plugins", str(story.plugins), "--bind=127.0.0.1:0", f"--runtime-dir={story.folder / 'runtime'}"]
    command = [sys.executable, "-m", "changeover.supervisor", "run", *arguments, f"--state-dir={story.folder / 'else'}"]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert refused.returncode == 1
    assert "journal" in refused.stderr
    assert f"`kill {zygote}`" in refused.stderr
    async with story.server(env=ORPHAN) as second:
        assert second.addresses == (address,)
        assert await all_serve(second) == before


async def test_a_connection_in_the_queue_of_a_dead_service_is_answered_by_the_next(story: Story) -> None:
    story.write("1.0")
    async with abandoned(story, 1) as first:
        [worker] = serving(await first.status())
        [address] = first.addresses
        kill(first.pid)
        kill(worker)
    async with connected(address) as connection:
        await connection.ask("/shop")
        async with story.server(1, env=ORPHAN):
            assert (await connection.answer()).words[:2] == ["1.0", "1"]


async def test_a_start_that_was_killed_with_its_zygote_is_made_again_though_workers_of_it_live_on(story: Story) -> None:
    shop, marker = Shop(story), story.folder / "go"
    async with story.server(2, app="main:app"):
        pass
    begins = "(FOLDER / f'begins-{os.getpid()}').touch()"
    shop.write("2", startup=f"{begins}\n    while not Path({str(marker)!r}).exists(): await asyncio.sleep(0.01)")
    server = story.unstarted(2, app="main:app", env=ORPHAN)
    task = asyncio.create_task(server.__aenter__())
    await until(lambda: len([*story.folder.glob("begins-*")]) == 2 or task.done(), "the workers")
    [zygote] = psutil.Process(server.pid).children()
    workers = [child.pid for child in zygote.children()]
    kill(server.pid)
    kill(zygote.pid)
    with pytest.raises(ServerFailed):
        await task
    marker.touch()
    async with story.server(2, app="main:app") as again:
        assert (await story.get(again, "/")).words[0] == "2"
        await until(lambda: not any(map(alive, workers)), "the workers that were left behind to be gone")
