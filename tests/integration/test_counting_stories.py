"""What was counted adds up to what was asked, whoever left, died or took over meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from changeover.server import Committed, Server, ServerFailed, StatusView, Strategy
from changeover.supervisor.control import SlotState
from changeover.supervisor.core.records.pipeline import PipelineEventTold
from changeover.supervisor.pipelines import PipelinesView, PipelineView
from changeover.workers.protocol.observed import PipelineEventKind
from tests.service import Story, gone, kill, status_when
from tests.waits import DEADLINE

PIPELINE = "shop:shop"
ORPHAN = {"CHANGEOVER_DEADLINES_ORPHAN": "60"}
MOODY = """# /// script
# requires-python = ">=3.11"
# [tool.changeover]
# id = "moody"
# version = "1.0"
# handlers = {{ broken = "inbound", stamp = "outbound" }}
# services = {{ moody = {{ mount = "/moody" }} }}
# ///
from pathlib import Path

from changeover.plugin import CallContext, NotReady, Request, Response, Service, inbound, outbound

TIRED = Path("{folder}/tired")


@inbound
def broken(request: Request, call: CallContext) -> None:
    if request.path == "/broken":
        raise KeyError("EUR")


@outbound
def stamp(request: Request, response: Response, call: CallContext) -> None:
    response.headers["x-moody"] = "1"


class moody(Service):
    def ready(self) -> None:
        if TIRED.exists():
            raise NotReady(3)

    async def __call__(self, request: Request, call: CallContext) -> Response:
        return Response.text("well")
"""


def of(view: PipelinesView, name: str = PIPELINE) -> PipelineView:
    return next(pipeline for pipeline in view.pipelines if pipeline.id == name)


async def hits(server: Server, name: str = PIPELINE) -> int:
    return of(await server.pipelines(), name).counts.hits


async def ask(story: Story, server: Server, times: int, path: str = "/shop", status: int = 200) -> None:
    """So many requests, each on a connection of its own, so that both workers get some."""
    for _ in range(times):
        assert (await story.get(server, path)).status == status


async def counted(server: Server, times: int) -> None:
    """Wait until workers have reported so many requests, or left and said so."""
    await status_when(server, lambda status: sum(line.hits for line in status.pipelines) == times)


async def until_async(condition: Callable[[], Awaitable[bool]]) -> None:
    """Ask again and again until the answer is yes."""
    async with asyncio.timeout(DEADLINE):
        while not await condition():
            await asyncio.sleep(0.02)


async def told_when(server: Server, kind: PipelineEventKind) -> list[PipelineEventTold]:
    """All pipeline events that were told, once there is one of that kind."""
    found: list[PipelineEventTold] = []

    async def look() -> bool:
        told = [event for event in await server.told() if event.type == "PipelineEventTold"]
        found[:] = [msgspec.json.decode(event.record, type=PipelineEventTold) for event in told]
        return any(record.kind is kind for record in found)

    await until_async(look)
    return found


def all_serve(status: StatusView) -> bool:
    return len(status.slots) == 2 and all(slot.state is SlotState.SERVING and slot.epoch for slot in status.slots)


def pids(status: StatusView) -> list[int]:
    return [slot.pid for slot in status.slots]


async def test_counts_of_two_workers_add_up_to_what_was_asked(story: Story) -> None:
    story.write("1.0")
    async with story.server() as server:
        await ask(story, server, 40)
        await ask(story, server, 5, "/nowhere", status=404)
        view = await server.pipelines()
        assert of(view).counts.routes == {"/shop": 40}
        assert of(view).counts.responses == {"2xx": 40}
        assert view.misses == {"not_found": 5}
        registry = await server.pipeline_registry(PIPELINE)
        each = [worker.counts.hits for worker in registry.workers]
        assert len(each) == 2
        assert min(each) > 0
        assert sum(each) == 40
        assert sum(slot.requests for slot in (await status_when(server, lambda s: seen(s) == 45)).slots) == 45


def seen(status: StatusView) -> int:
    return sum(slot.requests for slot in status.slots)


async def test_they_go_on_through_a_swap_and_a_roll_of_all_workers(story: Story) -> None:
    story.write("1.0")
    async with story.server() as server:
        await ask(story, server, 20)
        story.write("2.0")
        assert isinstance(await server.reload(), Committed)
        await ask(story, server, 20)
        assert await hits(server) == 40
        before = [slot.pid for slot in (await server.status()).slots]
        waiting = await story.connect(server)
        await waiting.ask("/shop/slow")
        await until_async(lambda: leases_are(server, {"http": 1}))
        story.write("3.0")
        assert isinstance(await server.reload(strategy=Strategy.ROLL), Committed)
        await ask(story, server, 20)
        story.open_gate()  # what is answered now is in the last words of a worker that leaves
        assert (await waiting.answer()).status == 200
        for pid in before:
            await gone(pid)
        await status_when(server, all_serve)
        counts = of(await server.pipelines()).counts
        assert (counts.hits, counts.responses) == (61, {"2xx": 61})


async def test_a_killed_worker_loses_only_what_it_had_not_reported(story: Story) -> None:
    story.write("1.0")
    async with story.server() as server:
        await ask(story, server, 20)
        await counted(server, 20)
        killed = (await server.status()).slots[0].pid
        kill(killed)
        await gone(killed)
        await status_when(server, lambda status: all_serve(status) and killed not in pids(status))
        assert await hits(server) == 20
        await ask(story, server, 20)
        assert await hits(server) == 40


async def test_what_a_killed_worker_had_not_reported_is_missing_and_nothing_counts_twice(story: Story) -> None:
    story.write("1.0")
    async with story.server() as server:
        await ask(story, server, 20)
        killed = (await server.status()).slots[0].pid
        kill(killed)
        known = await hits(server)
        assert 0 <= known <= 20
        await status_when(server, lambda status: all_serve(status) and killed not in pids(status))
        await ask(story, server, 20)
        assert known <= await hits(server) - 20 <= 20


async def test_the_next_supervisor_goes_on_counting_with_the_living_and_the_dead(story: Story) -> None:
    story.write("1.0")
    with pytest.raises(ServerFailed):
        async with story.server(env=ORPHAN) as first:
            await ask(story, first, 20)
            await counted(first, 20)
            killed = (await first.status()).slots[0].pid
            kill(killed)
            await gone(killed)
            await status_when(first, lambda status: all_serve(status) and killed not in pids(status))
            await ask(story, first, 10)
            assert await hits(first) == 30
            kill(first.pid)
            await ask(story, first, 10)
    async with story.server(env=ORPHAN) as second:
        await status_when(second, all_serve)
        await ask(story, second, 10)
        assert await hits(second) == 50
    async with story.server(env=ORPHAN) as third:
        assert await hits(third) == 0


async def test_a_service_that_is_not_ready_and_a_handler_that_fails_are_told_counted_and_shown(story: Story) -> None:
    (story.plugins / "moody.py").write_text(MOODY.format(folder=story.folder))
    async with story.server(workers=1) as server:
        await ask(story, server, 3, "/moody")
        await ask(story, server, 4, "/moody/broken", status=500)
        (story.folder / "tired").touch()
        await ask(story, server, 2, "/moody", status=503)
        status = await status_when(server, lambda status: [line.not_ready for line in status.pipelines] == [2])
        [line] = status.pipelines
        assert (line.service, line.unready > 0, line.failed) == ("moody:moody", True, 6)
        (story.folder / "tired").unlink()
        await ask(story, server, 1, "/moody")
        view = of(await server.pipelines(), "moody:moody")
        assert view.service is not None
        assert (view.service.counts.not_ready, view.service.counts.unready) == (2, 0)
        broken, stamp = view.handlers
        assert (broken.name, broken.direction, broken.owner, broken.version) == (
            "moody:broken",
            "inbound",
            "moody",
            "1.0",
        )
        assert (broken.counts.failed, broken.counts.timed) == (4, 1)
        assert (stamp.direction, stamp.counts.failed) == ("outbound", 0)
        told = await told_when(server, PipelineEventKind.NOT_READY_ENDED)
        failed = next(record for record in told if record.kind is PipelineEventKind.HANDLER_FAILED)
        assert (failed.pipeline, failed.subject, failed.detail) == ("moody:moody", "moody:broken", "KeyError: 'EUR'")
        assert PipelineEventKind.NOT_READY_BEGAN in {record.kind for record in told}


async def test_what_a_worker_runs_is_read_in_it_with_its_epoch(story: Story) -> None:
    story.write("1.0")
    async with story.server() as server:
        first = await server.pipeline_registry(PIPELINE)
        story.write("2.0")
        assert isinstance(await server.reload(), Committed)
        second = await server.pipeline_registry(PIPELINE)
        assert (first.epoch, second.epoch) == (1, 2)
        assert first.digest != second.digest
        for view in (first, second):
            assert [worker.deviation for worker in view.workers] == ["", ""]
            for worker in view.workers:
                assert worker.pipeline is not None
                assert (worker.epoch, worker.pipeline.key.since) == (view.epoch, view.epoch)
                assert worker.pipeline.key.digest == view.digest


async def test_leases_that_are_held_now_are_shown_beside_the_pipeline(story: Story) -> None:
    story.write("1.0")
    async with story.server() as server:
        connection = await story.connect(server)
        await connection.ask("/shop/slow")

        await until_async(lambda: leases_are(server, {"http": 1}))
        story.open_gate()
        assert (await connection.answer()).status == 200
        await until_async(lambda: leases_are(server, {}))


async def leases_are(server: Server, wanted: dict[str, int]) -> bool:
    return of(await server.pipelines()).leases == wanted
