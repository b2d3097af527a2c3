"""A response of which nothing has left gives way to a short one: what is told of it is what its client got."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from changeover.workers.errors import ChangeoverError
from changeover.workers.serving.answering import Answering
from changeover.workers.serving.asgi import Application, Receive, Scope, Send
from changeover.workers.serving.contract import CallContext, Request, Response
from changeover.workers.serving.counters import PipelineCounters
from changeover.workers.serving.handlers import Handler, HandlerKind
from tests.kept import Kept
from tests.over_wires import asked
from tests.ready_made import serve

START = {"type": "http.response.start", "status": 200, "headers": []}


def ended() -> BaseException:
    """What the server ends the running request with."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    return asyncio.CancelledError()


async def streaming(request: Request, call: CallContext) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"secret"
        raise RuntimeError("secret")

    return Response(pieces())


def started(then: Callable[[Send], Awaitable[None]]) -> Answering:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await then(send)

    return Application("app", app)


async def raising(send: Send) -> None:
    await send({"type": "http.response.body", "body": b"secret", "more_body": True})
    raise RuntimeError("secret")


async def returning(send: Send) -> None:
    """Not complete."""


async def ending(send: Send) -> None:
    raise ended()


async def short(scope: Scope, receive: Receive, send: Send) -> None:
    await send(START | {"headers": [(b"content-length", b"7")]})
    await send({"type": "http.response.body", "body": b"secret"})


def swallowing(body: bytes) -> Answering:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START | {"headers": [(b"content-length", b"7")]})
        with contextlib.suppress(ChangeoverError):
            await send({"type": "http.response.body", "body": body})

    return Application("app", app)


WAYS = {
    "an application raises": (started(raising), 500),
    "an application returns": (started(returning), 500),
    "a body is shorter than announced": (Application("app", short), 500),
    "a body is shorter than announced, and who sends it hears of nothing": (swallowing(b"secret"), 500),
    "a body is longer than announced, and who sends it hears of nothing": (swallowing(b"secrets!"), 500),
    "a stream raises": (streaming, 500),
    "an application is ended by the server": (started(ending), 503),
}


@pytest.mark.parametrize("http2", [False, True])
@pytest.mark.parametrize("way", WAYS)
async def test_all_who_tell_of_it_say_what_the_client_got(
    way: str, http2: bool, caplog: pytest.LogCaptureFixture
) -> None:
    target, expected = WAYS[way]
    served, kept = serve(target, "access-log"), Kept()
    with caplog.at_level(logging.INFO, "changeover.access"):
        status, body = await asked(served, http2=http2, making=kept.making)
    assert (status, b"secret" in body) == (expected, False)
    assert [(told.status, told.size, told.complete) for told in kept] == [(expected, len(body), True)]
    [line] = [record.getMessage() for record in caplog.records if record.name == "changeover.access"]
    assert f" {expected} " in line
    assert "cut" not in line
    assert "left" not in line
    assert served.units.counters.counts().responses == {"5xx": 1}


@pytest.mark.parametrize("http2", [False, True])
@pytest.mark.parametrize("way", [way for way, (_, status) in WAYS.items() if status == 500])
async def test_a_client_that_gets_the_short_one_is_there_all_the_time_and_the_fault_is_an_error_of_the_application(
    way: str, http2: bool, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[tuple[bool, bool, int]] = []

    def listen(request: Request, call: CallContext) -> None:
        call.when_answered(lambda: told.append((call.connected, call.broken_off, call.answered_instead)))

    target, _ = WAYS[way]
    with caplog.at_level(logging.INFO, "changeover.request"):
        await asked(serve(target, beside=(Handler("test:listen", HandlerKind.INBOUND, listen),)), http2=http2)
    assert told == [(True, True, 500)]
    [fault] = [record for record in caplog.records if record.name == "changeover.request"]
    assert fault.levelno == logging.ERROR
    assert "left" not in fault.getMessage()


async def test_who_only_asks_for_a_head_gets_no_body_of_the_short_one() -> None:
    kept = Kept()
    status, body = await asked(serve(started(raising)), http2=False, method="HEAD", making=kept.making)
    assert (status, body) == (500, b"")
    assert [(told.status, told.size) for told in kept] == [(500, 0)]


async def test_what_an_application_does_wrong_behind_its_response_takes_nothing_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def late(send: Send) -> None:
        await send({"type": "http.response.body", "body": b"whole"})
        raise RuntimeError("late")

    served = serve(started(late), "access-log")
    with caplog.at_level(logging.INFO, "changeover.access"):
        assert await asked(served, http2=False) == (200, b"whole")
    [line] = [record.getMessage() for record in caplog.records if record.name == "changeover.access"]
    assert " 200 " in line
    assert "cut" not in line
    assert served.units.counters.counts().responses == {"2xx": 1}


def test_a_number_that_was_told_does_not_get_smaller() -> None:
    counters = PipelineCounters()
    counters.responses[2] += 1
    assert counters.counts().responses == {"2xx": 1}
    counters.replaced(200, 500)
    assert counters.counts().responses == {"2xx": 1, "5xx": 1}
    counters.responses[2] += 1
    counters.replaced(200, 500)
    assert counters.counts().responses == {"2xx": 1, "5xx": 2}
