"""Starlette and FastAPI applications, unmodified, over real sockets, with a client of their users."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest

from changeover.workers.channel.connections import Connections
from changeover.workers.serving import attribution
from changeover.workers.serving.asgi import Application
from changeover.workers.serving.contract import CallContext, CallNext, Request, Response
from changeover.workers.serving.handlers import Handler, HandlerKind
from changeover.workers.serving.pipeline import Pipeline
from tests.apps import Notes, fastapi_app, starlette_app
from tests.exchange import Served
from tests.waits import until
from tests.wire import connections_of


class Site:
    """A served application and a client of it."""

    def __init__(self, served: Served, connections: Connections, client: httpx2.AsyncClient) -> None:
        self.served = served
        self.connections = connections
        self.client = client

    async def idle(self) -> None:
        """Wait until no lease is left."""
        await until(lambda: not self.served.units.leases, f"no leases but {self.served.units.live_leases()}")


async def accept(listener: socket.socket, connections: Connections) -> None:
    loop = asyncio.get_running_loop()
    while True:
        accepted, _ = await loop.sock_accept(listener)
        connections.accept(accepted, "")


@asynccontextmanager
async def site(application: Application, handlers: list[Handler]) -> AsyncIterator[Site]:
    attribution.install(asyncio.get_running_loop())
    await application.start(5)
    served = Served(Pipeline("shop", handlers, application), stamp=True)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        connections = connections_of(served.dispatcher)
        accepting = asyncio.create_task(accept(listener, connections))
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}") as client:
            yield Site(served, connections, client)
        accepting.cancel()
        await connections.stop(5)
    await application.stop(5)
    attribution.uninstall()


async def pass_on(request: Request, call_next: CallNext, call: CallContext) -> Response:
    return await call_next(request)


async def nothing(request: Request, response: Response, call: CallContext) -> None: ...


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture(params=["alone", "between handlers", "inside an around handler"])
def handlers(request: pytest.FixtureRequest) -> list[Handler]:
    return {
        "alone": [],
        "between handlers": [Handler("test:nothing", HandlerKind.OUTBOUND, nothing)],
        "inside an around handler": [Handler("test:pass_on", HandlerKind.AROUND, pass_on)],
    }[request.param]


@pytest.fixture
async def shop(handlers: list[Handler], notes: Notes) -> AsyncIterator[Site]:
    async with site(Application("app", starlette_app(notes)), handlers) as running:
        yield running


@pytest.fixture
async def api(handlers: list[Handler], notes: Notes) -> AsyncIterator[Site]:
    async with site(Application("app", fastapi_app(notes)), handlers) as running:
        yield running


async def test_responses_come_with_length_date_epoch_and_what_middlewares_add(shop: Site) -> None:
    answer = await shop.client.get("/", params={"name": "Ada"}, headers={"origin": "https://shop.example"})
    assert (answer.status_code, answer.text) == (200, "hello Ada")
    assert answer.headers["content-length"] == "9"
    assert answer.headers["x-timing"] == "taken"
    assert answer.headers["x-changeover-epoch"] == "7"
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"
    assert "date" in answer.headers


async def test_head_has_no_body(shop: Site) -> None:
    answer = await shop.client.head("/")
    assert (answer.status_code, answer.content) == (200, b"")
    assert (await shop.client.get("/")).text == "hello you"


async def test_large_and_chunked_bodies_arrive(shop: Site) -> None:
    body = b"x" * 300_000
    assert (await shop.client.post("/echo", content=body)).content == body

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield b"y" * 10_000

    assert (await shop.client.post("/upload", content=pieces())).json() == {"size": 300_000}
    assert (await shop.client.post("/form", data={"a": "1"})).json() == {"a": ["1"]}


async def test_streams_are_chunked_and_the_connection_goes_on(shop: Site) -> None:
    async with shop.client.stream("GET", "/stream") as answer:
        assert answer.headers["transfer-encoding"] == "chunked"
        assert await answer.aread() == b"0\n1\n2\n3\n4\n"
    assert (await shop.client.get("/blocking")).status_code == 200
    assert len(shop.connections) == 1
    await shop.idle()


async def test_a_silent_event_stream_lets_go_when_its_client_hangs_up(shop: Site, notes: Notes) -> None:
    async with shop.client.stream("GET", "/events") as answer:
        async for piece in answer.aiter_bytes():
            assert piece == b"data: hello\n\n"
            break
        assert shop.served.units.leases
    await shop.idle()
    assert notes.closed.is_set()


async def test_a_background_task_goes_on_after_the_answer_and_holds_its_generation(shop: Site, notes: Notes) -> None:
    assert (await shop.client.get("/background")).text == "at once"
    assert (await shop.client.get("/pool")).json()["open"] is True
    assert shop.served.units.leases
    notes.background.set()
    await shop.idle()
    assert notes.done == ["later"]


async def test_errors_are_answered(shop: Site) -> None:
    assert (await shop.client.get("/handled")).status_code == 418
    assert (await shop.client.get("/broken")).status_code == 500
    assert (await shop.client.get("/nowhere")).status_code == 404
    assert (await shop.client.get("/")).status_code == 200


async def test_fastapi_serves_validation_dependencies_and_background_tasks(api: Site, notes: Notes) -> None:
    assert (await api.client.get("/carts/3")).json() == {"number": 3, "session": "session"}
    assert (await api.client.get("/carts/x")).status_code == 422
    assert (await api.client.post("/carts", json={"items": ["a", "b"]})).json() == {"items": 2}
    assert (await api.client.get("/blocking")).json() == {"open": True}
    assert (await api.client.get("/missing")).json() == {"detail": "no such cart"}
    await api.idle()
    assert notes.done == ["session closed", "mail"]


async def test_many_clients_at_once_leave_no_lease_behind(shop: Site) -> None:
    targets = ["/", "/stream", "/pool", "/blocking"] * 10
    answers = await asyncio.gather(*(shop.client.get(target) for target in targets))
    assert {answer.status_code for answer in answers} == {200}
    await shop.idle()
