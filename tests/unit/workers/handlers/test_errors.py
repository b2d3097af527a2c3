"""`errors`: errors read alike, to programs as problems and to people as pages."""

import pytest

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


async def test_errors_of_handlers_and_of_raising_services_are_completed_too() -> None:
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
