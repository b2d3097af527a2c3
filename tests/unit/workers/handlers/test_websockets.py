"""Ready-made handlers in front of WebSockets: what bounds and repeats, does so until one is accepted."""

import asyncio
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from changeover.workers.serving.asgi import Application, Receive, Scope, Send
from changeover.workers.serving.contract import CallContext, CallNext, NotReady, Request, Response
from changeover.workers.serving.handlers import Handler, HandlerKind
from changeover.workers.serving.session import WebSocketClosed
from changeover.workers.serving.websocket import MessageHandler, MessageService, WebSocket, WebSocketService
from tests.ready_made import parts
from tests.waits import until
from tests.websockets_wire import speaking

SHORT = {"use": "timeout", "after": "50ms"}
RETRY = {"use": "retry", "attempts": 4, "first": "1ms", "budget": "5s"}


async def status_of(server: Any) -> int:
    with pytest.raises(InvalidStatus) as refused:
        await server.connect()
    return refused.value.response.status_code


async def test_who_does_not_accept_in_time_is_ended_and_answered_for() -> None:
    ended: list[str] = []

    async def slow(socket: WebSocket, call: CallContext) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("slow")

    async with speaking(WebSocketService("test:slow", slow), *parts(SHORT)) as server:
        assert await status_of(server) == 504
        await until(lambda: not server.served.units.leases, "the end of what speaks")
        assert ended == ["slow"]


async def test_an_application_that_does_not_accept_in_time_is_ended_too() -> None:
    ended: list[str] = []

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("slow")

    async with speaking(Application("app", slow), *parts(SHORT)) as server:
        assert await status_of(server) == 504
        await until(lambda: not server.served.units.leases, "the end of what speaks")
        assert ended == ["slow"]


async def test_who_accepts_when_it_is_too_late_is_told() -> None:
    told: list[int] = []

    async def stubborn(socket: WebSocket, call: CallContext) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            try:
                await socket.accept()
            except WebSocketClosed as closed:
                told.append(closed.code)

    async with speaking(WebSocketService("test:stubborn", stubborn), *parts(SHORT)) as server:
        assert await status_of(server) == 504
        await until(lambda: told == [1006], "the late one to hear")


async def test_what_a_late_one_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def breaks(socket: WebSocket, call: CallContext) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            raise LookupError("on its way out")

    async with speaking(WebSocketService("test:breaks", breaks), *parts(SHORT)) as server:
        assert await status_of(server) == 504
        await until(lambda: "LookupError: on its way out" in caplog.text, "the log")


async def test_an_accepted_one_outlives_the_deadline_and_has_none() -> None:
    async def speak(socket: WebSocket, call: CallContext) -> None:
        before = call.remaining()
        assert before is not None
        await socket.accept()
        await asyncio.sleep(before + 0.01)
        await socket.send(f"{call.deadline}")

    async with speaking(WebSocketService("test:speak", speak), *parts(SHORT)) as server, server.connect() as client:
        assert await client.recv() == "None"


async def test_one_that_was_not_ready_is_asked_again_and_accepts() -> None:
    asked: list[WebSocket] = []

    async def late(socket: WebSocket, call: CallContext) -> None:
        asked.append(socket)
        if len(asked) < 3:
            raise NotReady
        await socket.accept()
        await socket.send("ready")

    async with speaking(WebSocketService("test:late", late), *parts(RETRY)) as server, server.connect() as client:
        assert await client.recv() == "ready"
    assert len(asked) == len({id(socket) for socket in asked}) == 3


async def test_a_message_handler_is_made_anew_for_each_attempt() -> None:
    made: list[MessageHandler] = []

    class Late(MessageHandler):
        def __init__(self) -> None:
            made.append(self)

        async def on_open(self) -> None:
            if len(made) < 3:
                raise NotReady
            await self.socket.accept()

        async def on_message(self, message: str | bytes) -> None:
            await self.socket.send(message)

    async with speaking(MessageService("test:late", Late), *parts(RETRY)) as server, server.connect() as client:
        await client.send("echo")
        assert await client.recv() == "echo"
    assert len(made) == 3


async def test_after_so_many_attempts_the_last_refusal_is_the_answer() -> None:
    asked: list[int] = []

    async def never(socket: WebSocket, call: CallContext) -> None:
        asked.append(1)
        raise NotReady

    async with speaking(WebSocketService("test:never", never), *parts(RETRY)) as server:
        assert await status_of(server) == 503
    assert len(asked) == 4


async def test_an_accepted_one_is_not_asked_again() -> None:
    asked: list[int] = []

    async def fails(socket: WebSocket, call: CallContext) -> None:
        asked.append(1)
        await socket.accept()
        await socket.send("open")
        raise NotReady

    async with speaking(WebSocketService("test:fails", fails), *parts(RETRY)) as server, server.connect() as client:
        assert await client.recv() == "open"
        await client.wait_closed()
        assert client.close_code == 1011
    assert asked == [1]


async def test_of_two_that_a_handler_asks_the_first_is_told_to_end() -> None:
    told: list[object] = []

    async def speak(socket: WebSocket, call: CallContext) -> None:
        try:
            await socket.accept()
            await socket.send(f"number {len(told) + 1}")
        except WebSocketClosed as closed:
            told.append(closed.code)

    async def twice(request: Request, call_next: CallNext, call: CallContext) -> Response:
        await call_next(request)
        return await call_next(request)

    handler = Handler("test:twice", HandlerKind.AROUND, twice)
    async with speaking(WebSocketService("test:speak", speak), handler) as server, server.connect() as client:
        assert await client.recv() == "number 2"
    assert told == [1006]


async def test_one_that_goes_on_although_it_was_ended_keeps_its_place() -> None:
    done = asyncio.Event()

    async def stubborn(socket: WebSocket, call: CallContext) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await done.wait()

    limit = {"use": "concurrency-limit", "limit": 1}
    async with speaking(WebSocketService("test:stubborn", stubborn), *parts(SHORT, limit)) as server:
        assert [await status_of(server) for _ in range(2)] == [504, 503]
        done.set()
        await until(lambda: not server.served.units.leases, "the end of what speaks")
        assert await status_of(server) == 504
