"""What plugins know goes on in other processes: in a roll, back again, in a recycle, and when fewer are wanted."""

import asyncio
import shutil
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from changeover.server import Committed, Refused, Server, StatusView, Strategy
from changeover.supervisor.api.bodies import ScaleBody
from changeover.supervisor.api.client import SOCKET_NAME, Client
from changeover.supervisor.control import SlotState
from changeover.supervisor.core.records.plugin import StateNotTaken
from changeover.workers.protocol.refusal import Fault
from tests.integration.test_plugin_life_stories import counted, until_told, write
from tests.service import Answer, Connection, Story, gone, kill, status_when

LIMITER = Path(__file__).parents[2] / "examples" / "14-rate-limiter"
OFTEN = {"CHANGEOVER_DEADLINES_HEARTBEAT": "100ms"}
VISITORS = 4


def serving(status: StatusView) -> set[int]:
    return {slot.pid for slot in status.slots if slot.state is SlotState.SERVING}


async def alone(server: Server, workers: int) -> set[int]:
    """Wait until so many serve and nobody else is there."""
    return serving(await status_when(server, lambda status: len(serving(status)) == workers == len(status.slots)))


class Load:
    """Visitors that ask for `/count` without a pause, each on its own connection.

    Attributes:
        answers: All that they were given.
    """

    def __init__(self, story: Story, server: Server) -> None:
        self.answers: list[Answer] = []
        self._story = story
        self._server = server
        self._done = asyncio.Event()
        self._visitors: list[asyncio.Task[None]] = []

    async def begin(self) -> None:
        for _ in range(VISITORS):
            connection = await self._story.connect(self._server)
            self._visitors.append(asyncio.create_task(self._visit(connection)))

    async def _visit(self, connection: Connection) -> None:
        while not self._done.is_set():
            self.answers.append(await connection.get("/count"))
            await asyncio.sleep(0)

    async def saw(self, version: str) -> None:
        """Wait until somebody was answered by a version."""
        async with asyncio.timeout(30):
            while version not in (answer.words[1] for answer in self.answers):
                await asyncio.sleep(0.01)

    async def end(self) -> None:
        self._done.set()
        await asyncio.gather(*self._visitors)
        assert {answer.status for answer in self.answers} == {200}


@asynccontextmanager
async def under_load(story: Story, server: Server) -> AsyncIterator[Load]:
    load = Load(story, server)
    await load.begin()
    try:
        yield load
    finally:
        await load.end()


async def total(story: Story, server: Server, workers: int) -> int:
    """What all workers have counted."""
    return sum((await counted(story, server, workers)).values())


async def until_counted(story: Story, server: Server, workers: int, expected: int) -> None:
    """Wait until all workers together have counted so much: what is in flight comes last."""
    async with asyncio.timeout(20):
        while (found := await total(story, server, workers)) != expected:
            assert found < expected, f"{found} were counted of {expected}"
            await asyncio.sleep(0.01)


async def test_no_count_is_lost_over_rolls_under_load_nor_of_a_request_that_outlives_them(story: Story) -> None:
    write(story, "1.0")
    async with story.server(2) as server:
        slow = await story.connect(server)
        await slow.ask("/count/slow")
        async with under_load(story, server) as load:
            await load.saw("1.0")
            for version in ("1.1", "1.2"):
                write(story, version)
                outcome = await server.reload(strategy=Strategy.ROLL)
                assert isinstance(outcome, Committed), outcome
                await load.saw(version)
        story.open_gate()
        assert (await slow.answer()).words[1] == "1.0"
        await alone(server, 2)
        assert {answer.words[1] for answer in load.answers} == {"1.0", "1.1", "1.2"}
        await until_counted(story, server, 2, len(load.answers) + 1)


async def test_no_count_is_lost_on_the_way_back(story: Story) -> None:
    write(story, "1.0")
    async with story.server(2) as server:
        async with under_load(story, server) as load:
            write(story, "1.1")
            assert isinstance(await server.reload(strategy=Strategy.ROLL), Committed)
            back = await server.rollback()
            assert isinstance(back, Committed), back
        await alone(server, 2)
        assert (await story.get(server, "/count")).words[1] == "1.0"
        await until_counted(story, server, 2, len(load.answers) + 1)


async def test_no_count_is_lost_when_tired_workers_are_replaced(story: Story) -> None:
    write(story, "1.0")
    async with story.server(2, "--max-requests=200", "--max-requests-jitter=100", env=OFTEN) as server:
        before = await alone(server, 2)
        async with under_load(story, server) as load:
            for pid in before:
                await gone(pid)
        async with asyncio.timeout(20):
            while await total(story, server, 2) != len(load.answers):
                await asyncio.sleep(0.05)
        assert (await server.status()).counts.restarts == 0


async def test_no_count_is_lost_when_fewer_or_more_are_wanted(story: Story) -> None:
    write(story, "1.0")
    async with story.server(3) as server:
        async with under_load(story, server) as load:
            await alone(server, 3)
            Client(story.folder / "runtime" / SOCKET_NAME).raw("PUT", "/v1/scale", ScaleBody(1))
            await alone(server, 1)
        await until_counted(story, server, 1, len(load.answers))
        server.signal(signal.SIGTTIN)
        await alone(server, 2)
        assert sorted((await counted(story, server, 2)).values()) == [0, len(load.answers)]
        write(story, "1.1")
        assert isinstance(await server.reload(strategy=Strategy.ROLL), Committed)
        await alone(server, 2)
        assert sorted((await counted(story, server, 2)).values()) == [0, len(load.answers)]


async def test_more_and_fewer_processes_in_a_roll_have_it_all(story: Story) -> None:
    write(story, "1.0")
    async with story.server(3) as server:
        async with under_load(story, server) as load:
            write(story, "1.1")
            assert isinstance(await server.reload(strategy=Strategy.ROLL, surge=1, allow_partial=True), Committed)
        await alone(server, 3)
        await until_counted(story, server, 3, len(load.answers))


async def test_an_import_that_fails_refuses_the_roll_with_its_traceback_and_everything_serves_on(story: Story) -> None:
    write(story, "1.0")
    async with story.server(2) as server:
        before = await alone(server, 2)
        async with under_load(story, server) as load:
            await load.saw("1.0")
            write(story, "2.0", taking='raise ValueError("what is this?")')
            outcome = await server.reload(strategy=Strategy.ROLL)
        assert isinstance(outcome, Refused)
        refusal = outcome.refusals[0].refusal
        assert (refusal.unit, refusal.hook) == ("plugin counter", "import_state")
        assert refusal.summary == "ValueError: what is this?"
        assert 'raise ValueError("what is this?")' in refusal.traceback
        assert await alone(server, 2) == before
        assert {answer.words[1] for answer in load.answers} == {"1.0"}
        assert await total(story, server, 2) == len(load.answers)
        write(story, "2.1")
        assert isinstance(await server.reload(strategy=Strategy.ROLL), Committed)
        await alone(server, 2)
        assert await total(story, server, 2) == len(load.answers)


async def test_a_successor_that_dies_while_it_imports_refuses_the_roll_and_everything_serves_on(story: Story) -> None:
    write(story, "1.0")
    async with story.server(2) as server:
        before = await alone(server, 2)
        assert (await story.get(server, "/count")).status == 200
        write(story, "2.0", taking="import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
        assert isinstance(await server.reload(strategy=Strategy.ROLL), Refused)
        assert await alone(server, 2) == before
        assert await total(story, server, 2) == 1


async def test_an_old_worker_that_dies_while_it_is_imported_does_not_keep_the_roll(story: Story) -> None:
    write(story, "1.0")
    async with story.server(2) as server:
        await alone(server, 2)
        waits = f"import time; from pathlib import Path; Path({str(story.folder / 'importing')!r}).touch(); "
        waits += f"[time.sleep(0.005) for _ in range(2000) if not Path({str(story.gate)!r}).exists()]; "
        write(story, "2.0", taking=waits + "self.hits = int(state)")
        rolling = asyncio.create_task(server.reload(strategy=Strategy.ROLL))
        async with asyncio.timeout(20):
            while not (story.folder / "importing").exists():
                await asyncio.sleep(0.01)
        victim = min(serving(await server.status()))
        kill(victim)
        await gone(victim)
        story.open_gate()
        outcome = await rolling
        assert isinstance(outcome, Committed), outcome
        await alone(server, 2)
        assert (await story.get(server, "/count")).words[1] == "2.0"


@pytest.mark.parametrize(("deadline", "hook"), [("HOOK", "import_state"), ("PREPARE", "")])
async def test_an_import_past_a_deadline_refuses_the_roll_and_the_next_one_is_none_the_worse(
    story: Story, deadline: str, hook: str
) -> None:
    write(story, "1.0")
    async with story.server(2, env={f"CHANGEOVER_DEADLINES_{deadline}": "3s"}) as server:
        before = await alone(server, 2)
        assert (await story.get(server, "/count")).status == 200
        write(story, "2.0", taking="return __import__('asyncio').sleep(60)")
        outcome = await server.reload(strategy=Strategy.ROLL)
        assert isinstance(outcome, Refused)
        assert {each.refusal.fault for each in outcome.refusals} == {Fault.TIMEOUT}
        assert outcome.refusals[0].refusal.hook == hook
        assert await alone(server, 2) == before
        write(story, "2.1")
        assert isinstance(await server.reload(strategy=Strategy.ROLL), Committed)
        await alone(server, 2)
        assert await total(story, server, 2) == 1


async def test_a_version_that_takes_no_state_begins_afresh_in_a_roll_and_that_is_told(story: Story) -> None:
    write(story, "1.0")
    async with story.server(1) as server:
        await story.get(server, "/count")
        write(story, "2.0", 'state = ">=1.5"')
        assert isinstance(await server.reload(strategy=Strategy.ROLL), Committed)
        await alone(server, 1)
        assert set((await counted(story, server, 1)).values()) == {0}
        [record] = await until_told(server, StateNotTaken, 1)
        assert (record.plugin, record.version, record.old) == ("counter", "2.0", "1.0")
        assert record.why == "its manifest takes the state of >=1.5"


class Limiter:
    """The example, copied and served by one worker.

    Attributes:
        let_through: How many requests of each client were.
    """

    def __init__(self, folder: Path, most: int) -> None:
        shutil.copytree(LIMITER, folder, ignore=shutil.ignore_patterns("__pycache__", ".*_cache"))
        self.folder = folder
        self.most = most
        self.let_through: Counter[str] = Counter()
        (folder / "plugins" / "limiter" / "limits.toml").write_text(f"per_minute = {most}\n")

    def server(self, *arguments: str) -> Server:
        return Server(config=self.folder / "changeover.toml", workers=1, arguments=arguments, env=OFTEN)

    def rename(self, old: str, new: str) -> None:
        """Write another version."""
        manifest = self.folder / "plugins" / "limiter" / "plugin.toml"
        manifest.write_text(manifest.read_text().replace(old, new))

    async def visit(self, server: Server, client: str, times: int) -> None:
        """Ask so often, on one connection that nobody closes."""
        connection = await Connection.open(server.addresses[0])
        try:
            for _ in range(times):
                await connection.send(f"GET /hello HTTP/1.1\r\nhost: story\r\nx-client: {client}\r\n\r\n".encode())
                self.let_through[client] += (await connection.answer()).status == 200
                await asyncio.sleep(0.005)
        finally:
            connection.close()

    async def until_limited(self, server: Server, clients: int) -> None:
        """Ask for every client until nothing is let through any more."""
        for client in range(clients):
            while (before := self.let_through[f"c{client}"]) <= self.most:
                await self.visit(server, f"c{client}", 10)
                if self.let_through[f"c{client}"] == before:
                    break


CLIENTS, MOST = 4, 200
TIRED = 900
"""Requests after which a worker is replaced: more than are made once it was."""


@pytest.mark.parametrize("way", ["roll", "rollback", "recycle"])
async def test_the_rate_limiter_lets_nobody_through_once_more_or_less(tmp_path: Path, way: str) -> None:
    limiter = Limiter(tmp_path / "limiter", MOST)
    async with limiter.server(*([f"--max-requests={TIRED}"] if way == "recycle" else [])) as server:
        before = await alone(server, 1)
        visits = [asyncio.create_task(limiter.visit(server, f"c{n}", MOST // 2)) for n in range(CLIENTS)]
        if way == "recycle":
            await limiter.visit(server, "anybody", TIRED)
            await gone(*before)
        else:
            limiter.rename("1.0.0", "1.0.1")
            assert isinstance(await server.reload(strategy=Strategy.ROLL), Committed)
        if way == "rollback":
            assert isinstance(await server.rollback(), Committed)
        await asyncio.gather(*visits)
        await alone(server, 1)
        assert {limiter.let_through[f"c{n}"] for n in range(CLIENTS)} == {MOST // 2}
        await limiter.until_limited(server, CLIENTS)
        assert {limiter.let_through[f"c{n}"] for n in range(CLIENTS)} == {MOST}
