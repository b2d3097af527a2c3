"""A request is made for who asks; who does not is told the same."""

from typing import Any

import pytest

from changeover.workers.http.exchange import WireExchange
from changeover.workers.protocol.snapshot import Route
from changeover.workers.serving.asgi import Application, Receive, Scope, Send
from changeover.workers.serving.contract import CallContext, Request
from changeover.workers.serving.exchange import Exchange
from changeover.workers.serving.handlers import Handler, HandlerKind
from changeover.workers.serving.pipeline import Pipeline
from changeover.workers.serving.request_head import RequestTarget
from tests.exchange import MemoryExchange, Served
from tests.memory_connection import MemoryConnection
from tests.wire import FakeDispatcher, echo, get, post

ASKED = (
    get("/a%20b/c?x=%20&y"),
    get("http://elsewhere/path?query"),
    get("*", method="OPTIONS"),
    b"GET /old HTTP/1.0\r\nX-Twice: 1\r\nx-twice: 2\r\n\r\n",
    post("/posted", b"body"),
)


class Leading(FakeDispatcher):
    """Leads what it is handed to a pipeline."""

    def __init__(self, served: Served) -> None:
        super().__init__(echo)
        self._served = served

    def dispatch(self, exchange: Exchange) -> bool:
        self.seen.append(exchange)
        return self._served.dispatcher.dispatch(exchange)


def look(request: Request, call: CallContext) -> None:
    """An inbound handler, so that there is a request."""


def move(request: Request, call: CallContext) -> None:
    request.path = "/moved"
    request.headers["x-added"] = "1"
    request.client = ("192.0.2.7", 1)


LOOK, MOVE = (Handler(f"test:{call.__name__}", HandlerKind.INBOUND, call) for call in (look, move))


async def scope_of(
    raw: bytes, *handlers: Handler, root_path: str = "", mounted: str = ""
) -> tuple[Scope, WireExchange]:
    """What an application behind these handlers is told of a request."""
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        assert (await receive())["body"] == raw.partition(b"\r\n\r\n")[2]
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    served = Served(
        Pipeline("shop", handlers, Application("app", app, root_path)),
        route=Route("shop", mounted or "/", mounted=bool(mounted)),
    )
    client = MemoryConnection(Leading(served))
    client.feed(raw)
    await client.settle()
    (scope,), (exchange,) = scopes, client.dispatcher.seen
    assert isinstance(exchange, WireExchange)
    return scope, exchange


@pytest.mark.parametrize("root_path", ["", "/behind"])
@pytest.mark.parametrize("raw", ASKED)
async def test_an_application_alone_is_told_what_it_is_told_of_a_request(raw: bytes, root_path: str) -> None:
    alone, without = await scope_of(raw, root_path=root_path)
    behind, having = await scope_of(raw, LOOK, root_path=root_path)
    assert alone == behind
    assert without.made is None
    assert having.made is not None


async def test_what_a_handler_changes_an_application_is_told() -> None:
    scope, _ = await scope_of(get("/asked"), MOVE)
    assert (scope["path"], scope["client"]) == ("/moved", ("192.0.2.7", 1))
    assert (b"x-added", b"1") in scope["headers"]


async def test_a_mounted_application_is_told_its_own_path() -> None:
    scope, exchange = await scope_of(get("/shop/cart"), mounted="/shop")
    assert (scope["path"], scope["root_path"], scope["raw_path"]) == ("/shop/cart", "/shop", b"/shop/cart")
    assert exchange.request.path == "/cart"


async def test_a_scope_is_its_applications_alone() -> None:
    scope, exchange = await scope_of(get("/"))
    scope["headers"].clear()
    scope["extensions"].clear()
    again, _ = await scope_of(get("/"))
    assert again["headers"] == list(exchange.head.fields) != []
    assert again["extensions"]


async def test_a_request_is_made_once_and_has_the_body_that_nobody_took() -> None:
    _, exchange = await scope_of(post("/", b"body"))
    assert exchange.request.held_body is None, "the application has taken it"
    assert exchange.take_held() is None
    assert await exchange.request.body() == b""
    assert exchange.request is exchange.request is exchange.made


@pytest.mark.parametrize("early", [False, True], ids=["made after it was taken", "made before"])
@pytest.mark.parametrize(("raw", "body"), [(post("/", b"body"), b"body"), (get("/"), b"")], ids=["a body", "none"])
async def test_a_request_says_of_its_body_the_same_whenever_it_is_made(raw: bytes, body: bytes, early: bool) -> None:
    client = MemoryConnection(FakeDispatcher(echo))
    client.feed(raw)
    (exchange,) = client.dispatcher.seen
    if early:
        assert exchange.request.held_body == body
    assert exchange.take_held() == body
    gone = None if body else b""
    assert (exchange.take_held(), exchange.request.held_body) == (gone, gone)
    assert await exchange.receive() is None
    assert await exchange.request.body() == b""
    await client.settle()


def test_an_exchange_whose_request_is_there_says_the_same_by_it() -> None:
    exchange: Any = MemoryExchange("PUT", "/path?query", headers=[(b"host", b"test")], body=[b"body"])
    request = exchange.request
    assert exchange.made is request
    assert exchange.head.target == RequestTarget("/path", b"/path", b"query")
    assert (exchange.head.method, exchange.head.fields, exchange.head.version) == ("PUT", ((b"host", b"test"),), "1.1")
    assert (exchange.wire.scheme, exchange.wire.client, exchange.wire.server) == (
        request.scheme,
        request.client,
        request.server,
    )
