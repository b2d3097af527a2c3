"""WebSockets through a pipeline: handlers before them, what speaks over them, and what becomes of its mistakes."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from changeover.workers.serving.asgi import Application, Message, Receive, Scope, Send
from changeover.workers.serving.contract import CallContext, CallNext, Request, Response
from changeover.workers.serving.handlers import Handler, HandlerKind
from changeover.workers.serving.message import TO_GIVE, Headers
from changeover.workers.serving.session import WebSocketClosed
from changeover.workers.serving.websocket import WebSocket, WebSocketFunction, WebSocketMisused, WebSocketService
from tests.waits import until
from tests.websockets_wire import asking, speaking


def native(function: WebSocketFunction) -> WebSocketService:
    return WebSocketService("test:native", function)


async def _echo(socket: WebSocket, call: CallContext) -> None:
    await socket.accept()
    async for message in socket:
        await socket.send(message)


ECHO = native(_echo)


async def status_of(server: Any, **options: Any) -> tuple[int, bytes]:
    with pytest.raises(InvalidStatus) as refused:
        await server.connect(**options)
    response = refused.value.response
    return response.status_code, bytes(response.body)


async def test_an_inbound_handler_turns_it_down_before_anything_is_opened() -> None:
    opened: list[WebSocket] = []

    async def speak(socket: WebSocket, call: CallContext) -> None:
        opened.append(socket)

    def auth(request: Request, call: CallContext) -> Response | None:
        call.extensions["user"] = request.headers.get("authorization")
        return None if call.extensions["user"] else Response.text("who are you?", 401)

    async with speaking(native(speak), Handler("test:auth", HandlerKind.INBOUND, auth)) as server:
        assert await status_of(server) == (401, b"who are you?")
        assert opened == []


async def test_what_inbound_handlers_left_is_there_and_outbound_handlers_see_the_handshake() -> None:
    seen: list[int] = []

    def user(request: Request, call: CallContext) -> None:
        call.extensions["user"] = "Ada"

    def stamp(request: Request, response: Response, call: CallContext) -> None:
        seen.append(response.status)
        response.headers["x-stamp"] = "1"

    async def speak(socket: WebSocket, call: CallContext) -> None:
        await socket.accept(headers=Headers([(b"x-own", b"2")]))
        await socket.send(call.extensions["user"])

    handlers = Handler("test:user", HandlerKind.INBOUND, user), Handler("test:stamp", HandlerKind.OUTBOUND, stamp)
    async with speaking(native(speak), *handlers) as server, server.connect() as client:
        assert client.response is not None
        assert (client.response.headers["x-stamp"], client.response.headers["x-own"]) == ("1", "2")
        assert await client.recv() == "Ada"
        assert seen == [101]


async def test_an_around_handler_holds_the_handshake_in_its_hands() -> None:
    async def around(request: Request, call_next: CallNext, call: CallContext) -> Response:
        response = await call_next(request)
        response.headers["x-around"] = str(response.status)
        return response

    handler = Handler("test:around", HandlerKind.AROUND, around)
    async with speaking(ECHO, handler) as server, server.connect() as client:
        assert client.response is not None
        assert client.response.headers["x-around"] == "101"
        await client.send("through")
        assert await client.recv() == "through"


async def test_an_around_handler_may_turn_down_what_was_accepted() -> None:
    told: list[int] = []

    async def speak(socket: WebSocket, call: CallContext) -> None:
        try:
            await socket.accept()
        except WebSocketClosed as closed:
            told.append(closed.code)

    async def deny(request: Request, call_next: CallNext, call: CallContext) -> Response:
        await call_next(request)
        return Response.text("not today", 409)

    async with speaking(native(speak), Handler("test:deny", HandlerKind.AROUND, deny)) as server:
        assert await status_of(server) == (409, b"not today")
        await until(lambda: told == [1006], "the application to hear")


async def test_a_handler_cannot_accept_on_its_own(caplog: pytest.LogCaptureFixture) -> None:
    handler = Handler("test:pretends", HandlerKind.INBOUND, lambda *_: Response(b"", 101))
    async with speaking(ECHO, handler) as server:
        assert (await status_of(server))[0] == 500
    assert "a handler answered with status 101" in caplog.text


async def test_an_error_before_it_is_accepted_is_a_500_that_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def speak(socket: WebSocket, call: CallContext) -> None:
        raise LookupError("secret")

    async with speaking(native(speak)) as server:
        status, body = await status_of(server)
        assert status == 500
        assert b"secret" not in body
    assert "LookupError: secret" in caplog.text


async def test_headers_that_are_none_are_an_error_that_says_what_to_give(caplog: pytest.LogCaptureFixture) -> None:
    async def speak(socket: WebSocket, call: CallContext) -> None:
        await socket.accept(headers={"x-own": "2"})  # type: ignore[arg-type]

    async with speaking(native(speak)) as server:
        assert (await status_of(server))[0] == 500
    assert f"TypeError: headers are given as a dict; {TO_GIVE}" in caplog.text


async def test_an_error_while_it_is_open_closes_with_1011_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def speak(socket: WebSocket, call: CallContext) -> None:
        await socket.accept()
        raise LookupError("secret")

    named = {"x-request-id": "r-1"}
    async with speaking(native(speak)) as server, server.connect(additional_headers=named) as client:
        await client.wait_closed()
        assert (client.close_code, client.close_reason) == (1011, "")
    [record] = [each for each in caplog.records if each.name == "changeover.request"]
    assert record.levelno == logging.ERROR
    assert "failed on epoch 7, route live, request r-1" in record.getMessage()
    assert "LookupError: secret" in caplog.text


async def test_returning_closes_with_1000_and_returning_too_early_is_a_mistake(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def open_only(socket: WebSocket, call: CallContext) -> None:
        await socket.accept()

    async def nothing(socket: WebSocket, call: CallContext) -> None:
        return

    async with speaking(native(open_only)) as server, server.connect() as client:
        await client.wait_closed()
        assert client.close_code == 1000
    async with speaking(native(nothing)) as server:
        assert (await status_of(server))[0] == 500
    assert "neither accepted nor rejected" in caplog.text


async def test_closing_before_it_is_accepted_rejects_with_403() -> None:
    async def speak(socket: WebSocket, call: CallContext) -> None:
        await socket.close()

    async with speaking(native(speak)) as server:
        assert (await status_of(server))[0] == 403


async def test_what_makes_no_sense_is_refused_where_it_is_done() -> None:
    refused: list[str] = []

    async def trial(doing: Awaitable[object]) -> None:
        with pytest.raises((WebSocketMisused, ValueError)) as refusal:
            await doing
        refused.append(str(refusal.value))

    async def speak(socket: WebSocket, call: CallContext) -> None:
        await trial(socket.send("early"))
        await trial(socket.receive())
        await trial(socket.accept("never offered"))
        await socket.accept("chat")
        await trial(socket.accept())
        await trial(socket.close(1006))
        await trial(socket.close(4000, "x" * 124))
        await socket.send("still here")

    async with speaking(native(speak)) as server, server.connect(subprotocols=["chat"]) as client:
        assert client.subprotocol == "chat"
        assert await client.recv() == "still here"
    assert len(refused) == 6
    assert "'never offered'" in refused[2]


async def test_a_client_that_leaves_is_told_whatever_the_handler_does() -> None:
    ends: list[str] = []

    async def speak(socket: WebSocket, call: CallContext) -> None:
        await socket.accept()
        assert [message async for message in socket] == ["last"]
        assert socket.closed is not None
        ends.append(f"{socket.closed.code} {socket.closed.reason}")
        with pytest.raises(WebSocketClosed):
            await socket.send("too late")
        with pytest.raises(ConnectionError):
            await socket.receive()
        await socket.close()
        ends.append("settled")

    async with speaking(native(speak)) as server:
        async with server.connect() as client:
            await client.send("last")
            await client.close(4000, "off")
        await until(lambda: ends == ["4000 off", "settled"], f"both ends: {ends}")


async def test_fields_of_the_handshake_are_not_the_applications_to_say() -> None:
    async def speak(socket: WebSocket, call: CallContext) -> None:
        await socket.accept(headers=Headers([(b"sec-websocket-accept", b"x"), (b"content-length", b"9")]))

    async with speaking(native(speak)) as server, server.connect() as client:
        assert client.response is not None
        assert "content-length" not in client.response.headers


# ASGI

Speak = Callable[[Scope, Receive, Send], Awaitable[None]]


def asgi(speak: Speak) -> Application:
    return Application("app", speak)


async def test_the_scope_of_a_websocket() -> None:
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        assert await receive() == {"type": "websocket.connect"}
        await send({"type": "websocket.accept", "subprotocol": "b", "headers": [(b"X-Mine", b"yes")]})

    async with speaking(asgi(app)) as server, server.connect(subprotocols=["a", "b"]) as client:
        assert client.response is not None
        assert (client.subprotocol, client.response.headers["x-mine"]) == ("b", "yes")
    [scope] = scopes
    expected = {"type": "websocket", "scheme": "ws", "http_version": "1.1", "path": "/", "subprotocols": ["a", "b"]}
    assert {key: scope[key] for key in expected} == expected
    assert "method" not in scope
    assert scope["extensions"] == {"websocket.http.response": {}}
    assert (b"upgrade", b"websocket") in scope["headers"]


async def test_text_bytes_and_the_end_of_an_asgi_application() -> None:
    received: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while received[-1:] != [{"type": "websocket.disconnect", "code": 4000, "reason": "bye"}]:
            received.append(await receive())
        received.append(await receive())
        with pytest.raises(OSError, match="closed"):
            await send({"type": "websocket.send", "text": "late"})
        await send({"type": "websocket.close"})
        received.append({"type": "settled"})

    async with speaking(asgi(app)) as server:
        async with server.connect() as client:
            await client.send("text")
            await client.send(b"bytes")
            await client.close(4000, "bye")
        await until(lambda: received[-1:] == [{"type": "settled"}], f"all of it: {received}")
    end = {"type": "websocket.disconnect", "code": 4000, "reason": "bye"}
    assert received[:-1] == [
        {"type": "websocket.receive", "text": "text"},
        {"type": "websocket.receive", "bytes": b"bytes"},
        end,
        end,
    ]


async def test_an_asgi_application_rejects_with_403_or_with_a_response_of_its_own() -> None:
    async def close(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.close"})

    async def respond(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.http.response.start", "status": 402, "headers": [(b"X-Pay", b"1")]})
        await send({"type": "websocket.http.response.body", "body": b"pay ", "more_body": True})
        await send({"type": "websocket.http.response.body", "body": b"first"})

    async with speaking(asgi(close)) as server:
        assert await status_of(server) == (403, b"")
    async with speaking(asgi(respond)) as server:
        assert await status_of(server) == (402, b"pay first")


@pytest.mark.parametrize(
    "message",
    [
        {"type": "websocket.accept"},
        {"type": "http.response.start", "status": 200},
        {"type": "websocket.send"},
        {"type": "websocket.send", "text": b"bytes"},
        {"type": "websocket.close", "code": 999},
    ],
)
async def test_what_an_asgi_application_may_not_send_ends_it_with_1011(
    message: Message, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        await send(message)

    async with speaking(asgi(app)) as server, server.connect() as client:
        await client.wait_closed()
        assert client.close_code == 1011
    assert "Traceback" in caplog.text


async def test_a_client_that_leaves_before_it_is_accepted_is_a_disconnect() -> None:
    received: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        received.append(await receive())
        received.append(await receive())

    async with speaking(asgi(app)) as server:
        client = await server.client()
        client.send(asking())
        await until(lambda: received, "the application to be asked")
        await client.close()
        await until(lambda: len(received) == 2, "the disconnect")
    assert received[1] == {"type": "websocket.disconnect", "code": 1006, "reason": ""}


async def test_the_lease_is_released_only_when_the_application_has_returned() -> None:
    go_on = asyncio.Event()

    async def speak(socket: WebSocket, call: CallContext) -> None:
        await socket.accept()
        await go_on.wait()

    async with speaking(native(speak)) as server:
        async with server.connect():
            [lease] = server.served.units.leases
            assert (lease.kind.value, lease.path) == ("websocket", "/")
        await until(lambda: not len(server.connections), "the connection to be gone")
        assert server.served.units.leases == {lease}
        go_on.set()
        await until(lambda: not server.served.units.leases, "the lease to go")


async def test_a_swap_does_not_disturb_what_is_open() -> None:
    async with speaking(ECHO) as server, server.connect() as client:
        server.swap(ECHO)
        await client.send("old and living")
        assert await client.recv() == "old and living"


@pytest.mark.parametrize("accepted", [True, False])
async def test_what_waits_for_the_answer_hears_of_it_once_the_handshake_is_over(accepted: bool) -> None:
    told: list[str] = []

    def wait(request: Request, call: CallContext) -> None:
        call.when_answered(lambda: told.append("answered"))

    async def speak(socket: WebSocket, call: CallContext) -> Response | None:
        if not accepted:
            return Response.text("not today", 409)
        await socket.accept()
        await socket.send(f"answered: {told}")
        await until(lambda: bool(told), "the answer to be told of")
        await socket.send(f"answered: {told}")
        return None

    async with speaking(native(speak), Handler("test:wait", HandlerKind.INBOUND, wait)) as server:
        if accepted:
            async with server.connect() as client:
                await client.recv()
                assert await client.recv() == "answered: ['answered']"
        else:
            assert await status_of(server) == (409, b"not today")
        await until(lambda: not server.served.units.leases, "the end")
        assert told == ["answered"]
        assert server.served.units.counters.counts().responses == ({"1xx": 1} if accepted else {"4xx": 1})
