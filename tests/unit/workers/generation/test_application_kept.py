"""An application that did not change lives through swaps of the plugins around it."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from changeover.workers.generation.solo import Application
from changeover.workers.protocol.refusal import Fault, Stage
from changeover.workers.serving import attribution
from changeover.workers.serving.dispatch import LiveDispatcher
from tests.bench import LOG, Bench
from tests.exchange import MemoryExchange
from tests.waits import until

SHOP = """
import asyncio, contextlib
from fastapi import FastAPI
from tests.bench import LOG

class Pool:
    def __init__(self):
        self.open = True
        self.beats = 0

async def beat(pool):
    while True:
        pool.beats += 1
        await asyncio.sleep(0)

@contextlib.asynccontextmanager
async def lifespan(app):
    LOG.append("startup")
    pool = Pool()
    task = asyncio.create_task(beat(pool), name="beat")
    yield {"pool": pool, "task": task}
    task.cancel()
    pool.open = False
    LOG.append("shutdown")

app = FastAPI(lifespan=lifespan)

from fastapi import Request

@app.get("/pool")
async def read(request: Request):
    pool = request.state.pool
    return {"pool": id(pool), "open": pool.open, "beats": pool.beats, "done": request.state.task.done()}

@app.get("/slow")
async def slow(request: Request):
    LOG.append("slow begins")
    while "go" not in LOG:
        await asyncio.sleep(0.001)
    return {"open": request.state.pool.open}
"""

PLUGIN = """
class Own(Plugin[None]):
    @outbound
    def stamp(self, request, response, call):
        response.headers["x-plugin"] = "{0}"
"""
MANIFEST = 'plugin = "pricing:Own"\nhandlers = { stamp = "outbound" }\n'


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Application]:
    (tmp_path / "kept_shop.py").write_text(SHOP)
    yield Application("kept_shop:app", str(tmp_path))
    sys.modules.pop("kept_shop", None)
    if str(tmp_path) in sys.path:
        sys.path.remove(str(tmp_path))


async def ask(bench: Bench, path: str) -> MemoryExchange:
    exchange = MemoryExchange("GET", path)
    assert LiveDispatcher(bench.switch, worker=0).dispatch(exchange)
    await until(lambda: exchange.settled, path)
    return exchange


async def test_a_swap_of_a_plugin_keeps_instance_lifespan_pool_and_background_task(
    bench: Bench, shop: Application
) -> None:
    attribution.install(asyncio.get_running_loop())
    try:
        seen = []
        for epoch in (1, 2, 3):
            await bench.serve(epoch, bench.plugin(PLUGIN.format(epoch), manifest=MANIFEST), app=shop)
            answer = await ask(bench, "/pool")
            assert answer.headers["x-plugin"] == str(epoch)
            seen.append(answer.json)
            await bench.retire()
        pools = {body["pool"] for body in seen}  # type: ignore[index]
        beats = [body["beats"] for body in seen]  # type: ignore[index]
        assert (len(pools), sorted(beats) == beats, len(set(beats))) == (1, True, 3)
        assert [(body["open"], body["done"]) for body in seen] == [(True, False)] * 3  # type: ignore[index]
        assert LOG == ["startup"]
        applications = [key for key in bench.workshop.resident() if key.ref.name == "app"]
        assert [key.since for key in applications if key.ref.kind.value == "application"] == [1]
        await bench.workshop.close()
        assert LOG == ["startup", "shutdown"]
        assert not [task for task in asyncio.all_tasks() if task.get_name() == "beat"]
    finally:
        attribution.uninstall()


async def test_a_request_in_flight_finishes_on_the_plugin_it_began_with(bench: Bench, shop: Application) -> None:
    await bench.serve(1, bench.plugin(PLUGIN.format("old"), manifest=MANIFEST), app=shop)
    asking = asyncio.ensure_future(ask(bench, "/slow"))
    await until(lambda: "slow begins" in LOG)
    await bench.serve(2, bench.plugin(PLUGIN.format("new"), manifest=MANIFEST), app=shop)
    assert bench.drained == []
    LOG.append("go")
    assert (await asking).headers["x-plugin"] == "old"
    assert (await ask(bench, "/slow")).headers["x-plugin"] == "new"
    assert {str(key.ref) for key in await bench.retire()} == {"plugin pricing", "pipeline app"}


async def test_an_application_that_does_not_start_is_refused_with_its_place(bench: Bench, tmp_path: Path) -> None:
    text = SHOP.replace('LOG.append("startup")', 'raise ConnectionError("no database")')
    (tmp_path / "broken_shop.py").write_text(text)
    app = Application("broken_shop:app", str(tmp_path))
    refusal = await bench.refused(1, bench.plugin(PLUGIN.format(1), manifest=MANIFEST), app=app)
    sys.modules.pop("broken_shop", None)
    sys.path.remove(str(tmp_path))
    line = text.splitlines().index('    raise ConnectionError("no database")') + 1
    assert (refusal.stage, refusal.fault) == (Stage.INITIALISE, Fault.RESOURCE)
    assert (refusal.unit, refusal.hook) == ("application app", "lifespan startup")
    assert (refusal.where, refusal.source) == (f"broken_shop.py:{line}", 'raise ConnectionError("no database")')
    assert bench.workshop.resident() == ()


async def test_a_handler_that_is_removed_inside_its_own_call_finishes_its_call(bench: Bench) -> None:
    code = """
class Own(Plugin[None]):
    @around
    async def first(self, request, call_next, call):
        LOG.append("in the handler")
        while "go" not in LOG:
            await asyncio.sleep(0.001)
        response = await call_next(request)
        response.headers["x-handled"] = "yes"
        return response
    @service
    async def quote(self, request, call): return Response.text("{0}")
"""
    services = 'services = { quote = { mount = "/q" } }\n'
    with_handler = f'plugin = "pricing:Own"\nhandlers = {{ first = "around" }}\n{services}'
    await bench.serve(1, bench.plugin(code.format("one"), manifest=with_handler))
    asking = asyncio.ensure_future(ask(bench, "/q"))
    await until(lambda: "in the handler" in LOG)
    await bench.serve(2, bench.plugin(code.format("two"), manifest=f'plugin = "pricing:Own"\n{services}'))
    after = await ask(bench, "/q")
    assert (after.body, "x-handled" in after.headers) == (b"two", False)
    LOG.append("go")
    before = await asking
    assert (before.body, before.headers["x-handled"]) == (b"one", "yes")
    await bench.retire()
