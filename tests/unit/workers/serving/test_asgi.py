"""ASGI applications, written by hand, straight on the exchange."""

import asyncio
import logging
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from changeover.workers.protocol.snapshot import Route
from changeover.workers.serving.asgi import Application, AsgiCallable, Message, Receive, Scope, Send
from changeover.workers.serving.contract import CallContext, CallNext, Request, Response
from changeover.workers.serving.handlers import Handler, HandlerKind
from changeover.workers.serving.handshake import HandshakeOutcome, Proxied
from changeover.workers.serving.lease import LeaseKind, UnitSet
from changeover.workers.serving.pipeline import Pipeline
from tests.exchange import MemoryExchange, Served
from tests.waits import until

START: Message = {"type": "http.response.start", "status": 200, "headers": [(b"X-App", b"1")]}
END: Message = {"type": "http.response.body", "body": b"done"}


def piece(body: bytes) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": True}


def through_an_around(application: Application) -> Pipeline:
    async def pass_on(request: Request, call_next: CallNext, call: CallContext) -> Response:
        return await call_next(request)

    return Pipeline("shop", [Handler("test:pass_on", HandlerKind.AROUND, pass_on)], application)


def direct(application: Application) -> Pipeline:
    return Pipeline("shop", (), application)


def behind_an_outbound(application: Application) -> Pipeline:
    return Pipeline("shop", [Handler("test:nothing", HandlerKind.OUTBOUND, lambda *_: None)], application)


Way = Callable[[Application], Pipeline]
every_way = pytest.mark.parametrize("way", [direct, behind_an_outbound, through_an_around])


def served(app: AsgiCallable, way: Way = direct, **options: Any) -> Served:
    return Served(way(Application("app", app)), **options)


async def test_the_scope_says_what_was_asked() -> None:
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        await send(START)
        await send(END)

    application = Application("app", app, root_path="/behind")
    application.state["pool"] = pool = object()
    await Served(direct(application)).ask(MemoryExchange("PUT", "/a?b=c", headers=[(b"host", b"x")]))
    assert seen == [
        {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "PUT",
            "scheme": "http",
            "path": "/behind/a",
            "raw_path": b"/behind/a",
            "query_string": b"b=c",
            "root_path": "/behind",
            "headers": [(b"host", b"x")],
            "client": ("192.0.2.1", 50000),
            "server": ("127.0.0.1", 8000),
            "extensions": {"http.response.pathsend": {}, "http.response.trailers": {}},
            "state": {"pool": pool},
        }
    ]
    seen[0]["state"]["mine"] = 1
    assert application.state == {"pool": pool}


@every_way
@pytest.mark.parametrize(("subject", "name"), [("CN=agent", "CN=agent"), ("", None)])
async def test_a_client_s_certificate_is_told_in_the_extension_for_it(way: Way, subject: str, name: str | None) -> None:
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["extensions"].get("tls"))
        await send(START)
        await send(END)

    proxied = Proxied(("192.0.2.9", 1), tls="TLSv1.3")
    for outcome in (HandshakeOutcome(tls="TLSv1.3", subject=subject), HandshakeOutcome(proxied=proxied)):
        await served(app, way).ask(MemoryExchange(outcome=outcome))
    assert seen == [
        {
            "server_cert": None,
            "client_cert_chain": [],
            "client_cert_name": name,
            "client_cert_error": None,
            "tls_version": 0x0304,
            "cipher_suite": None,
        },
        None,
    ]


async def test_a_mounted_route_becomes_the_root_path() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send({"type": "http.response.body", "body": f"{scope['root_path']} {scope['path']}".encode()})

    mounted = served(app, route=Route("shop", path="/prices", mounted=True))
    assert (await mounted.get("/prices/a")).body == b"/prices /prices/a"
    assert (await mounted.get("/prices")).body == b"/prices /prices/"


@every_way
async def test_one_body_is_sent_with_its_head(way: Way) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(END)

    answer = await served(app, way, stamp=True).get()
    assert (answer.status, answer.body, answer.ended) == (200, b"done", True)
    assert answer.headers["x-app"] == "1"
    assert answer.headers["x-changeover-epoch"] == "7"


ONCE: list[Callable[[list[tuple[bytes, bytes]]], Iterable[Any]]] = [iter, tuple, lambda fields: map(list, fields)]


@every_way
@pytest.mark.parametrize("once", ONCE, ids=["iterator", "tuple", "map"])
async def test_header_fields_may_be_whatever_can_be_read(way: Way, once: Callable[[Any], Iterable[Any]]) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({**START, "headers": once([(b"X-App", b"1"), (b"content-length", b"4")])})
        await send(END)

    answer = await served(app, way).get()
    assert (answer.status, answer.body, answer.headers["x-app"]) == (200, b"done", "1")


@every_way
async def test_the_body_of_the_request_arrives_in_pieces(way: Way) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        pieces = []
        while True:
            message = await receive()
            pieces.append(message["body"])
            if not message["more_body"]:
                break
        await send(START)
        await send({"type": "http.response.body", "body": b"|".join(pieces)})

    answer = await served(app, way).ask(MemoryExchange("POST", body=[b"one", b"two"]))
    assert answer.body == b"one|two|"


async def test_a_body_that_a_handler_has_read_is_there_for_the_application() -> None:
    async def peek(request: Request, call: CallContext) -> None:
        await request.body()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send({"type": "http.response.body", "body": (await receive())["body"]})

    pipeline = Pipeline("shop", [Handler("test:peek", HandlerKind.INBOUND, peek)], Application("app", app))
    assert (await Served(pipeline).ask(MemoryExchange("POST", body=[b"one", b"two"]))).body == b"onetwo"


@every_way
async def test_a_stream_shows_its_head_before_its_first_piece(way: Way) -> None:
    go = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await go.wait()
        await send(piece(b"one"))
        await send(END)

    exchange = MemoryExchange()
    serving = served(app, way)
    serving.dispatcher.dispatch(exchange)
    await until(lambda: exchange.status)
    assert exchange.pieces == []
    go.set()
    await until(lambda: exchange.ended and not serving.units.leases)
    assert exchange.body == b"onedone"


@every_way
async def test_a_stream_waits_for_a_slow_client_under_a_stream_lease(way: Way) -> None:
    sent: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        for number in range(6):
            await send(piece(b"x" * 50_000))
            sent.append(number)
        await send({"type": "http.response.body"})

    exchange = MemoryExchange(window=40_000)
    serving = served(app, way)
    serving.dispatcher.dispatch(exchange)
    await until(lambda: exchange.pieces)
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(sent) < 4
    assert LeaseKind.STREAM in {lease.kind for lease in serving.units.leases}
    while not exchange.ended:
        exchange.take()
        await asyncio.sleep(0)
    assert len(exchange.body) == 300_000


@every_way
async def test_what_runs_after_the_response_keeps_the_lease(way: Way) -> None:
    go = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(END)
        await go.wait()

    exchange = MemoryExchange()
    serving = served(app, way)
    serving.dispatcher.dispatch(exchange)
    await until(lambda: exchange.ended)
    assert [lease.kind for lease in serving.units.leases] == [LeaseKind.TASK]
    go.set()
    await until(lambda: not serving.units.leases)


@every_way
async def test_an_application_that_raises_answers_500(way: Way, caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("secret")

    answer = await served(app, way).get()
    assert answer.json == {"status": 500, "title": "Internal server error"}
    (record,) = caplog.records
    assert re.fullmatch("GET / failed on epoch 7, route shop, request [0-9a-f]{32}", record.getMessage())


@every_way
async def test_an_application_that_raises_after_the_head_aborts(way: Way, caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(piece(b"x"))
        await asyncio.sleep(0)
        raise RuntimeError("broken")

    answer = await served(app, way).get()
    assert (answer.status, answer.aborted, answer.ended) == (200, True, False)
    assert len(caplog.records) == 1


async def test_a_head_that_would_break_the_framing_is_refused_and_answered_with_500() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x", b"a\r\nb: c")]})

    answer = await served(app).get()
    assert (answer.status, answer.ended) == (500, True)


@every_way
async def test_an_error_after_the_response_is_logged_only(way: Way, caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(END)
        raise RuntimeError("too late")

    answer = await served(app, way).get()
    assert (answer.status, answer.ended, answer.aborted) == (200, True, False)
    assert "too late" in caplog.text


@every_way
async def test_an_application_that_returns_without_answering_is_told_so(
    way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        return

    assert (await served(app, way).get()).status == 500
    assert "application app returned before http.response.start" in caplog.text


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([END], "'http.response.body' before http.response.start"),
        ([START, START], "'http.response.start' after http.response.start"),
        ([{"type": "http.response.trailers"}], "'http.response.trailers' before http.response.start"),
        ([START, {"type": "http.response.body", "body": "text"}], "body of type str"),
        ([START, END, END], "'http.response.body' after the last http.response.body"),
    ],
)
async def test_messages_out_of_order_are_refused(
    messages: list[Message], expected: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    await served(app).get()
    assert expected in caplog.text


@every_way
async def test_a_client_that_leaves_is_told_by_receive(way: Way) -> None:
    heard: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(START)
        await send(piece(b"x"))
        heard.append(await receive())
        await send(piece(b"y"))
        await send(END)

    exchange = MemoryExchange()
    serving = served(app, way)
    serving.dispatcher.dispatch(exchange)
    await until(lambda: exchange.pieces)
    exchange.hang_up()
    await until(lambda: not serving.units.leases)
    assert heard == [{"type": "http.disconnect"}]
    assert not exchange.aborted


@every_way
async def test_an_endless_stream_that_does_not_listen_is_stopped_by_an_os_error(
    way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    raised: list[OSError] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        try:
            while True:
                await send(piece(b"x"))
                await asyncio.sleep(0)
        except OSError as error:
            raised.append(error)
            raise

    exchange = MemoryExchange()
    serving = served(app, way)
    serving.dispatcher.dispatch(exchange)
    await until(lambda: exchange.pieces)
    exchange.hang_up()
    await until(lambda: not serving.units.leases)
    assert raised
    assert not caplog.records


async def test_an_answer_to_a_client_that_has_left_is_quiet(caplog: pytest.LogCaptureFixture) -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        await go.wait()
        await send(START)
        await send(END)

    exchange = MemoryExchange()
    serving = served(app)
    serving.dispatcher.dispatch(exchange)
    await until(begun.is_set)
    exchange.hang_up()
    go.set()
    with caplog.at_level(logging.DEBUG):
        await until(lambda: not serving.units.leases)
    assert not caplog.records


async def test_after_the_response_receive_says_disconnect() -> None:
    heard: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        listener = asyncio.create_task(listen(receive))
        await until(lambda: heard)
        await send(START)
        await send(END)
        await listener
        heard.append(await receive())

    async def listen(receive: Receive) -> None:
        heard.append(await receive())
        heard.append(await receive())

    await served(app).get()
    assert [message["type"] for message in heard] == ["http.request", "http.disconnect", "http.disconnect"]


@every_way
async def test_an_application_always_runs_inside_a_task(way: Way) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async with asyncio.timeout(1):
            await send(START)
            await send(END)

    assert (await served(app, way).get()).body == b"done"


async def test_an_outbound_handler_edits_the_head_of_a_stream() -> None:
    async def stamp(request: Request, response: Response, call: CallContext) -> None:
        await asyncio.sleep(0)
        response.status = 202
        response.headers["x-stamp"] = "1"

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(piece(b"x"))
        await send(END)

    pipeline = Pipeline("shop", [Handler("test:stamp", HandlerKind.OUTBOUND, stamp)], Application("app", app))
    answer = await Served(pipeline).get()
    assert (answer.status, answer.headers["x-stamp"], answer.body) == (202, "1", b"xdone")


async def test_handlers_leave_values_for_the_application() -> None:
    def tenant(request: Request, call: CallContext) -> None:
        call.extensions["tenant"] = "acme"

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send({"type": "http.response.body", "body": scope["extensions"]["changeover"]["tenant"].encode()})

    pipeline = Pipeline("shop", [Handler("test:tenant", HandlerKind.INBOUND, tenant)], Application("app", app))
    assert (await Served(pipeline).get()).body == b"acme"


async def test_an_around_handler_changes_status_and_body() -> None:
    async def shout(request: Request, call_next: CallNext, call: CallContext) -> Response:
        response = await call_next(request)
        assert isinstance(response.body, bytes)
        return Response(response.body.upper(), 201, response.headers)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(END)

    pipeline = Pipeline("shop", [Handler("test:shout", HandlerKind.AROUND, shout)], Application("app", app))
    answer = await Served(pipeline).get()
    assert (answer.status, answer.body, answer.headers["x-app"]) == (201, b"DONE", "1")


async def test_a_response_that_an_around_handler_drops_looks_like_a_client_that_left() -> None:
    heard: list[Message] = []

    async def replace(request: Request, call_next: CallNext, call: CallContext) -> Response:
        await call_next(request)
        return Response.text("instead")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(START)
        await send(piece(b"x"))
        heard.append(await receive())

    pipeline = Pipeline("shop", [Handler("test:replace", HandlerKind.AROUND, replace)], Application("app", app))
    assert (await Served(pipeline).get()).body == b"instead"
    assert heard == [{"type": "http.disconnect"}]


async def test_an_endless_response_that_an_around_handler_drops_is_stopped() -> None:
    async def replace(request: Request, call_next: CallNext, call: CallContext) -> Response:
        await call_next(request)
        return Response.text("instead")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        while True:
            await send(piece(b"x" * 50_000))

    pipeline = Pipeline("shop", [Handler("test:replace", HandlerKind.AROUND, replace)], Application("app", app))
    assert (await Served(pipeline).get()).body == b"instead"


async def test_an_around_handler_catches_what_the_application_raised() -> None:
    async def rescue(request: Request, call_next: CallNext, call: CallContext) -> Response:
        try:
            return await call_next(request)
        except KeyError as error:
            return Response.text(f"rescued {error.args[0]}", 418)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise KeyError("x")

    pipeline = Pipeline("shop", [Handler("test:rescue", HandlerKind.AROUND, rescue)], Application("app", app))
    answer = await Served(pipeline).get()
    assert (answer.status, answer.body) == (418, b"rescued x")


@every_way
async def test_a_lease_that_is_ended_ends_the_application(way: Way) -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    serving = served(app, way)
    exchange = MemoryExchange()
    serving.dispatcher.dispatch(exchange)
    await until(begun.is_set)
    serving.units.live_leases()[0].end("too many resident copies")
    await until(lambda: not serving.units.leases)
    assert cancelled.is_set()
    assert exchange.status == 503


async def test_a_request_that_awaits_what_another_had_begun_when_that_is_ended_is_no_request_that_is_ended(
    caplog: pytest.LogCaptureFixture,
) -> None:
    shared: list[asyncio.Task[None]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await shared[0]

    units = UnitSet(())
    other = units.lease(LeaseKind.TASK, 1, "/other", 0)
    shared.append(asyncio.ensure_future(asyncio.sleep(60)))
    other.holder = shared[0]
    asking = asyncio.ensure_future(served(app).get())
    await asyncio.sleep(0)
    assert other.end("its deadline passed")
    assert (await asking).status == 500
    assert "CancelledError" in caplog.text


@every_way
async def test_a_stream_whose_lease_is_ended_is_broken_off(way: Way) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(piece(b"x"))
        await asyncio.Event().wait()

    serving = served(app, way)
    exchange = MemoryExchange()
    serving.dispatcher.dispatch(exchange)
    await until(lambda: exchange.pieces)
    serving.units.live_leases()[0].end("too many resident copies")
    await until(lambda: not serving.units.leases)
    assert (exchange.aborted, exchange.ended) == (True, False)


class Odd(BaseException):
    """Of no kind that anybody expects."""


every_error = pytest.mark.parametrize("error", [Odd, SystemExit, KeyboardInterrupt, asyncio.CancelledError])


@every_way
@every_error
async def test_whatever_is_raised_is_answered_and_told(
    way: Way, error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    exchange = await served(app, way).get()
    assert exchange.status == 500
    assert [record.exc_info and record.exc_info[0] for record in caplog.records] == [error]


@every_way
@every_error
async def test_whatever_is_raised_in_the_middle_breaks_the_response_off(way: Way, error: type[BaseException]) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(piece(b"one"))
        raise error

    exchange = await served(app, way).get()
    assert exchange.aborted
    assert not exchange.ended


@every_way
async def test_a_file_is_sent_by_its_path(way: Way, tmp_path: Path) -> None:
    content = bytes(range(256)) * 4096
    (tmp_path / "file").write_bytes(content)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert "http.response.pathsend" in scope["extensions"]
        await send(START)
        await send({"type": "http.response.pathsend", "path": str(tmp_path / "file")})

    answer = await served(app, way).get()
    assert answer.body == content
    assert answer.ended


async def test_a_file_that_is_not_there_breaks_the_response_off(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send({"type": "http.response.pathsend", "path": str(tmp_path / "nowhere")})

    answer = await served(app).get()
    assert answer.aborted
    assert "nowhere" in caplog.text


TRAILED: Message = {**START, "trailers": True}


def trailers(*fields: tuple[bytes, bytes], more: bool = False) -> Message:
    return {"type": "http.response.trailers", "headers": list(fields), "more_trailers": more}


@every_way
async def test_what_stands_behind_the_body_is_sent_when_all_of_it_is_there(way: Way) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(TRAILED)
        await send(END)
        await send(trailers((b"x-sum", b"1"), more=True))
        await send(trailers((b"x-count", b"2")))

    answer = await served(app, way).get()
    assert answer.ended
    assert answer.trailers == [(b"x-sum", b"1"), (b"x-count", b"2")]


async def test_a_response_whose_trailers_never_come_is_broken_off(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(TRAILED)
        await send(END)

    answer = await served(app).get()
    assert answer.aborted
    assert "before the last http.response.trailers" in caplog.text


async def test_trailers_that_were_not_announced_are_refused(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(END)
        await send(trailers((b"x-sum", b"1")))

    answer = await served(app).get()
    assert answer.ended
    assert "'http.response.trailers' after the last http.response.body" in caplog.text
