"""Clients that shut their write side behind a body that nobody takes yet: they are still there."""

import asyncio
import socket

import pytest

from changeover.workers.channel.phases import Phase
from changeover.workers.http.connection import HttpConnection
from changeover.workers.serving.exchange import Exchange
from tests.waits import until
from tests.wire import Client, WireServer, post, serving

LARGE = 150_000
"""Bytes of a body: more than is read of what nobody takes, and less than what the kernel has room for."""


async def client_of(server: WireServer, family: str) -> Client:
    if family == "tcp":
        return await server.client()
    near, far = socket.socketpair()
    near.setblocking(False)
    server.connections.accept(near, "")
    client = Client(*await asyncio.open_connection(sock=far))
    server.clients.append(client)
    return client


@pytest.mark.parametrize("leaves", ["tcp, shut", "unix, shut", "unix, gone"])
async def test_a_client_that_shut_its_side_behind_a_body_is_there_until_it_is_gone(leaves: str) -> None:
    taking, sizes = asyncio.Event(), list[int]()

    async def slow(exchange: Exchange) -> None:
        await taking.wait()
        sizes.append(len(await exchange.request.body()))
        exchange.start(200, [])
        exchange.write(b"%d" % sizes[0])
        exchange.end()

    family, _, how = leaves.partition(", ")
    async with serving(slow) as server:
        client = await client_of(server, family)
        client.send(post("/", b"x" * LARGE))
        await client.writer.drain()
        await until(lambda: server.dispatcher.seen)
        [connection] = server.connections
        assert isinstance(connection, HttpConnection)
        await until(lambda: not connection._reading, "it to be read no further")
        if how == "gone":
            await client.close()
        else:
            client.shut()
        await until(lambda: connection.outlet.has_client_left(True), "its end to have come")
        assert connection.sight().phase is (Phase.HALF_CLOSED if how == "gone" else Phase.BUSY)
        taking.set()
        if how == "shut":
            assert await client.response() == (200, b"%d" % LARGE)
        await until(lambda: sizes == [LARGE], "the body that had come")
