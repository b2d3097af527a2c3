"""`request-id`: one id goes with a request and comes back with its response."""

import logging
import re

import pytest

from changeover.workers.serving.asgi import Application, Receive, Scope, Send
from changeover.workers.serving.contract import CallContext, Request, Response
from tests.ready_made import KINDS, answering, serve


@pytest.mark.parametrize("kind", KINDS)
async def test_an_id_is_made_or_taken_and_comes_back(kind: str) -> None:
    served = serve(answering(kind, b"hello"), "request-id")
    made = (await served.get()).headers["x-request-id"]
    assert re.fullmatch(r"[0-9a-f]{32}", made)
    assert (await served.get()).headers["x-request-id"] != made
    assert (await served.get(x_request_id="abc-1")).headers["x-request-id"] == "abc-1"


@pytest.mark.parametrize("malformed", ["", "a b", "x" * 129, 'a"b', "a\tb", "caf\u00e9"])
async def test_an_id_that_would_spoil_a_log_is_replaced(malformed: str) -> None:
    answer = await serve(answering("native"), "request-id").get(x_request_id=malformed)
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-request-id"])


async def test_ids_of_clients_may_be_refused_and_the_field_chosen() -> None:
    served = serve(answering("native"), {"use": "request-id", "accept": False, "header": "x-trace"})
    answer = await served.get(x_trace="mine")
    assert answer.headers["x-trace"] != "mine"
    assert "x-request-id" not in answer.headers


async def test_services_and_applications_see_it() -> None:
    async def native(request: Request, call: CallContext) -> Response:
        assert request.headers["x-request-id"] == call.extensions["request_id"]
        return Response.text(call.extensions["request_id"])

    async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
        seen = scope["extensions"]["changeover"]["request_id"].encode()
        assert dict(scope["headers"])[b"x-request-id"] == seen
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": seen})

    for target in (native, Application("app", asgi)):
        answer = await serve(target, "request-id").get(x_request_id="r7")
        assert (answer.body, answer.headers["x-request-id"]) == (b"r7", "r7")


@pytest.mark.parametrize("kind", KINDS)
async def test_an_error_has_it_in_the_response_and_in_the_log(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    async def broken(request: Request, call: CallContext) -> Response:
        raise RuntimeError("secret")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("secret")

    with caplog.at_level(logging.ERROR, "changeover.request"):
        target = Application("app", app) if kind == "asgi" else broken
        answer = await serve(target, {"use": "request-id", "header": "x-trace"}).get(x_trace="r1")
    assert (answer.status, answer.headers["x-trace"]) == (500, "r1")
    assert "request r1" in caplog.messages[-1]
