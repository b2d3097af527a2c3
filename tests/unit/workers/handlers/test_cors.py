"""`cors`: preflights are answered, and every response says who may read it, errors too."""

import pytest

from changeover.workers.handlers.cors import Origins
from changeover.workers.protocol.snapshot import Route
from changeover.workers.serving.asgi import Application, Receive, Scope, Send
from changeover.workers.serving.contract import CallContext, Request, Response
from changeover.workers.serving.pipeline import Pipeline
from tests.exchange import MemoryExchange, Served
from tests.ready_made import KINDS, answering, parts, serve

SHOP = "https://shop.example"
CORS = {"use": "cors", "origins": [SHOP], "headers": ["x-key"], "expose": ["x-total"], "credentials": True}


async def preflight(served: Served, origin: str = SHOP, method: str = "PUT", fields: str = "") -> MemoryExchange:
    headers = [(b"origin", origin.encode()), (b"access-control-request-method", method.encode())]
    headers += [(b"access-control-request-headers", fields.encode())] if fields else []
    return await served.ask(MemoryExchange("OPTIONS", "/", headers=headers))


@pytest.mark.parametrize("kind", KINDS)
async def test_a_preflight_is_answered_in_place_of_what_is_behind(kind: str) -> None:
    answer = await preflight(serve(answering(kind, b"never"), CORS), fields="X-Key, content-type")
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == SHOP
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert answer.headers["access-control-allow-headers"] == "x-key, content-type"
    assert "PUT" in answer.headers["access-control-allow-methods"]
    assert answer.headers["access-control-max-age"] == "600"
    assert answer.headers["vary"] == "Access-Control-Request-Method, Access-Control-Request-Headers, Origin"


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"origin": "https://evil.example"}, "origin https://evil.example is not among"),
        ({"method": "BREW"}, "method BREW is not allowed"),
        ({"fields": "x-other, x-key"}, "fields are not allowed: x-other"),
    ],
)
async def test_a_preflight_for_what_is_not_allowed_says_what(asked: dict[str, str], why: str) -> None:
    answer = await preflight(serve(answering("native"), CORS), **asked)
    assert answer.status == 403
    assert why in answer.body.decode()
    assert "access-control-allow-methods" not in answer.headers


@pytest.mark.parametrize("kind", KINDS)
async def test_a_response_says_who_may_read_it(kind: str) -> None:
    served = serve(answering(kind, b"hello", vary="Accept"), CORS)
    answer = await served.get(origin=SHOP)
    assert answer.headers["access-control-allow-origin"] == SHOP
    assert answer.headers["access-control-expose-headers"] == "x-total"
    assert answer.headers["vary"] == "Accept, Origin"
    for fields in ({}, {"origin": "https://evil.example"}):
        other = await served.get(**fields)
        assert "access-control-allow-origin" not in other.headers
        assert other.headers["vary"] == "Accept, Origin"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_page_can_read_an_error_too(kind: str) -> None:
    async def broken(request: Request, call: CallContext) -> Response:
        raise RuntimeError

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError

    answer = await serve(Application("app", app) if kind == "asgi" else broken, CORS).get(origin=SHOP)
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (500, SHOP)


async def test_everybody_is_everybody_and_needs_no_vary() -> None:
    served = serve(answering("native"), {"use": "cors", "origins": ["*"], "headers": ["*"]})
    answer = await served.get(origin="null")
    assert (answer.headers["access-control-allow-origin"], "vary" in answer.headers) == ("*", False)
    assert (await preflight(served, fields="x-anything")).status == 204


async def test_options_that_are_no_preflight_go_on() -> None:
    served = serve(answering("native", b"options"), CORS)
    assert (await served.ask(MemoryExchange("OPTIONS", "/"))).body == b"options"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_preflight_reaches_a_route_that_takes_what_is_asked_for_and_no_options(kind: str) -> None:
    pipeline = Pipeline("shop", parts(CORS), answering(kind, b"never"))
    served = Served(pipeline, route=Route("shop", "/", methods=("PUT",)))
    answer = await preflight(served, method="PUT")
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (204, SHOP)
    assert (await preflight(served, method="DELETE")).status == 405
    assert (await served.ask(MemoryExchange("OPTIONS", "/", headers=[(b"origin", SHOP.encode())]))).status == 405


@pytest.mark.parametrize(
    ("origin", "known"),
    [
        ("https://shop.example", True),
        ("https://SHOP.example", True),
        ("http://shop.example", False),
        ("https://shop.example:8443", False),
        ("https://a.pages.example", True),
        ("https://a.b.pages.example", True),
        ("https://pages.example", False),
        ("https://evilpages.example", False),
        ("https://pages.example.evil.example", False),
        ("https://evil.example/.pages.example", False),
        ("https://pr-12.preview.example", True),
        ("https://pr-x.preview.example", False),
        ("https://pr-12.preview.example.evil.example", False),
    ],
)
def test_origins_match_whole(origin: str, known: bool) -> None:
    origins = Origins(("https://shop.example", "https://*.pages.example"), r"https://pr-\d+\.preview\.example")
    assert (origin in origins) is known
