"""Message handlers, which go over to a newer version between two messages, with what they know."""

import asyncio
from typing import Any

import msgspec
import pytest
from websockets.exceptions import InvalidStatus

from changeover.workers.serving.contract import Response
from changeover.workers.serving.lease import LeaseKind
from changeover.workers.serving.session import WebSocketMessage
from changeover.workers.serving.websocket import MessageHandler, MessageService
from tests.waits import until
from tests.websockets_wire import speaking


class Known(msgspec.Struct):
    """What a handler hands on."""

    count: int = 0


class Counting(MessageHandler):
    """Says its version, and how many messages came over this WebSocket."""

    version = "1"

    def __init__(self) -> None:
        self.known = Known()

    async def on_message(self, message: WebSocketMessage) -> None:
        self.known.count += 1
        await self.socket.send(f"{self.version} {self.call.epoch} {self.known.count} {message!r}")

    def export_state(self) -> Known:
        return self.known

    def import_state(self, state: bytes) -> None:
        self.known = msgspec.msgpack.decode(state, type=Known)


class Second(Counting):
    version = "2"


ONE, TWO = MessageService("test:one", Counting), MessageService("test:two", Second)


async def test_between_two_messages_it_goes_over_with_its_state_and_its_lease() -> None:
    async with speaking(ONE) as server, server.connect() as client:
        await client.send("a")
        assert await client.recv() == "1 7 1 'a'"
        [lease] = server.served.units.leases
        units = server.swap(TWO)
        await until(lambda: not server.served.units.leases, "the old generation to be free, without a message")
        [moved] = units.leases
        assert (moved.kind, moved.epoch, moved.path, moved.holder) == (lease.kind, 8, "/", moved.holder)
        assert moved.holder is not None
        await client.send(b"b")
        assert await client.recv() == "2 8 2 b'b'"
    await until(lambda: not units.leases, "the lease to go with the WebSocket")


async def test_what_it_started_before_it_went_over_is_its_own_until_it_ends() -> None:
    async with speaking(ONE) as server:
        async with server.connect() as client:
            await client.send("a")
            await client.recv()
            [first] = server.served.units.leases
            ticks = first.share(LeaseKind.TASK)
            between = server.swap(TWO)
            await until(lambda: between.leases, "it to go over")
            units = server.swap(ONE, epoch=9)
            await until(lambda: units.leases, "it to go over again")
            [second] = units.leases
            below = first.share(LeaseKind.TASK)
            assert all(each.request is second for each in (ticks, below, second))
            assert not any(each.left_behind for each in (ticks, below, second))
        await until(lambda: not units.leases, "the lease to go with the WebSocket")
        assert ticks.left_behind
        assert below.left_behind
        for each in (ticks, below):
            each.release()


async def test_a_message_that_is_being_handled_is_finished_where_it_began() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    class Slow(Counting):
        async def on_message(self, message: WebSocketMessage) -> None:
            begun.set()
            await go_on.wait()
            await super().on_message(message)

    async with speaking(MessageService("test:slow", Slow)) as server, server.connect() as client:
        await client.send("begun")
        await client.send("next")
        await begun.wait()
        server.swap(TWO)
        go_on.set()
        assert await client.recv() == "1 7 1 'begun'"
        assert await client.recv() == "2 8 2 'next'"


async def test_a_handler_that_cannot_take_the_state_leaves_it_where_it_is(caplog: pytest.LogCaptureFixture) -> None:
    class Refusing(Second):
        def import_state(self, state: bytes) -> None:
            raise ValueError("of another time")

    async with speaking(ONE) as server, server.connect() as client:
        await client.send("a")
        await client.recv()
        units = server.swap(MessageService("test:refusing", Refusing))
        await client.send("b")
        assert await client.recv() == "1 7 2 'b'"
        assert not units.leases
        assert caplog.text.count("stays on epoch 7: its state did not go over to epoch 8") == 1
        assert "of another time" in caplog.text
        later = server.swap(TWO, epoch=9)
        await client.send("c")
        assert await client.recv() == "2 9 3 'c'"
        assert len(later.leases) == 1


async def test_a_swap_that_does_not_reach_its_route_is_not_noticed() -> None:
    async with speaking(ONE) as server, server.connect() as client:
        await client.send("a")
        await client.recv()
        [lease] = server.served.units.leases
        server.swap(ONE, units=server.served.units)
        await client.send("b")
        assert await client.recv() == "1 7 2 'b'"
        assert server.served.units.leases == {lease}


async def test_what_is_served_by_something_else_now_stays() -> None:
    async with speaking(ONE) as server, server.connect() as client:
        server.swap(lambda request, call: Response.text("gone"))
        await client.send("a")
        assert await client.recv() == "1 7 1 'a'"
        server.served.admission.generation = None
        await client.send("b")
        assert await client.recv() == "1 7 2 'b'"


async def test_opening_and_closing_are_told_and_opening_may_reject() -> None:
    told: list[Any] = []

    class Telling(MessageHandler):
        async def on_open(self) -> Response | None:
            if "x-user" not in self.socket.request.headers:
                return Response.text("who?", 401)
            return await super().on_open()

        async def on_message(self, message: WebSocketMessage) -> None:
            """Nothing is said."""

        async def on_close(self, code: int, reason: str) -> None:
            told.append((code, reason, self.socket.closed is not None))

    async with speaking(MessageService("test:telling", Telling)) as server:
        with pytest.raises(InvalidStatus, match="401"):
            await server.connect()
        async with server.connect(additional_headers={"x-user": "Ada"}) as client:
            await client.close(4000, "bye")
        await until(lambda: told == [(4000, "bye", True)], f"the end to be told: {told}")


async def test_an_error_in_a_message_closes_with_1011(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(MessageHandler):
        async def on_message(self, message: WebSocketMessage) -> None:
            raise ZeroDivisionError("broken on purpose")

    async with speaking(MessageService("test:broken", Broken)) as server, server.connect() as client:
        await client.send("a")
        await client.wait_closed()
        assert client.close_code == 1011
    assert "broken on purpose" in caplog.text
