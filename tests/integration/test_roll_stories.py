"""New processes take over from those that serve, over real sockets and real signals."""

import asyncio
import os
import signal
import time

import pytest

from changeover.server import Committed, Milestone, Refused, Server, Strategy
from changeover.supervisor.control import SlotState, StatusView
from changeover.workers.protocol.refusal import Fault
from changeover.workers.runtime.worker import STAY
from tests.service import Connection, Story, gone, kill, logged, status_when
from tests.waits import until

CLOCK = 0.01
"""Seconds by which the time of a file may be behind."""
STORM, SECONDS = 50, 5.0
"""HUPs, and how long they take together."""
APP = """
import asyncio
import os
from pathlib import Path

VERSION = "{version}"
FOLDER = Path("{folder}")
{top}


async def opened():
    while not (FOLDER / "gate").exists():
        await asyncio.sleep(0.005)


async def lifespan(receive, send):
    await receive()
    {startup}
    await send({{"type": "lifespan.startup.complete"}})
    await receive()
    (FOLDER / f"ended-{{os.getpid()}}").touch()
    await send({{"type": "lifespan.shutdown.complete"}})


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return await lifespan(receive, send)
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    if scope["path"] == "/slow":
        await opened()
    text = f"{{VERSION}} {{os.getpid()}} ".encode() + body
    await send({{"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(text))]}})
    await send({{"type": "http.response.body", "body": text}})
"""


class Shop:
    """An application in versions."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.folder = story.folder
        self.write("1")

    def write(self, version: str, *, top: str = "", startup: str = "pass") -> None:
        """Edit it."""
        text = APP.format(version=version, folder=self.folder, top=top, startup=startup)
        (self.folder / "main.py").write_text(text)

    async def roll(self, server: Server, version: str) -> Committed:
        """Edit it, and have it served."""
        self.write(version)
        outcome = await server.reload()
        assert isinstance(outcome, Committed), outcome
        return outcome


@pytest.fixture
def shop(story: Story) -> Shop:
    return Shop(story)


async def version(connection: Connection) -> str:
    return (await connection.get("/")).words[0]


def serving(status: StatusView) -> list[int]:
    return [slot.pid for slot in status.slots if slot.state is SlotState.SERVING]


async def alone(server: Server, workers: int) -> StatusView:
    """Wait until those that were replaced have left."""
    return await status_when(server, lambda status: len(status.slots) == len(serving(status)) == workers)


async def test_open_connections_go_over_to_new_processes_and_none_is_closed(story: Story, shop: Shop) -> None:
    async with story.server(2, app="main:app") as server:
        before = serving(await server.status())
        idle, silent, dribbling, pipelining = [await story.connect(server) for _ in range(4)]
        assert await version(idle) == "1"
        await dribbling.send(b"GET / HTTP/1.1\r\nho")
        for number in ("2", "3", "4"):
            outcome = await shop.roll(server, number)
            assert outcome.summary == ("app main:app (1 file)",)
            assert await version(idle) == number
        await dribbling.send(b"st: story\r\n\r\n")
        assert (await dribbling.answer()).words[0] == "4"
        assert await version(silent) == "4"
        await pipelining.send(b"GET / HTTP/1.1\r\nhost: story\r\n\r\n" * 3)
        assert [(await pipelining.answer()).words[0] for _ in range(3)] == ["4"] * 3
        after = serving(await alone(server, 2))
        assert not set(before) & set(after)
        for pid in before:
            await gone(pid)


async def test_a_request_in_flight_at_the_commit_of_a_roll_is_answered_by_the_old_code_and_the_next_by_the_new(
    story: Story, shop: Shop
) -> None:
    async with story.server(2, app="main:app") as server:
        connection = await story.connect(server)
        await connection.ask("/slow")
        await status_when(server, lambda status: any(slot.leases.get(1) for slot in status.slots))
        await connection.ask("/")
        await shop.roll(server, "2")
        await status_when(server, lambda status: any(slot.state is SlotState.YIELDING for slot in status.slots))
        story.open_gate()
        slow, following = await connection.answer(), await connection.answer()
        assert (slow.words[0], following.words[0]) == ("1", "2")
        assert "connection" not in {name.lower() for name in slow.headers}
        await alone(server, 2)


async def test_a_body_under_way_is_read_to_its_end_by_the_old_code(story: Story, shop: Shop) -> None:
    async with story.server(1, app="main:app") as server:
        connection = await story.connect(server)
        await connection.send(b"POST / HTTP/1.1\r\nhost: story\r\ncontent-length: 10\r\n\r\n01234")
        await status_when(server, lambda status: any(slot.leases.get(1) for slot in status.slots))
        await shop.roll(server, "2")
        await connection.send(b"56789")
        answer = await connection.answer()
        assert (answer.words[0], answer.words[2]) == ("1", "0123456789")
        assert await version(connection) == "2"


async def test_the_lifespans_of_the_old_processes_end_after_their_last_request(story: Story, shop: Shop) -> None:
    async with story.server(1, app="main:app") as server:
        [old] = serving(await server.status())
        connection = await story.connect(server)
        await connection.ask("/slow")
        await status_when(server, lambda status: any(slot.leases.get(1) for slot in status.slots))
        await shop.roll(server, "2")
        ended = shop.folder / f"ended-{old}"
        assert not ended.exists()
        opened = time.time()
        story.open_gate()
        assert (await connection.answer()).words[0] == "1"
        await until(ended.exists, "the old lifespan to end")
        stayed = ended.stat().st_mtime - opened
        assert stayed >= STAY[0] - CLOCK, "ending takes processor time from those who have just taken over"
        await gone(old)


@pytest.mark.parametrize(
    ("top", "why"),
    [
        ("raise RuntimeError('broken on import')", "broken on import"),
        ("import os; os._exit(7)", "status 7"),
        ("import os; os.kill(os.getpid(), 11)", "status -11"),
    ],
    ids=["raises", "exits", "segfaults"],
)
async def test_code_that_breaks_on_import_leaves_every_old_process_serving(
    story: Story, shop: Shop, top: str, why: str
) -> None:
    async with story.server(2, app="main:app") as server:
        connection = await story.connect(server)
        before = serving(await server.status())
        shop.write("2", top=top)
        outcome = await server.reload()
        assert isinstance(outcome, Refused)
        assert why in outcome.reason
        assert await version(connection) == "1"
        assert serving(await alone(server, 2)) == before
        assert (await shop.roll(server, "3")).serving == 3
        assert await version(connection) == "3"


async def test_one_new_process_that_cannot_start_refuses_for_all(story: Story, shop: Shop) -> None:
    first = shop.folder / "first"
    startup = f"os.close(os.open({str(first)!r}, os.O_CREAT | os.O_EXCL))"
    async with story.server(2, app="main:app") as server:
        before = serving(await server.status())
        shop.write("2", startup=startup)
        outcome = await server.reload()
        assert isinstance(outcome, Refused)
        [refusal] = outcome.refusals
        assert "FileExistsError" in refusal.refusal.traceback
        assert first.exists()
        assert serving(await alone(server, 2)) == before


async def test_a_new_process_that_does_not_start_in_time_refuses_with_its_stacks(story: Story, shop: Shop) -> None:
    async with story.server(1, app="main:app", env={"CHANGEOVER_DEADLINES_BOOT": "4"}) as server:
        shop.write("2", startup="await opened()")
        outcome = await server.reload()
        assert isinstance(outcome, Refused)
        assert "within 4 s" in outcome.reason
        [refusal] = outcome.refusals
        assert "thread 0x" in refusal.refusal.traceback
        [_, waiting] = refusal.refusal.traceback.split("Task changeover: lifespan", 1)
        assert "main.py" in waiting.partition("Task ")[0]
        assert "in opened" in waiting.partition("Task ")[0]
        assert (await story.get(server, "/")).words[0] == "1"


async def test_a_startup_that_waits_too_long_refuses_with_the_place_where_it_waits(story: Story, shop: Shop) -> None:
    async with story.server(1, app="main:app", env={"CHANGEOVER_DEADLINES_HOOK": "1s"}) as server:
        shop.write("2", startup="await opened()")
        outcome = await server.reload()
        assert isinstance(outcome, Refused)
        [told] = outcome.refusals
        refusal = told.refusal
        assert "it took longer than 1 s" in refusal.summary
        assert (refusal.fault, refusal.source) == (Fault.TIMEOUT, "await asyncio.sleep(0.005)")
        assert "await opened()" in refusal.traceback
        assert (await story.get(server, "/")).words[0] == "1"


async def test_a_rollback_brings_the_code_back_in_new_processes(story: Story, shop: Shop) -> None:
    async with story.server(1, app="main:app") as server:
        connection = await story.connect(server)
        await shop.roll(server, "2")
        outcome = await server.rollback()
        assert isinstance(outcome, Committed)
        assert await version(connection) == "1"
        held = await server.reload()
        assert isinstance(held, Refused)
        assert any("app (held; " in line for line in held.summary)
        assert (await shop.roll(server, "3")).serving == 4


async def test_a_tired_service_can_be_rolled_without_a_change(story: Story, shop: Shop) -> None:
    async with story.server(2, app="main:app") as server:
        before = serving(await server.status())
        outcome = await server.reload(strategy=Strategy.ROLL, until=Milestone.RETIRED)
        assert isinstance(outcome, Committed)
        assert not set(before) & set(serving(await alone(server, 2)))


async def test_a_plugin_is_swapped_in_processes_that_a_roll_made(story: Story, shop: Shop) -> None:
    story.write("1.0")
    async with story.server(2, app="main:app") as server:
        await shop.roll(server, "2")
        after = serving(await alone(server, 2))
        story.write("2.0")
        assert isinstance(await server.reload(), Committed)
        assert (await story.get(server, "/shop")).words[0] == "2.0"
        assert serving(await server.status()) == after


async def test_a_worker_that_is_killed_after_a_roll_comes_back_with_the_new_code(story: Story, shop: Shop) -> None:
    async with story.server(1, app="main:app") as server:
        await shop.roll(server, "2")
        status = await alone(server, 1)
        (story.folder / "main.py").write_text("broken(")
        kill(status.slots[0].pid)
        await status_when(server, lambda s: s.slots[0].pid not in (0, status.slots[0].pid) and serving(s))
        assert (await story.get(server, "/")).words[0] == "2"


async def test_an_old_worker_that_is_killed_while_it_hands_over_loses_only_its_own_request(
    story: Story, shop: Shop
) -> None:
    async with story.server(1, app="main:app") as server:
        [old] = serving(await server.status())
        busy, idle = await story.connect(server), await story.connect(server)
        assert await version(idle) == "1"
        await busy.ask("/slow")
        await status_when(server, lambda status: any(slot.leases.get(1) for slot in status.slots))
        await shop.roll(server, "2")
        assert await version(idle) == "2"
        kill(old)
        assert await version(idle) == "2"
        assert await busy.at_end()
        await alone(server, 1)


async def test_term_during_a_roll_ends_both_cohorts(story: Story, shop: Shop) -> None:
    async with story.server(2, app="main:app") as server:
        busy = await story.connect(server)
        await busy.ask("/slow")
        await status_when(server, lambda status: any(slot.leases.get(1) for slot in status.slots))
        shop.write("2", startup="await asyncio.Event().wait()")
        rolling = asyncio.create_task(server.reload())
        status = await status_when(server, lambda s: sum(slot.state is SlotState.STANDBY for slot in s.slots) == 2)
        pids = [slot.pid for slot in status.slots if slot.pid]
        os.kill(server.pid, signal.SIGTERM)
        assert isinstance(await rolling, Refused)
        story.open_gate()
        assert (await busy.answer()).words[0] == "1"
        for pid in pids:
            await gone(pid)
    assert not [name for name in os.listdir(story.folder / "runtime") if name.endswith(".sock")]


async def test_a_storm_of_hups_ends_with_what_lies_on_disk(story: Story, shop: Shop) -> None:
    seen = []
    async with story.server(2, app="main:app") as server:
        connection = await story.connect(server)
        began = time.monotonic()
        for number in range(STORM):
            shop.write(str(2 + number))
            os.kill(server.pid, signal.SIGHUP)
            while time.monotonic() < began + (number + 1) * SECONDS / STORM:
                seen.append(int(await version(connection)))
        async with asyncio.timeout(30):
            while seen[-1] != 1 + STORM:
                seen.append(int(await version(connection)))
        assert seen == sorted(seen)
        status = await alone(server, 2)
        assert (status.refused, {slot.epoch for slot in status.slots}) == (None, {status.epoch})


async def test_a_roll_in_batches_boots_its_workers_one_after_the_other_and_serves_from_all_at_once(
    story: Story, shop: Shop
) -> None:
    (story.folder / "booting").mkdir()
    async with story.server(3, app="main:app") as server:
        connection = await story.connect(server)
        assert await version(connection) == "1"
        alone_in_startup = "(FOLDER / 'booting' / 'one').touch(exist_ok=False); await asyncio.sleep(0.1)"
        shop.write("2", startup=f"{alone_in_startup}; (FOLDER / 'booting' / 'one').unlink()")
        refused = await server.reload(surge=2)
        assert isinstance(refused, Refused)
        assert "as many extra workers as there are: 3, where 2 are allowed" in refused.reason
        assert isinstance(await server.reload(batch=1, surge=3), Committed)
        assert await version(connection) == "2"


async def test_a_roll_in_parts_closes_no_connection_and_ends_with_one_number(story: Story, shop: Shop) -> None:
    async with story.server(3, app="main:app") as server:
        before = serving(await server.status())
        connections = [await story.connect(server) for _ in range(6)]
        assert {await version(connection) for connection in connections} == {"1"}
        shop.write("2")
        outcome = await server.reload(surge=1, allow_partial=True)
        assert isinstance(outcome, Committed), outcome
        assert (outcome.previous, outcome.workers) == (1, 3)
        assert {await version(connection) for connection in connections} == {"2"}
        status = await alone(server, 3)
        assert (status.parted, {slot.epoch for slot in status.slots}) == (None, {outcome.serving})
        assert not set(before) & set(serving(status))
        await logged(server, "part 2 of 3")
        assert isinstance(await shop.roll(server, "3"), Committed)
        assert await version(connections[0]) == "3"


async def test_a_part_that_refuses_reverts_those_before_it_and_closes_no_connection(story: Story, shop: Shop) -> None:
    async with story.server(3, app="main:app") as server:
        connections = [await story.connect(server) for _ in range(6)]
        assert {await version(connection) for connection in connections} == {"1"}
        booted = "(FOLDER / 'booted').touch(exist_ok=False)"
        shop.write("2", startup=booted)
        outcome = await server.reload(surge=1, allow_partial=True)
        assert isinstance(outcome, Refused), outcome
        assert "FileExistsError" in outcome.reason
        assert outcome.parts == ("part 1 of 3 (epoch 2) was committed, and reverted by epoch 4",)
        assert {await version(connection) for connection in connections} == {"1"}
        status = await alone(server, 3)
        assert (status.epoch, status.parted, {slot.epoch for slot in status.slots}) == (4, None, {4})
        assert isinstance(await shop.roll(server, "3"), Committed)
        assert await version(connections[0]) == "3"


async def test_a_tired_worker_is_replaced_and_its_connections_go_over(story: Story, shop: Shop) -> None:
    async with story.server(2, "--max-requests=20", app="main:app") as server:
        before = set(serving(await server.status()))
        connections = [await story.connect(server) for _ in range(8)]
        async with asyncio.timeout(60):
            while before & {slot.pid for slot in (await server.status()).slots}:
                for connection in connections:
                    assert await version(connection) == "1"
        assert before.isdisjoint([int((await connection.get("/")).words[1]) for connection in connections])
        await logged(server, "requests, and is replaced")


async def test_fewer_workers_close_no_connection(story: Story, shop: Shop) -> None:
    async with story.server(3, app="main:app") as server:
        connections, pids = list[Connection](), set[int]()
        async with asyncio.timeout(20):
            while len(connections) < 12 or len(pids) < 3:
                connections.append(await story.connect(server))
                pids.add(int((await connections[-1].get("/")).words[1]))
        left: list[int] = []
        for fewer in (2, 1):
            os.kill(server.pid, signal.SIGTTOU)
            left = serving(await alone(server, fewer))
        assert {int((await connection.get("/")).words[1]) for connection in connections} == set(left)


async def test_a_worker_whose_loop_hangs_is_killed_with_its_stacks_and_replaced(story: Story, shop: Shop) -> None:
    shop.write("1", top="import time\n\n\nasync def opened():\n    time.sleep(600)\n\n\nhang = opened")
    main = story.folder / "main.py"
    main.write_text(main.read_text().replace("await opened()\n    text", "await hang()\n    text"))
    async with story.server(2, app="main:app", env={"CHANGEOVER_DEADLINES_HUNG": "4"}) as server:
        stuck = await story.connect(server)
        await stuck.ask("/slow")
        assert await stuck.at_end()
        await status_when(server, lambda status: len(serving(status)) == 2, deadline=30)
        await logged(server, "its loop has not been heard for")
        await logged(server, "in opened")
        assert (await story.get(server, "/")).words[0] == "1"


async def test_a_worker_that_is_stopped_is_killed_and_the_log_says_why_there_are_no_stacks(
    story: Story, shop: Shop
) -> None:
    shop.write("1")
    async with story.server(2, app="main:app", env={"CHANGEOVER_DEADLINES_HUNG": "4"}) as server:
        stopped, _ = serving(await server.status())
        os.kill(stopped, signal.SIGSTOP)
        await logged(server, "; no stacks: it is stopped (SIGSTOP or SIGTSTP)")
        await logged(server, f"(pid {stopped}) is killed: its loop has not been heard for")
        await gone(stopped)
