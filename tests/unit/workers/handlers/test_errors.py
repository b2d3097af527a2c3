"""`errors`: errors read alike, to programs as problems and to people as pages."""

import gzip
import zlib
from collections.abc import AsyncIterator
from itertools import permutations
from typing import Any, cast

import msgspec
import pytest

from changeover.supervisor.config.handlers import ref_of
from changeover.workers.handlers.catalogue import CATALOGUE
from changeover.workers.plugins.order import disorder
from changeover.workers.serving.asgi import Application, Receive, Scope, Send
from changeover.workers.serving.contract import CallContext, Request, Response
from changeover.workers.serving.handlers import Handler, HandlerKind
from tests.exchange import MemoryExchange
from tests.ready_made import KINDS, answering, serve

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
PROBLEM = "application/problem+json"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_line_of_text_becomes_a_problem_with_what_else_was_said(kind: str) -> None:
    target = answering(kind, b"No such shop", status=404, content_type="text/plain", x_kept="1", etag='"a"')
    answer = await serve(target, "errors").get("/shops/7")
    assert answer.json == {"status": 404, "title": "Not Found", "detail": "No such shop", "instance": "/shops/7"}
    assert (answer.headers["content-type"], answer.headers["x-kept"]) == (PROBLEM, "1")
    assert "etag" not in answer.headers
    assert answer.headers["content-length"] == str(len(answer.body))


@pytest.mark.parametrize("kind", KINDS)
async def test_json_of_the_application_stays_its_own_and_so_does_success(kind: str) -> None:
    own = answering(kind, b'{"detail":"x"}', status=422, content_type="application/json")
    assert (await serve(own, "errors").get()).json == {"detail": "x"}
    fine = answering(kind, b"fine", content_type="text/plain")
    assert (await serve(fine, "errors").get(accept=BROWSER)).body == b"fine"


async def test_a_page_is_kept_for_browsers_and_replaced_for_programs() -> None:
    served = serve(answering("native", b"<h1>Gone fishing</h1>", status=503, content_type="text/html"), "errors")
    assert (await served.get(accept=BROWSER)).body == b"<h1>Gone fishing</h1>"
    assert (await served.get(accept="application/json")).json == {
        "status": 503,
        "title": "Service Unavailable",
        "instance": "/",
    }


async def test_a_failure_inside_is_told_without_what_it_said() -> None:
    served = serve(answering("native", b"Traceback: secret", status=500, content_type="text/plain"), "errors")
    assert (await served.get()).json == {"status": 500, "title": "Internal Server Error", "instance": "/"}


async def test_people_get_a_page_in_which_nothing_is_markup() -> None:
    served = serve(answering("native", b"<script>", status=400, content_type="text/plain"), "request-id", "errors")
    answer = await served.get("/", accept=BROWSER, x_request_id="r1")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["vary"] == "Accept"
    assert b"&lt;script&gt;" in answer.body
    assert b"request r1" in answer.body
    assert b"<script>" not in answer.body


async def test_errors_of_handlers_and_of_raising_services_are_completed_too(caplog: pytest.LogCaptureFixture) -> None:
    def deny(request: Request, call: CallContext) -> Response:
        return Response.problem(401, "Unknown key")

    async def broken(request: Request, call: CallContext) -> Response:
        raise RuntimeError("secret")

    told = {"use": "errors", "type": "https://errors.example/"}
    denied = serve(broken, "request-id", told, beside=(Handler("x:deny", HandlerKind.INBOUND, deny),))
    assert (await denied.get("/a", x_request_id="r1")).json == {
        "type": "https://errors.example/401",
        "status": 401,
        "title": "Unknown key",
        "instance": "/a",
        "request_id": "r1",
    }
    failed = await serve(broken, told).get(accept="*/*")
    assert failed.json == {
        "type": "https://errors.example/500",
        "status": 500,
        "title": "Internal server error",
        "instance": "/",
        "request_id": vars(caplog.records[-1])["request_id"],
    }


async def test_pages_can_be_switched_off() -> None:
    served = serve(answering("native", b"no", status=404), {"use": "errors", "html": False})
    assert (await served.get(accept=BROWSER)).headers["content-type"] == PROBLEM


async def test_head_and_encoded_errors_are_left_alone() -> None:
    served = serve(answering("native", b"no", status=404, content_type="text/plain"), "errors")
    assert (await served.ask(MemoryExchange("HEAD"))).headers["content-type"] == "text/plain"
    encoded = answering("native", b"\x1f\x8b", status=404, content_type="text/plain", content_encoding="gzip")
    assert (await serve(encoded, "errors").get()).body == b"\x1f\x8b"


async def test_problems_are_compressed_when_compression_stands_before() -> None:
    served = serve(answering("native", b"no", status=404), {"use": "compression", "min_size": 0}, "errors")
    assert (await served.get()).json == {"status": 404, "title": "Not Found", "detail": "no", "instance": "/"}


ENCODED = ({"use": "compression", "min_size": 0}, "request-id", "errors")


def read(answer: MemoryExchange) -> Any:
    """A problem that came compressed."""
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["content-length"] == str(len(answer.body))
    return msgspec.json.decode(gzip.decompress(answer.body))


def ordered(*handlers: str | dict[str, Any]) -> list[list[str | dict[str, Any]]]:
    """Every order that may be configured."""
    found = []
    for order in permutations(handlers):
        refs = [ref_of(each) for each in order]
        if not list(disorder(refs, {ref: CATALOGUE[ref.handler].declared for ref in refs})):
            found.append(list(order))
    return found


ORDERS = ordered("request-id", {"use": "cors", "origins": ["*"]}, {"use": "compression", "min_size": 0}, "errors")


@pytest.mark.parametrize("order", ORDERS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_compressed_problem_is_complete_in_every_order(kind: str, order: list[str | dict[str, Any]]) -> None:
    target = answering(kind, b"No such shop " * 9, status=404, content_type="text/plain", etag='"a"')
    answer = await serve(target, *order).get(
        "/a", accept_encoding="gzip", x_request_id="r1", origin="https://a.example"
    )
    assert read(answer) == {
        "status": 404,
        "title": "Not Found",
        "detail": ("No such shop " * 9).strip(),
        "instance": "/a",
        "request_id": "r1",
    }
    assert answer.headers["content-type"] == PROBLEM
    assert {name.strip() for name in answer.headers["vary"].split(",")} == {"Accept", "Accept-Encoding"}
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "etag" not in answer.headers


def test_there_is_more_than_one_order() -> None:
    assert len(ORDERS) == 2


@pytest.mark.parametrize("kind", KINDS)
async def test_a_problem_of_the_application_is_completed_before_it_is_compressed(kind: str) -> None:
    own = answering(kind, b'{"title":"' + b"Sold out " * 9 + b'"}', status=409, content_type=PROBLEM)
    problem = read(await serve(own, *ENCODED).get("/a", accept_encoding="gzip", x_request_id="r1"))
    assert (problem["instance"], problem["request_id"]) == ("/a", "r1")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_page_for_people_is_compressed_too(kind: str) -> None:
    target = answering(kind, b"No such shop", status=404, content_type="text/plain")
    answer = await serve(target, *ENCODED).get(accept=BROWSER, accept_encoding="gzip")
    assert b"<p>No such shop</p>" in gzip.decompress(answer.body)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize("kind", KINDS)
async def test_who_gets_a_page_depends_on_what_they_accept_and_caches_are_told(kind: str) -> None:
    served = serve(answering(kind, b"<h1>No</h1>", status=404, content_type="text/html"), "errors")
    for accept in (BROWSER, "application/json"):
        assert (await served.get(accept=accept)).headers["vary"] == "Accept"
    fixed = serve(answering(kind, b"no", status=404, content_type="text/html"), {"use": "errors", "html": False})
    assert "vary" not in (await fixed.get(accept=BROWSER)).headers


@pytest.mark.parametrize("handlers", [("errors",), ENCODED], ids=["alone", "compressed"])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_response_that_has_begun_is_broken_off_and_no_problem_put_behind_it(
    kind: str, handlers: tuple[str | dict[str, Any], ...]
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"begun " * 99
        raise LookupError("secret")

    async def native(request: Request, call: CallContext) -> Response:
        response = Response(pieces())
        response.headers["content-type"] = "text/plain"
        return response

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"begun " * 99, "more_body": True})
        raise LookupError("secret")

    answer = await serve(Application("app", app) if kind == "asgi" else native, *handlers).get(accept_encoding="gzip")
    assert (answer.status, answer.ended, answer.aborted) == (200, False, True)
    begun = answer.body if len(handlers) == 1 else zlib.decompressobj(wbits=31).decompress(answer.body)
    assert begun == b"begun " * 99


@pytest.mark.parametrize("handlers", [("errors",), ENCODED], ids=["alone", "compressed"])
async def test_what_an_application_raises_is_a_whole_problem(handlers: tuple[str | dict[str, Any], ...]) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise LookupError("secret")

    answer = await serve(Application("app", app), *handlers).get("/a", accept_encoding="gzip")
    assert (answer.status, answer.headers["content-type"]) == (500, PROBLEM)
    assert isinstance(answer.json, dict)
    assert answer.json["instance"] == "/a"
    assert answer.headers["content-length"] == str(len(answer.body))


async def test_a_body_that_a_problem_takes_the_place_of_is_closed() -> None:
    closed: list[bool] = []

    class Pieces:
        def __aiter__(self) -> AsyncIterator[bytes]:
            raise AssertionError("it is read")

        async def aclose(self) -> None:
            closed.append(True)

    async def native(request: Request, call: CallContext) -> Response:
        response = Response(cast(AsyncIterator[bytes], Pieces()), 404)
        response.headers["content-type"] = "text/plain"
        return response

    assert (await serve(native, "errors").get()).headers["content-type"] == PROBLEM
    assert closed == [True]
