"""A served address and a client that speaks HTTP/2 to it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from changeover.workers.channel.limits import Limits
from changeover.workers.http.making import Making
from changeover.workers.http2.connection import Http2Connection
from tests.http2_client import Http2Client
from tests.waits import until
from tests.wire import Answer, WireServer, echo, serving


@asynccontextmanager
async def spoken(
    answer: Answer = echo,
    limits: Limits | None = None,
    window: int | None = None,
    *,
    holding: bool = False,
    making: Making | None = None,
) -> AsyncIterator[tuple[WireServer, Http2Client]]:
    """A served address, and a client that has just connected with prior knowledge."""
    async with serving(answer, limits, holding=holding, making=making) as server:
        client = await Http2Client.connect(*server.listener.getsockname(), window=window)
        await until(lambda: any(isinstance(each, Http2Connection) for each in server.connections))
        try:
            yield server, client
        finally:
            await client.close()


def connection_of(server: WireServer) -> Http2Connection:
    """The one connection."""
    (connection,) = server.connections
    assert isinstance(connection, Http2Connection)
    return connection
