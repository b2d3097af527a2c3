"""Messages of one turn of the loop leave together, in their order, and wait for nothing but who sends them."""

import asyncio
from collections.abc import Sequence

import pytest

from changeover.workers.channel.outlet import JOIN, MANY, Outlet
from changeover.workers.http.site import Corked, Site
from changeover.workers.serving.contract import CallContext
from changeover.workers.serving.websocket import WebSocket, WebSocketService
from changeover.workers.websocket.written import Written
from tests.websockets_wire import COMPRESSING, ECHO, TEXT, RawSocket, frame, speaking

PLAIN = ""


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes of each write behind the handshake."""
    sizes: list[int] = []
    send = Outlet.send

    def counted(self: Outlet, pieces: Sequence[bytes], size: int) -> None:
        if not pieces[0].startswith(b"HTTP/1.1 101"):
            sizes.append(sum(map(len, pieces)))
        send(self, pieces, size)

    monkeypatch.setattr(Outlet, "send", counted)
    return sizes


async def several(socket: WebSocket, call: CallContext) -> None:
    """Answer each message with ten."""
    await socket.accept()
    async for _ in socket:
        for number in range(10):
            await socket.send(str(number))


SEVERAL = WebSocketService("test:several", several)


async def heard(client: RawSocket, count: int) -> list[bytes]:
    return [(await client.frame())[1] for _ in range(count)]


@pytest.mark.parametrize("fields", [PLAIN, COMPRESSING])
async def test_answers_to_what_came_together_leave_together(fields: str, writes: list[int]) -> None:
    async with speaking(ECHO) as server:
        client = await server.raw(fields=fields)
        client.send(b"".join(frame(TEXT, b"%d" % number) for number in range(10)))
        await client.exactly(sum(writes) or 1)
        assert len(writes) == 1


async def test_answers_leave_when_what_speaks_waits_and_not_a_turn_later(writes: list[int]) -> None:
    def count(before: int) -> None:
        left.append(len(writes) - before)

    async def answer(socket: WebSocket, call: CallContext) -> None:
        await socket.accept()
        async for message in socket:
            asyncio.get_running_loop().call_soon(count, len(writes))
            await socket.send(message)

    left: list[int] = []
    async with speaking(WebSocketService("test:answer", answer)) as server:
        client = await server.raw()
        for number in range(3):
            client.send(frame(TEXT, b"%d" % number))
            assert await heard(client, 1) == [b"%d" % number]
    assert left == [1, 1, 1]


async def test_an_answer_costs_no_turn_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    corked: list[Corked] = []
    cork = Site.cork

    def counted(self: Site, answer: Corked) -> None:
        corked.append(answer)
        cork(self, answer)

    monkeypatch.setattr(Site, "cork", counted)
    async with speaking(ECHO) as server:
        client = await server.raw()
        client.send(frame(TEXT, b"x"))
        assert await heard(client, 1) == [b"x"]
    assert not any(isinstance(answer, Written) for answer in corked)


async def test_several_answers_to_one_message_leave_together(writes: list[int]) -> None:
    async with speaking(SEVERAL) as server:
        client = await server.raw()
        for _ in range(2):
            client.send(frame(TEXT))
            assert await heard(client, 10) == [b"%d" % number for number in range(10)]
        assert writes == [30, 30]


async def test_messages_that_nobody_asked_for_leave_together(writes: list[int]) -> None:
    async def tell(socket: WebSocket, call: CallContext) -> None:
        await socket.accept()
        for number in range(10):
            await socket.send(str(number))
        await asyncio.sleep(0.01)
        for number in range(10):
            await socket.send(str(number))
        await socket.receive()

    async with speaking(WebSocketService("test:tell", tell)) as server:
        client = await server.raw()
        await heard(client, 20)
        assert writes == [30, 30]


async def test_messages_of_another_task_leave_together(writes: list[int]) -> None:
    async def tell(socket: WebSocket, call: CallContext) -> None:
        await socket.accept()
        async with asyncio.TaskGroup() as group:
            group.create_task(tell_ten(socket))
        await socket.receive()

    async def tell_ten(socket: WebSocket) -> None:
        for number in range(10):
            await socket.send(str(number))

    async with speaking(WebSocketService("test:tell", tell)) as server:
        client = await server.raw()
        await heard(client, 10)
        assert writes == [30]


async def test_what_one_websocket_says_over_another_one_leaves_together(writes: list[int]) -> None:
    sockets: list[WebSocket] = []

    async def tell_all(socket: WebSocket, call: CallContext) -> None:
        await socket.accept()
        sockets.append(socket)
        async for _ in socket:
            for number in range(10):
                for other in sockets:
                    await other.send(str(number))

    async with speaking(WebSocketService("test:tell_all", tell_all)) as server:
        clients = [await server.raw() for _ in range(3)]
        clients[0].send(frame(TEXT))
        for client in clients:
            assert await heard(client, 10) == [b"%d" % number for number in range(10)]
        assert writes == [30, 30, 30]


async def test_messages_behind_a_time_limit_of_the_application_leave_together(writes: list[int]) -> None:
    async def wait(socket: WebSocket, call: CallContext) -> None:
        await socket.accept()
        try:
            async with asyncio.timeout(0.01):
                await socket.receive()
        except TimeoutError:
            for number in range(10):
                await socket.send(str(number))
        await socket.receive()

    async with speaking(WebSocketService("test:wait", wait)) as server:
        client = await server.raw()
        await heard(client, 10)
        assert writes == [30]


async def test_messages_before_an_end_leave_before_it_and_with_it(writes: list[int]) -> None:
    async def leaving(socket: WebSocket, call: CallContext) -> None:
        await socket.accept()
        for number in range(3):
            await socket.send(str(number))
        await socket.close(4000, "done")

    async with speaking(WebSocketService("test:leaving", leaving)) as server:
        client = await server.raw()
        assert await heard(client, 3) == [b"0", b"1", b"2"]
        assert await client.closing() == (4000, "done")
    assert len(writes) == 1


@pytest.mark.parametrize("count", [1, 2, 30])
async def test_answers_leave_before_the_end_of_a_client_that_has_shut_its_side(count: int) -> None:
    async with speaking(ECHO) as server:
        client = await server.raw()
        client.send(b"".join(frame(TEXT, b"%d" % number) for number in range(count)))
        client.shut()
        assert await heard(client, count) == [b"%d" % number for number in range(count)]


async def test_no_more_is_held_back_than_is_cheap_to_join(writes: list[int]) -> None:
    piece = b"x" * 10_000

    async def long(socket: WebSocket, call: CallContext) -> None:
        await socket.accept()
        for _ in range(9):
            await socket.send(piece)
        await socket.receive()

    async with speaking(WebSocketService("test:long", long)) as server:
        client = await server.raw()
        assert await heard(client, 9) == [piece] * 9
        assert [size // len(piece) for size in writes] == [4, 4, 1]
        assert max(writes) < JOIN + 2 * len(piece)


async def test_many_short_messages_in_one_turn_leave_turns_to_others() -> None:
    count = 2 * MANY
    sent = most = before = 0

    async def watch() -> None:
        nonlocal most, before
        while True:
            most, before = max(most, sent - before), sent
            await asyncio.sleep(0)

    async def talk(socket: WebSocket, call: CallContext) -> None:
        nonlocal sent
        await socket.accept()
        await anext(aiter(socket))
        for _ in range(count):
            await socket.send("x")
            sent += 1

    async with speaking(WebSocketService("test:talk", talk)) as server:
        client = await server.raw(fields=PLAIN)
        watching = asyncio.ensure_future(watch())
        client.send(frame(TEXT, b"go"))
        assert await heard(client, count) == [b"x"] * count
        watching.cancel()
        assert 0 < most <= MANY
