"""`timeout`: a deadline that only moves closer, and an answer when it passes."""

import asyncio

import pytest

from changeover.workers.serving.asgi import Application, Receive, Scope, Send
from changeover.workers.serving.contract import CallContext, CallNext, Request, Response
from changeover.workers.serving.handlers import Handler, HandlerKind
from tests.ready_made import KINDS, answering, serve

SHORT = {"use": "timeout", "after": "30ms"}


async def test_a_service_that_takes_too_long_is_ended_and_answered_for() -> None:
    ended: list[str] = []

    async def slow(request: Request, call: CallContext) -> Response:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append("slow")
            raise
        return Response()

    answer = await serve(slow, SHORT).get()
    assert (answer.status, answer.json) == (
        504,
        {"status": 504, "title": "Took too long", "detail": "no response within 0.03 s"},
    )
    assert ended == ["slow"]


async def test_an_application_that_takes_too_long_is_ended_too() -> None:
    ended: list[str] = []

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("slow")

    assert (await serve(Application("app", slow), SHORT).get()).status == 504
    assert ended == ["slow"]


async def test_what_an_application_raises_on_its_way_out_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def breaks(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            raise LookupError("on its way out")

    assert (await serve(Application("app", breaks), SHORT).get()).status == 504
    assert "LookupError: on its way out" in caplog.text


@pytest.mark.parametrize("kind", KINDS)
async def test_a_response_in_time_passes_as_it_is(kind: str) -> None:
    assert (await serve(answering(kind, b"a", b"b", whole=False), "timeout").get()).body == b"ab"


async def test_a_timeout_of_the_service_itself_is_its_own_error() -> None:
    async def broken(request: Request, call: CallContext) -> Response:
        raise TimeoutError("the database")

    assert (await serve(broken, "timeout").get()).status == 500


async def test_what_is_behind_sees_what_is_left_of_the_budget_and_cannot_lengthen_it() -> None:
    left: list[float | None] = []

    async def native(request: Request, call: CallContext) -> Response:
        left.append(call.remaining())
        call.deadline = asyncio.get_running_loop().time() + 60
        left.append(call.remaining())
        return Response()

    async def closer(request: Request, call_next: CallNext, call: CallContext) -> Response:
        call.deadline = asyncio.get_running_loop().time() + 1
        return await call_next(request)

    await serve(native, {"use": "timeout", "after": 5}, beside=(Handler("x:y", HandlerKind.AROUND, closer),)).get()
    assert all(value is not None and 0 < value <= 1 for value in left)
    assert len(left) == 2


async def test_without_a_timeout_there_is_no_deadline() -> None:
    async def native(request: Request, call: CallContext) -> Response:
        return Response.json([call.deadline, call.remaining()])

    assert (await serve(native).get()).json == [None, None]
