"""The graceful end of all connections."""

import asyncio

from changeover.workers.serving.exchange import Exchange
from tests.waits import until
from tests.wire import echo, field_of, get, serving


async def test_idle_connections_end_at_once_and_busy_ones_with_their_answer() -> None:
    gate = asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        if exchange.request.path == "/slow":
            await gate.wait()
        await echo(exchange)

    async with serving(slow) as server:
        idle, busy = await server.client(), await server.client()
        await idle.ask()
        busy.send(get("/slow"))
        await until(lambda: len(server.dispatcher.seen) == 2)
        stopping = asyncio.ensure_future(server.connections.stop(10.0))
        assert await idle.rest() == b""
        await idle.close()
        assert not stopping.done()
        gate.set()
        assert field_of(await busy.head(), b"connection") == b"close"
        assert await busy.rest() == b"GET /slow "
        await busy.close()
        assert await asyncio.wait_for(stopping, 5) == 0


async def test_a_request_that_has_arrived_when_the_end_begins_is_answered() -> None:
    async with serving() as server:
        client, silent = await server.client(), await server.client()
        await client.ask()
        client.send(get("/late"))
        silent.send(get("/first"))
        stopping = asyncio.ensure_future(server.connections.stop(10.0))
        for one, path in ((client, b"/late"), (silent, b"/first")):
            assert field_of(await one.head(), b"connection") == b"close"
            assert await one.rest() == b"GET " + path + b" "
            await one.close()
        assert await asyncio.wait_for(stopping, 5) == 0


async def test_what_is_late_is_cut_off_at_the_deadline() -> None:
    async def never(exchange: Exchange) -> None:
        await exchange.wait_disconnected()

    async with serving(never) as server:
        client = await server.client()
        client.send(get())
        await until(lambda: server.dispatcher.seen)
        assert await server.connections.stop(0.05) == 1
        assert await client.rest() == b""


async def test_changes_of_the_number_of_connections_are_told() -> None:
    heard: list[int] = []
    async with serving() as server:
        server.connections.on_change = heard.append
        first = await server.client()
        await server.client()
        await first.close()
        await until(lambda: len(server.connections) == 1)
    assert heard == [1, 2, 1, 0]
