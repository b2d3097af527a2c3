"""Cutovers in a real service: what becomes of requests, plugins and workers."""

import asyncio
import signal

import msgspec

from changeover.server import Committed, NeedsRoll, Refused, Server, Strategy, Unchanged
from changeover.supervisor.control import SlotState
from changeover.supervisor.core.records.retirement import LeasesEnded
from changeover.workers.protocol.messages import Phase
from changeover.workers.protocol.refusal import Fault, Stage
from tests.service import Connection, Story, kill, logged, status_when
from tests.waits import until

FIRST_WINS = """
import os
try:
    os.close(os.open("{once}", os.O_CREAT | os.O_EXCL))
    first = True
except FileExistsError:
    first = False
"""


def only_one_worker(story: Story, then: str) -> str:
    """Code at the top of a plugin that does `then` in the first worker that loads it, and in no other."""
    return FIRST_WINS.format(once=story.folder / "once") + f"if first:\n    {then}\n"


def all_but_one_worker(story: Story, then: str) -> str:
    """Code at the top of a plugin that does `then` in every worker but the first that loads it."""
    return only_one_worker(story, "pass") + f"else:\n    {then}\n"


async def test_a_request_in_flight_at_commit_finishes_on_the_old_generation(story: Story) -> None:
    story.write("1.0")
    async with story.server() as server:
        before = await story.connect(server)
        await before.ask("/shop/slow")
        await status_when(server, lambda status: any(slot.leases for slot in status.slots))
        story.write("2.0")
        assert isinstance(await server.reload(), Committed)
        assert (await story.get(server, "/shop")).words[:2] == ["2.0", "2"]
        story.open_gate()
        assert (await before.answer()).words[:2] == ["1.0", "1"]
        assert (await before.get("/shop")).words[:2] == ["2.0", "2"]


async def test_a_stream_names_one_epoch_from_its_first_piece_to_its_last(story: Story) -> None:
    story.write("1.0")
    async with story.server() as server:
        streaming = await story.connect(server)
        await streaming.ask("/shop/stream")
        await streaming.head()
        assert await streaming.chunk() == b"1.0 1\n"
        story.write("2.0")
        assert isinstance(await server.reload(), Committed)
        story.open_gate()
        assert [await streaming.chunk(), await streaming.chunk()] == [b"1.0 1\n", b""]


async def test_the_next_cutover_does_not_wait_for_what_the_one_before_left_behind(story: Story) -> None:
    async def hold(version: str, epoch: int) -> Connection:
        connection = await story.connect(server)
        await connection.ask("/shop/slow")
        await status_when(server, lambda status: any(epoch in slot.leases for slot in status.slots))
        return connection

    story.write("1.0")
    async with story.server() as server:
        held = [await hold("1.0", 1)]
        for epoch, version in ((2, "2.0"), (3, "3.0")):
            story.write(version)
            assert isinstance(await server.reload(), Committed)
            held.append(await hold(version, epoch))
        assert await retired(server) == set()
        story.open_gate()
        assert [(await connection.answer()).words[0] for connection in held] == ["1.0", "2.0", "3.0"]
        await until_retired(server, {1, 2})


async def test_past_the_residency_bound_the_oldest_request_ends_and_the_event_names_it(story: Story) -> None:
    story.write("1.0")
    async with story.server(1, env={"CHANGEOVER_DRAIN_MAX_RESIDENT": "2"}) as server:
        held = [await hold(story, server, "/shop/slow", 1)]
        streaming = await story.connect(server)
        await streaming.ask("/shop/stream")
        await streaming.head()
        assert await streaming.chunk() == b"1.0 1\n"
        for epoch, version in ((2, "2.0"), (3, "3.0"), (4, "4.0")):
            story.write(version)
            assert isinstance(await server.reload(), Committed)
            held.append(await hold(story, server, "/shop/slow", epoch))
        for oldest in held[:2]:
            answer = await oldest.answer()
            assert (answer.status, "Ended by the server" in answer.body) == (503, True)
        assert await streaming.at_end(), "a response that is cut can be told from a whole one"
        async with asyncio.timeout(10):
            while len(records := await ended(server)) < 2:
                await asyncio.sleep(0.01)
        assert [(record.worker.slot, record.epoch, record.bound, record.stuck) for record in records] == [
            (0, 3, 2, ()),
            (0, 4, 2, ()),
        ]
        first, second = ([(lease.kind, lease.path, lease.epoch) for lease in record.ended] for record in records)
        assert first[:2] == [("http", "/shop/slow", 1), ("stream", "/shop/stream", 1)]
        assert second == [("http", "/shop/slow", 2)]
        assert all(0 < lease.age < 30 for record in records for lease in record.ended)
        story.open_gate()
        assert [(await connection.answer()).words[0] for connection in held[2:]] == ["3.0", "4.0"]
        await until_retired(server, {1, 2, 3})
        await logged(server, "ended the oldest leases: http /shop/slow on epoch 1")


async def test_a_thread_that_holds_too_old_a_copy_is_named_as_one_that_cannot_be_ended(story: Story) -> None:
    top = """
import threading, time
def work():
    while not GATE.exists(): time.sleep(0.005)
class Started:
    def __format__(self, _):
        threading.Thread(target=work).start()
        return "1.0"
"""
    story.write("1.0", top=top)
    (story.plugins / "shop.py").write_text(
        (story.plugins / "shop.py").read_text().replace('f"1.0 {call.epoch} ', 'f"{Started()} {call.epoch} ')
    )
    async with story.server(1, env={"CHANGEOVER_DRAIN_MAX_RESIDENT": "2"}) as server:
        assert (await story.get(server, "/shop")).words[0] == "1.0"
        for version in ("2.0", "3.0"):
            story.write(version)
            assert isinstance(await server.reload(), Committed)
            if version == "2.0":
                await hold(story, server, "/shop/slow", 2)
        async with asyncio.timeout(10):
            while not (records := await ended(server)):
                await asyncio.sleep(0.01)
        assert [(lease.kind, lease.path, lease.epoch) for lease in records[0].stuck] == [("task", "/shop", 1)]
        assert records[0].ended == ()
        story.open_gate()


async def hold(story: Story, server: Server, path: str, epoch: int) -> Connection:
    """A request that waits on a generation."""
    connection = await story.connect(server)
    await connection.ask(path)
    await status_when(server, lambda status: any(epoch in slot.leases for slot in status.slots))
    return connection


async def ended(server: Server) -> list[LeasesEnded]:
    """What was told of leases that the residency bound ended."""
    told = [event for event in await server.told() if event.type == "LeasesEnded"]
    return [msgspec.json.decode(event.record, type=LeasesEnded) for event in told]


async def retired(server: Server) -> set[int]:
    """Epochs of which nothing is left in any worker."""
    told = [event for event in await server.told() if event.type == "EpochRetired"]
    return {msgspec.json.decode(event.record)["epoch"] for event in told}


async def until_retired(server: Server, epochs: set[int]) -> None:
    await status_when(server, lambda status: status.phase is Phase.IDLE)
    async with asyncio.timeout(10):
        while not epochs <= await retired(server):
            await server.status()


async def test_a_task_that_a_request_left_behind_keeps_its_generation_until_it_ends(story: Story) -> None:
    story.write("1.0")
    async with story.server(workers=1) as server:
        await story.get(server, "/shop/task")
        story.write("2.0")
        await server.reload()
        leases = (await server.leases()).slots[0].leases
        assert [(lease.kind, lease.epoch) for lease in leases] == [("task", 1)]
        story.open_gate()
        await until_retired(server, {1})
        assert (await server.leases()).slots[0].leases == ()


async def test_a_plugin_that_fails_in_one_worker_changes_nothing_anywhere(story: Story) -> None:
    story.write("1.0")
    async with story.server(workers=3, rehearsed=False) as server:
        pids = {slot.pid for slot in (await server.status()).slots}
        story.write("2.0", top=only_one_worker(story, 'raise RuntimeError("only here")'))
        outcome = await server.reload()
        assert isinstance(outcome, Refused)
        assert outcome.epoch == 2
        [refused] = outcome.refusals
        assert (refused.refusal.stage, refused.refusal.unit) == (Stage.LOAD, "plugin shop")
        assert "RuntimeError: only here" in refused.refusal.traceback
        assert refused.refusal.where.startswith("shop.py:")
        status = await server.status()
        assert {slot.pid for slot in status.slots} == pids
        assert {slot.epoch for slot in status.slots} == {1}
        assert (await story.get(server, "/shop")).words[:2] == ["1.0", "1"]
        assert isinstance(await server.reload(), Committed), "the same content is tried again when somebody asks"


async def test_a_worker_that_dies_in_prepare_aborts_and_is_replaced_on_the_old_epoch(story: Story) -> None:
    story.write("1.0")
    async with story.server(workers=3, rehearsed=False) as server:
        pids = {slot.pid for slot in (await server.status()).slots}
        story.write("2.0", top=only_one_worker(story, "os._exit(9)"))
        outcome = await server.reload()
        assert isinstance(outcome, Refused)
        [died] = outcome.refusals
        assert died.refusal.fault is Fault.CRASH
        assert "exited with status 9" in died.refusal.summary
        status = await status_when(server, lambda status: all(slot.state is SlotState.SERVING for slot in status.slots))
        assert {slot.epoch for slot in status.slots} == {1}
        assert len({slot.pid for slot in status.slots} & pids) == 2


async def test_a_worker_that_goes_silent_in_prepare_aborts_and_its_stacks_say_where_it_is(story: Story) -> None:
    story.write("1.0")
    async with story.server(2, env={"CHANGEOVER_DEADLINES_PREPARE": "3"}, rehearsed=False) as server:
        story.write("2.0", top=only_one_worker(story, "import time; time.sleep(60)"))
        outcome = await server.reload()
        assert isinstance(outcome, Refused)
        [silent] = outcome.refusals
        assert silent.refusal.fault is Fault.TIMEOUT
        assert "sleep" in silent.refusal.traceback or "shop.py" in silent.refusal.traceback
        assert (await story.get(server, "/shop")).words[:2] == ["1.0", "1"]


async def test_a_worker_that_missed_the_commit_starts_nothing_on_the_old_epoch_when_it_wakes(story: Story) -> None:
    story.write("1.0")
    async with story.server(workers=2, rehearsed=False) as server:
        by_slot: dict[int, Connection] = {}
        async with asyncio.timeout(20):
            while len(by_slot) < 2:
                connection = await story.connect(server)
                by_slot[int((await connection.get("/shop")).words[2])] = connection
        pids = {slot.slot: slot.pid for slot in (await server.status()).slots}
        wait = "import time\n    while not GATE.exists(): time.sleep(0.01)"
        story.write("2.0", top=all_but_one_worker(story, wait))
        reload = asyncio.create_task(server.reload())
        status = await status_when(server, lambda status: any(slot.prepared == 2 for slot in status.slots))
        asleep = next(slot.slot for slot in status.slots if slot.prepared == 2)
        kill(pids[asleep], signal.SIGSTOP)
        try:
            await by_slot[asleep].ask("/shop")
            story.open_gate()
            await status_when(server, lambda status: status.epoch == 2)
        finally:
            kill(pids[asleep], signal.SIGCONT)
        assert (await by_slot[asleep].answer()).words[:2] == ["2.0", "2"]
        assert isinstance(await reload, Committed)


async def test_a_worker_that_joins_during_a_cutover_comes_up_on_what_is_decided(story: Story) -> None:
    story.write("1.0")
    async with story.server(workers=1, rehearsed=False) as server:
        story.write("2.0", top="import time\nwhile not GATE.exists(): time.sleep(0.01)")
        reload = asyncio.create_task(server.reload())
        await status_when(server, lambda status: status.candidate == 2)
        kill(server.pid, signal.SIGTTIN)
        await status_when(server, lambda status: len(status.slots) == 2 and status.slots[1].pid)
        story.open_gate()
        assert isinstance(await reload, Committed)
        status = await status_when(server, lambda status: all(slot.state is SlotState.SERVING for slot in status.slots))
        assert [slot.epoch for slot in status.slots] == [2, 2]


async def test_nothing_changed_says_so_and_touching_a_file_changes_nothing(story: Story) -> None:
    story.write("1.0")
    async with story.server(workers=1) as server:
        story.write("1.0")
        assert isinstance(await server.reload(), Unchanged)
        assert isinstance(await server.reload(force=True), Committed)


async def test_changed_application_code_rolls_unless_a_swap_is_wanted_which_says_what_it_left(story: Story) -> None:
    story.write("1.0")
    app = story.folder / "main.py"
    app.write_text(
        "from starlette.applications import Starlette\n"
        "from starlette.responses import PlainTextResponse\n"
        "from starlette.routing import Route\n"
        "app = Starlette(routes=[Route('/', lambda request: PlainTextResponse('old'))])\n"
    )
    async with story.server(workers=2, app="main:app") as server:
        assert (await story.get(server, "/")).body == "old"
        app.write_text(app.read_text().replace("old", "new"))
        outcome = await server.reload(strategy=Strategy.SWAP)
        assert isinstance(outcome, NeedsRoll)
        assert "app: 1 file" in outcome.changed[0]
        assert (await story.get(server, "/")).body == "old"
        story.write("2.0")
        outcome = await server.reload(strategy=Strategy.SWAP)
        assert isinstance(outcome, Committed)
        assert any("needs a roll" in line for line in outcome.summary)
        assert (await story.get(server, "/")).body == "old"
        outcome = await server.reload()
        assert isinstance(outcome, Committed)
        assert outcome.summary == ("app main:app (1 file)",)
        assert (await story.get(server, "/")).body == "new"


async def test_removing_the_last_plugin_leaves_a_service_that_answers_503(story: Story) -> None:
    story.write("1.0")
    async with story.server(workers=2) as server:
        connection = await story.connect(server)
        await connection.get("/shop")
        (story.plugins / "shop.py").unlink()
        assert isinstance(await server.reload(), Committed)
        assert (await connection.get("/shop")).status == 503
        story.write("2.0")
        assert isinstance(await server.reload(), Committed)
        assert (await connection.get("/shop")).words[0] == "2.0"


async def test_only_the_changed_plugin_is_replaced(story: Story) -> None:
    count = (
        "LOADED = Path(str(GATE) + '.{id}'); LOADED.write_text(LOADED.read_text() + 'x' if LOADED.exists() else 'x')"
    )
    for id in ("shop", "geo"):
        story.write("1.0", id=id, mount=f"/{id}", top=count.format(id=id))
    async with story.server(workers=1, rehearsed=False) as server:
        story.write("2.0", top=count.format(id="shop"))
        assert isinstance(await server.reload(), Committed)
        assert (await story.get(server, "/geo")).words[:2] == ["1.0", "2"]
    assert (story.folder / "gate.shop").read_text() == "xx"
    assert (story.folder / "gate.geo").read_text() == "x"


async def test_rollback_brings_content_back_and_holds_what_it_replaced_until_it_changes(story: Story) -> None:
    story.write("1.0")
    async with story.server(workers=2) as server:
        story.write("2.0")
        await server.reload()
        assert isinstance(await server.rollback(), Committed)
        assert (await story.get(server, "/shop")).words[:2] == ["1.0", "3"]
        held = await server.reload()
        assert isinstance(held, Refused)
        assert "held" in held.reason
    async with story.server(workers=2) as server:
        assert (await story.get(server, "/shop")).words[0] == "1.0", "a restart does not bring held content back"
        assert (await server.status()).term == 2
        story.write("2.1")
        outcome = await server.reload()
        assert isinstance(outcome, Committed)
        assert outcome.serving > 3, "epochs continue over restarts"


async def test_what_was_rolled_back_stays_away_when_another_plugin_changes(story: Story) -> None:
    story.write("1.0")
    story.write("1.0", id="geo", mount="/geo")
    note = "not taken: shop 2.0 (held; change it, or --force)"
    async with story.server(workers=2) as server:
        story.write("2.0")
        await server.reload()
        assert isinstance(await server.rollback(), Committed)
        story.write("2.0", id="geo", mount="/geo")
        outcome = await server.reload()
        assert isinstance(outcome, Committed)
        assert note in outcome.summary
        assert [(await story.get(server, path)).words[0] for path in ("/shop", "/geo")] == ["1.0", "2.0"]
        held = await server.reload()
        assert isinstance(held, Refused)
        assert held.summary == (note,)
        assert (await server.status()).held == ("shop 2.0",)
    story.write("3.0", id="geo", mount="/geo")
    async with story.server(workers=2) as server:
        assert [(await story.get(server, path)).words[0] for path in ("/shop", "/geo")] == ["1.0", "3.0"]
        assert isinstance(await server.reload(force=True), Committed)
        assert (await story.get(server, "/shop")).words[0] == "2.0"
        assert (await server.status()).held == ()


async def test_a_storm_of_hups_loses_no_request_and_ends_on_what_is_on_disk(story: Story) -> None:
    story.write("0.0")
    async with story.server(workers=2) as server:
        connection = await story.connect(server)
        for number in range(1, 31):
            story.write(f"{number}.0")
            kill(server.pid, signal.SIGHUP)
            assert (await connection.get("/shop")).status == 200
        await status_when(server, lambda status: status.plugins[0].version == "30.0" and status.phase is Phase.IDLE)
        assert (await connection.get("/shop")).words[0] == "30.0"


async def test_a_plugin_whose_file_was_truncated_goes_on_serving_until_the_file_is_deleted(story: Story) -> None:
    story.write("1.0")
    async with story.server(workers=1) as server:
        (story.plugins / "shop.py").write_text("")
        refused = await server.reload()
        assert isinstance(refused, Refused)
        assert "shop.py: shop serves from it" in refused.reason
        assert (await story.get(server, "/shop")).words[:2] == ["1.0", "1"]
    async with story.server(workers=1) as server:
        assert (await story.get(server, "/shop")).words[0] == "1.0"
        (story.plugins / "shop.py").unlink()
        assert isinstance(await server.reload(), Committed)
        assert "there are no routes" in (await story.get(server, "/shop")).body


async def test_two_deployers_the_second_is_told_that_it_came_too_late(story: Story) -> None:
    story.write("1.0")
    async with story.server(workers=1) as server:
        story.write("2.0")
        assert isinstance(await server.reload(if_epoch=1), Committed)
        story.write("3.0")
        late = await server.reload(if_epoch=1)
        assert isinstance(late, Refused)
        assert late.serving == 2


async def test_a_worker_killed_without_a_reload_comes_back_on_the_committed_epoch(story: Story) -> None:
    story.write("1.0")
    async with story.server(workers=2) as server:
        story.write("2.0")
        await server.reload()
        story.write("3.0")
        victim = (await server.status()).slots[0].pid
        kill(victim)
        await status_when(server, lambda s: s.slots[0].pid not in (0, victim) and s.slots[0].state is SlotState.SERVING)
        for _ in range(8):
            assert (await story.get(server, "/shop")).words[:2] == ["2.0", "2"]
        await until(lambda: "died" in server.logs or "signal 9" in server.logs or "SIGKILL" in server.logs)
