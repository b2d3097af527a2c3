"""`access-log`: one line for each response, whatever it is and whoever gives it."""

import asyncio
import logging
import re
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec
import pytest

from changeover.workers.serving.answering import Answering
from changeover.workers.serving.asgi import Application, Message, Receive, Scope, Send
from changeover.workers.serving.contract import CallContext, Request, Response
from changeover.workers.serving.wsgi import WsgiApplication
from tests.exchange import MemoryExchange
from tests.ready_made import KINDS, answering, serve
from tests.waits import until
from tests.wsgi import OK, PLAIN, application


@pytest.mark.parametrize("kind", KINDS)
async def test_a_response_is_a_line(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "changeover.access"):
        await serve(answering(kind, b"x", status=201), "request-id", "access-log").get("/a?b=1", x_request_id="r1")
    [line] = caplog.messages
    assert re.fullmatch(r'192\.0\.2\.1 "GET /a\?b=1" 201 \d+\.\dms epoch=7 worker=2 route=shop request=r1', line), line


async def test_a_line_may_be_an_object(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "mine"):
        await serve(answering("native"), {"use": "access-log", "format": "json", "logger": "mine"}).get('/"\\')
    told = msgspec.json.decode(caplog.messages[0])
    assert (told["target"], told["status"], told["epoch"], told["left"]) == ('/"\\\\', 200, 7, False)
    assert told["complete"]


async def test_what_handlers_and_errors_answer_is_told_and_what_is_skipped_is_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def broken(request: Request, call: CallContext) -> Response:
        raise RuntimeError

    log = {"use": "access-log", "skip": ["/health"]}
    served = serve(broken, log, {"use": "rate-limit", "limit": 3, "per": "1h"})
    with caplog.at_level(logging.INFO, "changeover.access"):
        for path in ("/health", "/health/live", "/healthy", "/"):
            await served.get(path)
    told = [record.getMessage().split()[1:4] for record in caplog.records if record.name == "changeover.access"]
    assert told == [['"GET', '/healthy"', "500"], ['"GET', '/"', "429"]]


async def test_a_stream_is_told_at_its_end_and_a_client_that_left_too(caplog: pytest.LogCaptureFixture) -> None:
    served = serve(answering("native", b"a", b"b", whole=False), "access-log")
    exchange = MemoryExchange(window=0)
    with caplog.at_level(logging.INFO, "changeover.access"):
        assert served.dispatcher.dispatch(exchange)
        await until(lambda: exchange.pieces == [b"a"], "the first piece")
        assert caplog.messages == []
        exchange.hang_up()
        await until(lambda: len(caplog.messages) == 1, "the line")
    assert " 200 " in caplog.messages[0]
    assert "ms left epoch=7" in caplog.messages[0]


ENDS: dict[str, list[Message]] = {
    "whole": [{"type": "http.response.body", "body": b"x"}],
    "in pieces": [
        {"type": "http.response.body", "body": b"x", "more_body": True},
        {"type": "http.response.body", "body": b"x"},
    ],
    "with trailers": [
        {"type": "http.response.body", "body": b"x"},
        {"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]},
    ],
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("behind", [[], ["errors"]], ids=["at the end", "behind an around"])
async def test_what_an_application_does_after_its_response_is_not_waited_for(
    end: str, behind: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    cleaned = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": "trailers" in end})
        for message in ENDS[end]:
            await send(message)
        await cleaned.wait()

    served = serve(Application("app", app), "access-log", *behind)
    with caplog.at_level(logging.INFO, "changeover.access"):
        assert served.dispatcher.dispatch(MemoryExchange())
        await until(lambda: caplog.messages, "the line")
    assert served.units.leases
    cleaned.set()
    await until(lambda: not served.units.leases, "the end of the application")
    assert len(caplog.messages) == 1


async def test_what_a_thread_does_after_its_response_is_not_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    cleaned = threading.Event()

    class Pages(list[bytes]):
        def close(self) -> None:
            assert cleaned.wait(10)

    def call(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response(OK, PLAIN)
        return Pages([b"x"])

    async with application(call) as app:
        served = serve(app, "access-log")
        with caplog.at_level(logging.INFO, "changeover.access"):
            assert served.dispatcher.dispatch(MemoryExchange())
            await until(lambda: caplog.messages, "the line")
        assert served.units.leases
        cleaned.set()
        await until(lambda: not served.units.leases, "the thread to leave")


PIECES = [(b"content-type", b"text/plain")]


async def part(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": PIECES})
    await send({"type": "http.response.body", "body": b"part", "more_body": True})
    if scope["path"] == "/silent":
        await asyncio.Event().wait()
    raise RuntimeError("in the middle")


async def native_part(request: Request, call: CallContext) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"part"
        if request.path == "/silent":
            await asyncio.Event().wait()
        raise RuntimeError("in the middle")

    return Response(pieces())


def threaded_part(environ: object, start_response: Callable[..., object]) -> Iterator[bytes]:
    start_response("200 OK", [("content-type", "text/plain")])
    yield b"part"
    raise RuntimeError("in the middle")


@pytest.fixture
async def threaded() -> AsyncIterator[WsgiApplication]:
    made = WsgiApplication("app", threaded_part)
    yield made
    await made.close(5.0)


BESIDE: list[tuple[str | dict[str, Any], ...]] = [("access-log",), ("access-log", "errors"), ("errors", "access-log")]
"""What stands around: an application is called in another way where a handler holds its response in its hands."""


async def begin(target: Answering, handlers: Sequence[str | dict[str, Any]], path: str, *, end: bool = False) -> None:
    """Have a response begin and break off."""
    served, exchange = serve(target, *handlers), MemoryExchange("GET", path)
    assert served.dispatcher.dispatch(exchange)
    await until(lambda: exchange.pieces == [b"part"], "the first piece")
    if end:
        assert served.units.live_leases()[0].end("its drain deadline passed")
    await until(lambda: exchange.aborted and not served.units.leases, "the end")


@pytest.mark.parametrize("handlers", BESIDE, ids=" ".join)
@pytest.mark.parametrize("kind", ["native", "asgi", "wsgi"])
async def test_a_response_that_broke_off_does_not_read_like_a_whole_one(
    kind: str, handlers: Sequence[str], threaded: WsgiApplication, caplog: pytest.LogCaptureFixture
) -> None:
    targets: dict[str, Answering] = {"native": native_part, "asgi": Application("app", part), "wsgi": threaded}
    with caplog.at_level(logging.INFO, "changeover.access"):
        await begin(targets[kind], handlers, "/part")
    [line] = [record.getMessage() for record in caplog.records if record.name == "changeover.access"]
    assert re.match(r'192\.0\.2\.1 "GET /part" 200 \d+\.\dms cut epoch=7', line), line


@pytest.mark.parametrize("handlers", BESIDE, ids=" ".join)
@pytest.mark.parametrize("kind", ["native", "asgi"])
async def test_a_response_that_the_server_ends_in_the_middle_is_cut_too(
    kind: str, handlers: Sequence[str], caplog: pytest.LogCaptureFixture
) -> None:
    targets: dict[str, Answering] = {"native": native_part, "asgi": Application("app", part)}
    log = [{"use": "access-log", "format": "json"} if each == "access-log" else each for each in handlers]
    with caplog.at_level(logging.INFO, "changeover.access"):
        await begin(targets[kind], log, "/silent", end=True)
    [line] = [record.getMessage() for record in caplog.records if record.name == "changeover.access"]
    entry = msgspec.json.decode(line)
    assert (entry["status"], entry["left"], entry["complete"]) == (200, False, False)


async def test_a_request_that_the_server_ends_without_a_response_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async def never(request: Request, call: CallContext) -> Response:
        await call.client_left()
        return Response()

    served = serve(never, "access-log")
    exchange = MemoryExchange()
    with caplog.at_level(logging.INFO, "changeover.access"):
        assert served.dispatcher.dispatch(exchange)
        [lease] = served.units.leases
        assert lease.end("the worker leaves")
        await until(lambda: not served.units.leases, "the end")
    assert " 499 " in caplog.messages[0]


async def test_where_nobody_configured_logging_lines_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    alone = logging.getLogger("alone")
    alone.propagate = False
    try:
        for served in [serve(answering("native"), {"use": "access-log", "logger": "alone"}) for _ in range(2)]:
            await served.get("/a")
        assert capsys.readouterr().err.count('"GET /a" 200 ') == 2
    finally:
        alone.handlers.clear()


async def test_a_level_that_somebody_chose_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("quiet").setLevel(logging.WARNING)
    await serve(answering("native"), {"use": "access-log", "logger": "quiet"}).get()
    assert caplog.messages == []
