"""`body-limit`: too long is 413, announced or not, whatever an application makes of it."""

import pytest

from changeover.workers.serving.answering import Answering
from changeover.workers.serving.asgi import Application, Receive, Scope, Send
from changeover.workers.serving.contract import CallContext, CallNext, Request, Response
from changeover.workers.serving.handlers import Handler, HandlerKind
from tests.exchange import MemoryExchange
from tests.ready_made import serve

LIMIT = {"use": "body-limit", "limit": 10}


async def echo(request: Request, call: CallContext) -> Response:
    return Response(await request.body())


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    body = b""
    while True:
        message = await receive()
        body += message["body"]
        if not message["more_body"]:
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def swallowing(scope: Scope, receive: Receive, send: Send) -> None:
    """As FastAPI does: whatever goes wrong with the body is the client's mistake."""
    status = 200
    try:
        while (await receive())["more_body"]:
            pass
    except Exception:  # noqa: BLE001 - that is the point
        status = 400
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b""})


TARGETS = [echo, Application("app", app), Application("app", swallowing)]


@pytest.mark.parametrize("target", TARGETS, ids=["native", "asgi", "swallowing"])
async def test_a_body_that_is_too_long_is_refused_announced_or_not(target: Answering) -> None:
    served = serve(target, LIMIT)
    assert (await served.post("/", b"x" * 11)).status == 413
    arriving = MemoryExchange("POST", body=[b"x" * 6, b"x" * 6, b"x" * 6])
    answer = await served.ask(arriving)
    assert (answer.status, answer.json) == (
        413,
        {"status": 413, "title": "Content too large", "detail": "the request body is longer than 10 bytes"},
    )
    assert (await served.ask(MemoryExchange("POST", body=[b"x" * 5, b"x" * 5]))).status == 200


@pytest.mark.parametrize("target", TARGETS, ids=["native", "asgi", "swallowing"])
async def test_a_body_that_came_with_its_head_is_measured_and_stays_held(target: Answering) -> None:
    held: list[bytes | None] = []

    async def look(request: Request, call_next: CallNext, call: CallContext) -> Response:
        held.append(request.held_body)
        return await call_next(request)

    served = serve(target, LIMIT, beside=(Handler("x:look", HandlerKind.AROUND, look),))
    assert (await served.ask(MemoryExchange("POST", held=b"x" * 11))).status == 413
    assert (await served.ask(MemoryExchange("POST", held=b"x" * 10))).status == 200
    assert held == [b"x" * 10]


async def test_what_announces_too_much_is_not_read() -> None:
    served = serve(echo, LIMIT)
    unread = MemoryExchange("POST", headers=[(b"content-length", b"11")], complete=False)
    assert (await served.ask(unread)).status == 413


async def test_a_body_within_the_limit_is_the_same_bytes() -> None:
    seen: list[bytes] = []

    async def keep(request: Request, call: CallContext) -> Response:
        seen.append(await request.body())
        return Response(seen[0])

    body = b"ten bytes!"
    answer = await serve(keep, LIMIT).ask(MemoryExchange("POST", body=[body]))
    assert seen[0] is body
    assert answer.pieces[0] is body


async def test_a_body_that_an_inbound_handler_has_read_already_is_measured_too() -> None:
    async def read(request: Request, call: CallContext) -> None:
        await request.body()

    served = serve(echo, LIMIT, beside=(Handler("test:read", HandlerKind.INBOUND, read),))
    assert (await served.ask(MemoryExchange("POST", body=[b"x" * 10]))).status == 200
    assert (await served.ask(MemoryExchange("POST", body=[b"x" * 11]))).status == 413
