"""Starlette and FastAPI applications, unmodified, alone and between native handlers."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from changeover.workers.serving import attribution
from changeover.workers.serving.asgi import Application
from changeover.workers.serving.contract import CallContext, CallNext, Request, Response
from changeover.workers.serving.handlers import Handler, HandlerKind
from changeover.workers.serving.lease import LeaseKind
from changeover.workers.serving.pipeline import Pipeline
from tests.apps import Notes, fastapi_app, starlette_app
from tests.exchange import MemoryExchange, Served
from tests.waits import until


async def pass_on(request: Request, call_next: CallNext, call: CallContext) -> Response:
    return await call_next(request)


WAYS: dict[str, list[Handler]] = {
    "alone": [],
    "behind an outbound handler": [Handler("test:nothing", HandlerKind.OUTBOUND, lambda *_: None)],
    "inside an around handler": [Handler("test:pass_on", HandlerKind.AROUND, pass_on)],
}


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture(params=WAYS)
async def shop(request: pytest.FixtureRequest, notes: Notes) -> AsyncIterator[Served]:
    application = Application("app", starlette_app(notes))
    async for served in running(application, WAYS[request.param]):
        yield served


@pytest.fixture(params=WAYS)
async def api(request: pytest.FixtureRequest, notes: Notes) -> AsyncIterator[Served]:
    async for served in running(Application("app", fastapi_app(notes)), WAYS[request.param]):
        yield served


async def running(application: Application, handlers: list[Handler]) -> AsyncIterator[Served]:
    attribution.install(asyncio.get_running_loop())
    await application.start(5)
    yield Served(Pipeline("shop", handlers, application))
    await application.stop(5)
    attribution.uninstall()


async def test_starlette_answers_behind_its_middlewares(shop: Served) -> None:
    answer = await shop.get("/?name=Ada", origin="https://shop.example")
    assert (answer.status, answer.body) == (200, b"hello Ada")
    assert answer.headers["x-timing"] == "taken"
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"


async def test_bodies_and_forms_arrive(shop: Served) -> None:
    assert (await shop.post("/echo", b'{"a": 1}')).body == b'{"a": 1}'
    assert (await shop.post("/form", b"a=1&a=2", "application/x-www-form-urlencoded")).json == {"a": ["1", "2"]}
    upload = MemoryExchange("POST", "/upload", body=[b"x" * 1000] * 5)
    assert (await shop.ask(upload)).json == {"size": 5000}


async def test_the_lifespan_holds_a_pool_and_a_task_for_all_requests(shop: Served, notes: Notes) -> None:
    answer = msgspec.json.decode((await shop.get("/pool")).body, type=dict[str, Any])
    assert answer["open"] is True
    before = notes.pool.beats
    assert 0 < answer["beats"] <= before
    await until(lambda: notes.pool.beats > before)
    assert shop.units.leases == set()


async def test_a_synchronous_endpoint_runs_in_a_thread(shop: Served) -> None:
    assert b"thread" in (await shop.get("/blocking")).body.lower()


async def test_a_streaming_response_streams(shop: Served) -> None:
    answer = await shop.get("/stream")
    assert answer.body == b"0\n1\n2\n3\n4\n"
    assert len(answer.pieces) > 1


async def test_a_silent_event_stream_lets_go_when_its_client_hangs_up(
    shop: Served, notes: Notes, caplog: pytest.LogCaptureFixture
) -> None:
    exchange = MemoryExchange("GET", "/events")
    shop.dispatcher.dispatch(exchange)
    await until(lambda: exchange.pieces)
    assert LeaseKind.STREAM in {lease.kind for lease in shop.units.leases}
    exchange.hang_up()
    await until(lambda: not shop.units.leases, "the lease of a client that hung up")
    assert notes.closed.is_set()
    assert not caplog.records


async def test_a_background_task_keeps_its_generation_alive(shop: Served, notes: Notes) -> None:
    exchange = MemoryExchange("GET", "/background")
    shop.dispatcher.dispatch(exchange)
    await until(lambda: exchange.ended)
    assert exchange.body == b"at once"
    assert {lease.kind for lease in shop.units.leases} == {LeaseKind.TASK}
    notes.background.set()
    await until(lambda: not shop.units.leases)
    assert notes.done == ["later"]


async def test_exceptions_reach_the_applications_handlers_or_become_500(shop: Served) -> None:
    handled = await shop.get("/handled")
    assert (handled.status, handled.body) == (418, b"short and stout")
    assert (await shop.get("/broken")).status == 500
    assert (await shop.get("/nowhere")).status == 404


async def test_fastapi_validates_and_closes_its_dependencies(api: Served, notes: Notes) -> None:
    assert (await api.get("/carts/3")).json == {"number": 3, "session": "session"}
    assert notes.done == ["session closed"]
    assert (await api.get("/carts/x")).status == 422
    assert (await api.post("/carts", b'{"items": ["a", "b"]}')).json == {"items": 2}
    assert notes.done[-1] == "mail"
    assert (await api.post("/carts", b"{")).status == 422


async def test_fastapi_synchronous_endpoints_and_errors(api: Served) -> None:
    assert (await api.get("/blocking")).json == {"open": True}
    assert (await api.get("/missing")).json == {"detail": "no such cart"}
    assert (await api.get("/broken")).status == 500
    assert (await api.get("/openapi.json")).status == 200


async def test_many_requests_at_once_leave_no_lease_behind(shop: Served) -> None:
    targets = ["/", "/stream", "/pool", "/blocking", "/handled"] * 10
    exchanges = [MemoryExchange("GET", target) for target in targets]
    for exchange in exchanges:
        shop.dispatcher.dispatch(exchange)
    await until(lambda: all(exchange.ended for exchange in exchanges) and not shop.units.leases)
    assert {exchange.status for exchange in exchanges} == {200, 418}
