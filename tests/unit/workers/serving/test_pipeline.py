"""Native handlers and services."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

from changeover.workers.protocol.snapshot import Route
from changeover.workers.serving.asgi import Application, Receive, Scope, Send
from changeover.workers.serving.contract import (
    CallContext,
    CallNext,
    Headers,
    NotReady,
    Request,
    Response,
    Service,
)
from changeover.workers.serving.handlers import Handler, HandlerKind
from changeover.workers.serving.lease import LeaseKind
from changeover.workers.serving.pipeline import Pipeline
from tests.exchange import MemoryExchange, Served
from tests.waits import until
from tests.wsgi import application


async def hello(request: Request, call: CallContext) -> Response:
    return Response.text(f"hello from epoch {call.epoch}")


def handler(kind: HandlerKind, call: Callable[..., Any]) -> Handler:
    return Handler(f"test:{getattr(call, '__name__', 'handler')}", kind, call)


def inbound(call: Callable[..., Any]) -> Handler:
    return handler(HandlerKind.INBOUND, call)


def outbound(call: Callable[..., Any]) -> Handler:
    return handler(HandlerKind.OUTBOUND, call)


def around(call: Callable[..., Any]) -> Handler:
    return handler(HandlerKind.AROUND, call)


async def test_a_service_answers_with_its_length() -> None:
    answer = await Served(Pipeline("shop", (), hello)).get()
    assert (answer.status, answer.body) == (200, b"hello from epoch 7")
    assert answer.headers["content-length"] == "18"


async def test_a_length_that_a_service_gives_its_answer_is_not_believed() -> None:
    async def wrong(request: Request, call: CallContext) -> Response:
        return Response(b"hello", headers=Headers([(b"content-length", b"3"), (b"x", b"y")]))

    answer = await Served(Pipeline("shop", (), wrong)).get()
    assert (answer.headers["content-length"], answer.headers["x"], answer.body) == ("5", "y", b"hello")


async def test_a_synchronous_service_answers() -> None:
    def quick(request: Request, call: CallContext) -> Response:
        return Response.text(request.path)

    assert (await Served(Pipeline("shop", (), quick)).get("/a")).body == b"/a"


async def test_handlers_run_inbound_around_service_outbound() -> None:
    order: list[str] = []

    async def answer(request: Request, call: CallContext) -> Response:
        order.append("service")
        return Response.text("")

    def note(word: str) -> Callable[..., None]:
        return lambda *_: order.append(word)

    def wrap(word: str) -> Callable[..., Any]:
        async def wrapper(request: Request, call_next: CallNext, call: CallContext) -> Response:
            order.append(f"{word} in")
            response = await call_next(request)
            order.append(f"{word} out")
            return response

        return wrapper

    async def slow(request: Request, call: CallContext) -> None:
        await asyncio.sleep(0)
        order.append("inbound 2")

    pipeline = Pipeline(
        "shop",
        [
            outbound(note("outbound 1")),
            around(wrap("outer")),
            inbound(note("inbound 1")),
            inbound(slow),
            around(wrap("inner")),
            outbound(note("outbound 2")),
        ],
        answer,
    )
    await Served(pipeline).get()
    assert order == [
        *("inbound 1", "inbound 2", "outer in", "inner in", "service"),
        *("inner out", "outer out", "outbound 1", "outbound 2"),
    ]


async def test_an_inbound_handler_answers_at_once_and_outbound_handlers_still_run() -> None:
    def deny(request: Request, call: CallContext) -> Response:
        return Response.text("no", 403)

    def never(request: Request, call: CallContext) -> Response:
        raise AssertionError

    def stamp(request: Request, response: Response, call: CallContext) -> None:
        response.headers["x-stamp"] = "1"

    answer = await Served(Pipeline("shop", [inbound(deny), inbound(never), outbound(stamp)], never)).get()
    assert (answer.status, answer.body, answer.headers["x-stamp"]) == (403, b"no", "1")


async def test_what_handlers_leave_reaches_the_service() -> None:
    def tenant(request: Request, call: CallContext) -> None:
        call.extensions["tenant"] = request.headers["x-tenant"]

    async def who(request: Request, call: CallContext) -> Response:
        return Response.text(call.extensions["tenant"])

    assert (await Served(Pipeline("shop", [inbound(tenant)], who)).get(x_tenant="acme")).body == b"acme"


async def test_an_emptied_pipeline_answers_503() -> None:
    answer = await Served(Pipeline("shop")).get()
    assert answer.status == 503
    assert answer.headers["content-type"] == "application/problem+json"


async def test_an_error_is_told_without_details_and_logged_with_all(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(request: Request, call: CallContext) -> Response:
        raise RuntimeError("secret")

    with caplog.at_level(logging.ERROR, "changeover.request"):
        answer = await Served(Pipeline("shop", (), broken)).get("/a", x_request_id="r1")
    assert answer.json == {"status": 500, "title": "Internal server error"}
    (record,) = caplog.records
    assert "GET /a failed on epoch 7, route shop, request r1" in record.getMessage()
    assert record.exc_info is not None
    assert "secret" in str(record.exc_info[1])


async def test_a_request_without_an_id_has_one_once_it_fails(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(request: Request, call: CallContext) -> Response:
        raise RuntimeError("first")

    def as_well(request: Request, response: Response, call: CallContext) -> None:
        raise RuntimeError("second")

    served = Served(Pipeline("shop", [outbound(as_well)], broken))
    for _ in range(2):
        await served.get()
    first, again, *other = [vars(record)["request_id"] for record in caplog.records]
    assert first == again
    assert len(first) == 32
    assert {*other}.isdisjoint({first})


@pytest.mark.parametrize("given", ["a" * 129, "a b", "\x9b31m", "\x85GET /other failed", '"', ""])
async def test_a_client_writes_nothing_into_the_log_of_failures_but_an_id(
    given: str, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[Request] = []

    async def broken(request: Request, call: CallContext) -> Response:
        seen.append(request)
        raise RuntimeError("secret")

    await Served(Pipeline("shop", (), broken)).get("/a", x_request_id=given)
    (record,) = caplog.records
    assert re.fullmatch("GET /a failed on epoch 7, route shop, request [0-9a-f]{32}", record.getMessage())
    assert seen[0].headers["x-request-id"] == vars(record)["request_id"], "access logs have the same"


@pytest.mark.parametrize("body", ["text", bytearray(b"bytes"), iter([b"bytes"]), None, 7])
async def test_a_body_that_is_none_is_an_error_before_anything_is_sent(
    body: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def wrong(request: Request, call: CallContext) -> Response:
        return Response(body)

    answer = await Served(Pipeline("shop", (), wrong)).get()
    assert (answer.status, answer.json) == (500, {"status": 500, "title": "Internal server error"})
    kind = type(body).__name__
    advice = f"the body of a Response is {kind}; give bytes, or an asynchronous iterator of bytes"
    assert advice in caplog.text


async def test_an_error_behind_a_mount_is_logged_with_the_path_that_was_asked_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def broken(request: Request, call: CallContext) -> Response:
        raise RuntimeError(request.path)

    for path in ("/prices", "/prices/a%20b"):
        await Served(Pipeline("shop", (), broken), route=Route("shop", path="/prices", mounted=True)).get(path)
        assert f"GET {path} failed on epoch 7" in caplog.messages[-1]


async def test_sys_exit_in_a_service_ends_the_request_and_not_the_worker() -> None:
    async def leaving(request: Request, call: CallContext) -> Response:
        raise SystemExit(1)

    assert (await Served(Pipeline("shop", (), leaving)).get()).status == 500


async def test_a_service_that_is_not_ready_answers_503_with_retry_after() -> None:
    class Busy(Service):
        def ready(self) -> None:
            raise NotReady(retry_after=5)

        async def __call__(self, request: Request, call: CallContext) -> Response:
            return Response(b"served all the same")

    answer = await Served(Pipeline("shop", (), Busy())).get()
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")


@pytest.mark.parametrize(
    ("seconds", "told"), [(0, "0"), (0.2, "1"), (2.0, "2"), (2.5, "3"), (-4, "0"), (1e9, "1000000000")]
)
async def test_clients_are_told_whole_seconds_whatever_a_service_says(seconds: float, told: str) -> None:
    async def busy(request: Request, call: CallContext) -> Response:
        raise NotReady(seconds)

    assert (await Served(Pipeline("shop", (), busy)).get()).headers["retry-after"] == told


@pytest.mark.parametrize("seconds", [float("inf"), float("nan")])
async def test_a_wait_that_never_ends_is_a_mistake_of_the_service(
    seconds: float, caplog: pytest.LogCaptureFixture
) -> None:
    async def busy(request: Request, call: CallContext) -> Response:
        raise NotReady(seconds)

    assert (await Served(Pipeline("shop", (), busy)).get()).status == 500
    assert f"NotReady(retry_after={seconds}): say in how many seconds" in caplog.text


async def test_a_body_that_is_too_large_answers_413() -> None:
    async def small(request: Request, call: CallContext) -> Response:
        return Response(await request.body(limit=3))

    served = Served(Pipeline("shop", (), small))
    assert (await served.post("/", b"abcd")).status == 413
    assert (await served.post("/", b"abc")).body == b"abc"


class Cart(msgspec.Struct):
    total: int


async def test_a_body_of_the_wrong_type_answers_400_and_says_where() -> None:
    async def buy(request: Request, call: CallContext) -> Response:
        return Response.json((await request.json(Cart)).total)

    served = Served(Pipeline("shop", (), buy))
    answer = await served.post("/", b'{"total": "x"}')
    assert answer.status == 400
    assert b"$.total" in answer.body
    assert (await served.post("/", b'{"total": 3}')).body == b"3"


async def test_a_service_that_decodes_something_else_wrongly_is_at_fault_itself() -> None:
    async def wrong(request: Request, call: CallContext) -> Response:
        return msgspec.json.decode(b"{", type=Response)

    assert (await Served(Pipeline("shop", (), wrong)).get()).status == 500


async def test_a_service_that_returns_no_response_is_named(caplog: pytest.LogCaptureFixture) -> None:
    async def forgetful(request: Request, call: CallContext) -> Any:
        return "text"

    assert (await Served(Pipeline("shop", (), forgetful)).get()).status == 500
    assert "forgetful returned str" in caplog.text


async def test_an_outbound_handler_that_raises_answers_500() -> None:
    def broken(request: Request, response: Response, call: CallContext) -> None:
        raise RuntimeError

    answer = await Served(Pipeline("shop", [outbound(broken)], hello)).get()
    assert answer.status == 500


async def test_a_stream_holds_a_stream_lease_and_waits_for_a_slow_client() -> None:
    made: list[int] = []

    async def pieces() -> AsyncIterator[bytes]:
        for number in range(5):
            made.append(number)
            yield b"x" * 10

    async def stream(request: Request, call: CallContext) -> Response:
        return Response(pieces())

    served = Served(Pipeline("shop", (), stream))
    exchange = MemoryExchange(window=15)
    served.dispatcher.dispatch(exchange)
    await until(lambda: len(exchange.pieces) == 2)
    assert [lease.kind for lease in served.units.leases] == [LeaseKind.STREAM]
    assert made == [0, 1]
    while not exchange.ended:
        exchange.take()
        await asyncio.sleep(0)
    assert exchange.body == b"x" * 50
    await until(lambda: not served.units.leases)


async def test_a_hung_up_client_ends_a_silent_stream_and_its_lease() -> None:
    closed = asyncio.Event()

    async def silent() -> AsyncIterator[bytes]:
        try:
            yield b"first"
            await asyncio.Event().wait()
        finally:
            closed.set()

    async def stream(request: Request, call: CallContext) -> Response:
        return Response(silent())

    served = Served(Pipeline("shop", (), stream))
    exchange = MemoryExchange()
    served.dispatcher.dispatch(exchange)
    await until(lambda: exchange.pieces)
    exchange.hang_up()
    await until(lambda: not served.units.leases)
    assert closed.is_set()
    assert not exchange.aborted


async def test_an_error_in_the_middle_of_a_stream_aborts(caplog: pytest.LogCaptureFixture) -> None:
    async def breaking() -> AsyncIterator[bytes]:
        yield b"first"
        raise RuntimeError("broken stream")

    async def stream(request: Request, call: CallContext) -> Response:
        return Response(breaking())

    answer = await Served(Pipeline("shop", (), stream)).get()
    assert (answer.status, answer.aborted, answer.ended) == (200, True, False)
    assert "broken stream" in caplog.text


async def test_a_client_that_leaves_while_its_body_is_read_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    async def read(request: Request, call: CallContext) -> Response:
        return Response(await request.body())

    served = Served(Pipeline("shop", (), read))
    exchange = MemoryExchange("POST", complete=False)
    served.dispatcher.dispatch(exchange)
    await until(lambda: served.units.leases)
    exchange.hang_up()
    await until(lambda: not served.units.leases)
    assert not caplog.records


async def test_a_lease_that_is_ended_answers_503() -> None:
    begun = asyncio.Event()

    async def slow(request: Request, call: CallContext) -> Response:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    served = Served(Pipeline("shop", (), slow))
    exchange = MemoryExchange()
    served.dispatcher.dispatch(exchange)
    await until(begun.is_set)
    (lease,) = served.units.live_leases()
    assert lease.end("too many resident copies")
    await until(lambda: not served.units.leases)
    assert (exchange.status, exchange.ended) == (503, True)


async def test_responses_say_which_epoch_and_worker_made_them() -> None:
    served = Served(Pipeline("shop", (), hello), stamp=True)
    answer = await served.get()
    assert (answer.headers["x-changeover-epoch"], answer.headers["x-changeover-worker"]) == ("7", "2")


class Odd(BaseException):
    """Of no kind that anybody expects."""


every_error = pytest.mark.parametrize("error", [Odd, SystemExit, KeyboardInterrupt, asyncio.CancelledError])


@every_error
@pytest.mark.parametrize("kind", [HandlerKind.INBOUND, HandlerKind.AROUND, HandlerKind.OUTBOUND, HandlerKind.SERVICE])
async def test_whatever_a_handler_raises_is_answered(kind: HandlerKind, error: type[BaseException]) -> None:
    def broken(*_: object) -> None:
        raise error

    async def fine(request: Request, call: CallContext) -> Response:
        return Response.text("fine")

    pipeline = (
        Pipeline("shop", (), broken)  # type: ignore[arg-type]
        if kind is HandlerKind.SERVICE
        else Pipeline("shop", [Handler("test:broken", kind, broken)], fine)
    )
    assert (await Served(pipeline).get()).status == 500


@every_error
@pytest.mark.parametrize("where", ["in both", "in the handler"])
@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
async def test_whatever_an_outbound_handler_raises_in_front_of_an_application_is_answered(
    kind: str, where: str, error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise error

    async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
        if where == "in both":
            raise error
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"never seen"})

    def wsgi(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        if where == "in both":
            raise error
        start_response("200 OK", [])
        return [b"never seen"]

    async with application(wsgi) as threaded:
        target = Application("app", asgi) if kind == "asgi" else threaded
        answer = await Served(Pipeline("shop", [outbound(broken)], target)).get()
    assert (answer.status, answer.json) == (500, {"status": 500, "title": "Internal server error"})
    assert error in [record.exc_info and record.exc_info[0] for record in caplog.records]


@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
async def test_a_request_that_the_server_ends_while_an_outbound_handler_sees_an_error_is_answered(kind: str) -> None:
    looking = asyncio.Event()

    async def look(request: Request, response: Response, call: CallContext) -> None:
        looking.set()
        await asyncio.Event().wait()

    async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError

    def wsgi(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        raise RuntimeError

    async with application(wsgi) as threaded:
        target = Application("app", asgi) if kind == "asgi" else threaded
        served = Served(Pipeline("shop", [outbound(look)], target))
        asking = asyncio.ensure_future(served.get())
        await looking.wait()
        [lease] = served.units.leases
        assert isinstance(lease.holder, asyncio.Task)
        lease.holder.cancel()
        assert (await asking).status == 503


@every_error
async def test_whatever_a_body_raises_breaks_the_response_off(error: type[BaseException]) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        raise error

    async def stream(request: Request, call: CallContext) -> Response:
        return Response(pieces())

    exchange = await Served(Pipeline("shop", (), stream)).get()
    assert exchange.body == b"one"
    assert exchange.aborted
    assert not exchange.ended


async def test_one_callback_that_raises_when_all_is_answered_keeps_nothing_from_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: list[str] = []

    def broken() -> None:
        raise RuntimeError("broken callback")

    def wait(request: Request, call: CallContext) -> None:
        call.when_answered(lambda: told.append("the first to ask"))
        call.when_answered(broken)

    served = Served(Pipeline("shop", [Handler("test:wait", HandlerKind.INBOUND, wait)], hello))
    assert (await served.get()).status == 200
    assert told == ["the first to ask"]
    assert "broken callback" in caplog.text
