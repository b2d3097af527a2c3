"""A body that came with its head: whoever reads it has it at once, and sees what they would see of any other."""

import asyncio
import io
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.validate import validator

import pytest

from changeover.workers.serving.answering import Answering
from changeover.workers.serving.asgi import Application, Message, Receive, Scope, Send
from changeover.workers.serving.contract import BodyInvalid, BodyTooLarge, CallContext, CallNext, Request, Response
from changeover.workers.serving.handlers import Handler, HandlerKind
from changeover.workers.serving.lease import Taskless
from changeover.workers.serving.pipeline import Pipeline
from tests.exchange import MemoryExchange, Served
from tests.waits import until
from tests.wsgi import OK, PLAIN, application

BODY = b'{"asked": true}'
Reader = Callable[[Request], Any]


def asked() -> Request:
    """A request that holds its body, as a connection makes it."""
    request = Request("POST", "/")
    request.held_body = BODY
    return request


def streamed() -> Request:
    """One whose body comes in a piece."""
    pieces = iter([BODY])

    async def receive() -> bytes | None:
        return next(pieces, None)

    return Request("POST", "/", receive=receive)


async def by_stream(request: Request) -> list[bytes]:
    return [piece async for piece in request.stream()]


async def by_receive(request: Request) -> bytes | None:
    return await request.receive()


async def by_body(request: Request) -> bytes:
    return await request.body()


async def by_little(request: Request) -> bytes:
    return await request.body(limit=3)


async def by_json(request: Request) -> object:
    return await request.json()


async def by_watching(request: Request) -> list[bytes]:
    seen: list[bytes] = []
    request.watch_body(seen.append)
    return seen


async def told(reader: Reader, request: Request) -> object:
    """What a reader gets; of an error, which."""
    try:
        return await reader(request)
    except (BodyTooLarge, BodyInvalid) as error:
        return type(error)


READERS = (by_stream, by_receive, by_body, by_little, by_json, by_watching)


@pytest.mark.parametrize("first", READERS)
@pytest.mark.parametrize("second", READERS)
@pytest.mark.parametrize("third", READERS)
async def test_whoever_reads_it_in_whatever_order_gets_what_they_would_of_a_body_that_comes(
    first: Reader, second: Reader, third: Reader
) -> None:
    held, came = [
        [await told(reader, request) for reader in (first, second, third)] for request in (asked(), streamed())
    ]
    assert held == came


async def test_it_is_the_same_bytes_for_everybody() -> None:
    assert await asked().body() is BODY
    assert await asked().receive() is BODY
    request = asked()
    assert await request.body() is await request.body() is request.held_body


async def test_what_a_watcher_raises_the_reader_gets() -> None:
    def refuse(piece: bytes) -> None:
        raise ValueError(f"{len(piece)} bytes")

    request = asked()
    request.watch_body(refuse)
    assert request.held_body is None, "whoever reads has to come by the watcher"
    with pytest.raises(ValueError, match="15 bytes"):
        await request.body()


def heard(*messages: int) -> tuple[Application, list[Message]]:
    """An application that receives so many messages before it answers, and as many behind that."""
    got: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(messages[0]):
            got.append(await receive())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"heard"})
        for _ in range(messages[1]):
            got.append(await receive())

    return Application("app", app), got


WHOLE: Message = {"type": "http.request", "body": BODY, "more_body": False}
GONE: Message = {"type": "http.disconnect"}


async def pass_on(request: Request, call_next: CallNext, call: CallContext) -> Response:
    return await call_next(request)


WAYS: dict[str, tuple[Handler, ...]] = {
    "direct": (),
    "behind an outbound": (Handler("test:nothing", HandlerKind.OUTBOUND, lambda *_: None),),
    "through an around": (Handler("test:pass_on", HandlerKind.AROUND, pass_on),),
}
every_way = pytest.mark.parametrize("way", WAYS)


@every_way
async def test_an_asgi_application_has_it_in_one_message_and_then_hears_of_the_end(way: str) -> None:
    app, got = heard(1, 2)
    answer = await Served(Pipeline("shop", WAYS[way], app)).ask(MemoryExchange("POST", held=BODY))
    assert answer.body == b"heard"
    assert got == [WHOLE, GONE, GONE]
    assert got[0]["body"] is BODY


@every_way
async def test_behind_it_an_asgi_application_waits_for_its_client_to_leave(way: str) -> None:
    app, got = heard(2, 0)
    served = Served(Pipeline("shop", WAYS[way], app))
    exchange = MemoryExchange("POST", held=BODY)
    assert served.dispatcher.dispatch(exchange)
    await until(lambda: got == [WHOLE], "the body")
    for _ in range(5):
        await asyncio.sleep(0)
    assert got == [WHOLE], "nothing further, while the client is there"
    exchange.hang_up()
    await until(lambda: got == [WHOLE, GONE] and not served.units.leases, "its departure")


async def test_a_native_service_reads_it_without_a_turn_of_the_loop() -> None:
    turns: list[int] = []

    async def echo(request: Request, call: CallContext) -> Response:
        asyncio.get_running_loop().call_soon(turns.append, 1)
        body: object = await request.json()
        assert not turns
        return Response.json(body)

    answer = await Served(Pipeline("shop", (), echo)).ask(MemoryExchange("POST", held=BODY))
    assert answer.json == {"asked": True}


async def test_handlers_that_read_it_keep_it_for_all_who_come_later() -> None:
    seen: list[bytes] = []

    async def look(request: Request, *_: object) -> None:
        seen.append(await request.body())

    app, got = heard(1, 0)
    handlers = [Handler("x:in", HandlerKind.INBOUND, look), Handler("x:out", HandlerKind.OUTBOUND, look)]
    await Served(Pipeline("shop", handlers, app)).ask(MemoryExchange("POST", held=BODY))
    assert (seen, got) == ([BODY, BODY], [WHOLE])


async def test_handlers_that_only_look_find_it_until_the_application_has_it_and_memory_is_free_then() -> None:
    seen: list[bytes | None] = []

    def look(request: Request, *_: object) -> None:
        seen.append(request.held_body)

    app, got = heard(1, 0)
    handlers = [Handler("x:in", HandlerKind.INBOUND, look), Handler("x:out", HandlerKind.OUTBOUND, look)]
    await Served(Pipeline("shop", handlers, app)).ask(MemoryExchange("POST", held=BODY))
    assert (seen, got) == ([BODY, None], [WHOLE])


async def native(request: Request, call: CallContext) -> Response:
    return Response(b"".join([piece async for piece in request.stream()]))


async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
    body, more = b"", True
    while more:
        message = await receive()
        body += message["body"]
        more = message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


@pytest.mark.parametrize("target", [native, Application("app", asgi)], ids=["native", "asgi"])
async def test_a_handler_that_watches_sees_it_before_its_reader_and_can_refuse_it(target: Answering) -> None:
    seen: list[bytes] = []

    def see(piece: bytes) -> None:
        seen.append(piece)
        if b"bad" in piece:
            raise BodyTooLarge(1)

    def watch(request: Request, call: CallContext) -> None:
        request.watch_body(see)

    served = Served(Pipeline("shop", [Handler("x:watch", HandlerKind.INBOUND, watch)], target))
    assert (await served.ask(MemoryExchange("POST", held=b"good"))).body == b"good"
    assert (await served.ask(MemoryExchange("POST", held=b"bad"))).status == 413
    assert seen == [b"good", b"bad"]


def echo(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    start_response(OK, [*PLAIN, ("Content-Length", str(len(body)))])
    return [body]


def posted(body: bytes = BODY) -> MemoryExchange:
    return MemoryExchange("POST", headers=[(b"content-length", b"%d" % len(body))], held=body)


async def test_a_wsgi_application_has_it_as_its_input_and_needs_no_task() -> None:
    inputs: list[object] = []
    holders: list[object] = []

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        inputs.append(environ["wsgi.input"])
        holders.extend(lease.holder for lease in served.units.leases)
        return echo(environ, start_response)

    async with application(app) as made:
        served = Served(Pipeline("shop", (), made))
        answer = await served.ask(posted())
    assert (answer.body, answer.request.held_body) == (BODY, None)
    assert [type(each) for each in inputs] == [io.BytesIO]
    assert [isinstance(each, Taskless) for each in holders] == [True]


@every_way
async def test_wsgi_holds_to_its_specification_with_it(way: str) -> None:
    async with application(validator(echo)) as made:
        served = Served(Pipeline("shop", WAYS[way], made))
        for body in (BODY, b"x" * 60_000):
            answer = await served.ask(posted(body))
            assert (answer.status, answer.body, answer.request.held_body) == (200, body, None)
