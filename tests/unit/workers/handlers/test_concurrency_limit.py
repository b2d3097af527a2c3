"""`concurrency-limit`: so many at once, the next in turn, nobody for ever."""

import asyncio
from typing import Any

import pytest

from changeover.workers.serving.asgi import Application, Receive, Scope, Send
from changeover.workers.serving.contract import CallContext, NotReady, Request, Response
from changeover.workers.serving.websocket import WebSocket, WebSocketService
from tests.exchange import MemoryExchange, Served
from tests.ready_made import KINDS, answering, parts, serve
from tests.waits import until
from tests.websockets_wire import speaking


class Gate:
    """A service that answers when it is told to.

    Attributes:
        inside: How many are in it.
    """

    def __init__(self) -> None:
        self.inside = 0
        self.opened = asyncio.Event()

    async def __call__(self, request: Request, call: CallContext) -> Response:
        self.inside += 1
        try:
            await self.opened.wait()
        finally:
            self.inside -= 1
        return Response.text("through")


def asked(served: Served, count: int) -> list[MemoryExchange]:
    exchanges = [MemoryExchange() for _ in range(count)]
    for exchange in exchanges:
        assert served.dispatcher.dispatch(exchange)
    return exchanges


async def settled(exchanges: list[MemoryExchange]) -> list[int]:
    await until(lambda: all(exchange.settled for exchange in exchanges), "all answers")
    return [exchange.status for exchange in exchanges]


async def test_beyond_the_limit_requests_are_not_taken_and_afterwards_they_are() -> None:
    gate = Gate()
    served = serve(gate, {"use": "concurrency-limit", "limit": 2})
    first = asked(served, 2)
    await until(lambda: gate.inside == 2, "two inside")
    [refused] = asked(served, 1)
    await settled([refused])
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    gate.opened.set()
    assert await settled(first) == [200, 200]
    assert (await served.get()).status == 200


async def test_some_may_wait_for_their_turn_in_order() -> None:
    gate = Gate()
    served = serve(gate, {"use": "concurrency-limit", "limit": 1, "queue": 2, "wait": "10s"})
    exchanges = asked(served, 4)
    assert await settled(exchanges[3:]) == [503]
    gate.opened.set()
    assert await settled(exchanges) == [200, 200, 200, 503]


async def test_who_waits_in_vain_is_told_and_leaves_the_queue() -> None:
    gate = Gate()
    served = serve(gate, {"use": "concurrency-limit", "limit": 1, "queue": 1, "wait": "20ms"})
    exchanges = asked(served, 2)
    assert await settled(exchanges[1:]) == [503]
    gate.opened.set()
    assert await settled(exchanges[:1]) == [200]
    assert (await served.get()).status == 200


async def test_a_place_given_to_who_leaves_in_that_moment_is_not_lost() -> None:
    gate = Gate()
    served = serve(gate, {"use": "concurrency-limit", "limit": 1, "queue": 1, "wait": "10s"})
    first, second = asked(served, 2)
    await until(lambda: gate.inside == 1, "one inside")
    waiting = max(served.units.leases, key=lambda lease: lease.since)
    gate.opened.set()
    await until(lambda: first.settled, "the first")
    waiting.end("now")
    await until(lambda: not served.units.leases, "both over")
    assert second.status in (200, 503)
    assert (await served.get()).status == 200


@pytest.mark.parametrize("kind", KINDS)
async def test_a_stream_holds_its_place_to_its_end(kind: str) -> None:
    first, second = b"a" * 70_000, b"b"
    served = serve(answering(kind, first, second, whole=False), {"use": "concurrency-limit", "limit": 1})
    slow = MemoryExchange(window=0)
    assert served.dispatcher.dispatch(slow)
    await until(lambda: slow.pieces == [first], "the first piece")
    assert await settled(asked(served, 1)) == [503]
    slow.hang_up()
    await until(lambda: not served.units.leases, "the end")
    assert (await served.get()).body == first + second


SHORT = {"use": "timeout", "after": "30ms"}
LIMIT = {"use": "concurrency-limit", "limit": 1}


@pytest.mark.parametrize("handlers", [(SHORT, LIMIT), (LIMIT, SHORT)], ids=["timeout first", "limit first"])
async def test_an_application_that_goes_on_although_it_was_ended_keeps_its_place(
    handlers: tuple[dict[str, Any], ...],
) -> None:
    done = asyncio.Event()

    async def stubborn(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await done.wait()
            raise
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    served = serve(Application("app", stubborn), *handlers)
    assert (await served.try_one()).status == 504
    assert (await served.try_one()).status == 503
    done.set()
    await until(lambda: not served.units.leases, "the end of the application")
    assert (await served.try_one()).status == 504


async def test_what_an_application_does_after_its_response_takes_no_place() -> None:
    cleaned = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})
        await cleaned.wait()

    served = serve(Application("app", app), LIMIT)
    assert [(await served.try_one()).status for _ in range(3)] == [200, 200, 200]
    cleaned.set()
    await until(lambda: not served.units.leases, "the end of the application")


async def test_an_error_gives_its_place_back() -> None:
    async def unready(request: Request, call: CallContext) -> Response:
        raise NotReady(3)

    served = serve(unready, {"use": "concurrency-limit", "limit": 1})
    assert [(await served.get()).headers["retry-after"] for _ in range(3)] == ["3", "3", "3"]


async def test_a_websocket_takes_a_place_only_until_it_is_open() -> None:
    async def speak(socket: WebSocket, call: CallContext) -> None:
        await socket.accept()
        async for message in socket:
            await socket.send(message)

    limit = parts({"use": "concurrency-limit", "limit": 1})
    service = WebSocketService("test:echo", speak)
    async with speaking(service, *limit) as server, server.connect() as one, server.connect() as other:
        for client in (one, other):
            await client.send("through")
            assert await client.recv() == "through"
