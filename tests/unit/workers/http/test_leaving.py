"""A connection that is gone leaves nothing behind."""

import gc
from collections.abc import Awaitable, Callable

import pytest

from changeover.workers.http.connection import HttpConnection
from changeover.workers.http.exchange import WireExchange
from tests.waits import until
from tests.wire import Client, chunked, get, post, serving


async def leave_at_once(client: Client) -> None:
    """Say nothing."""


async def ask_and_leave(client: Client) -> None:
    await client.ask()


async def ask_with_bodies_and_leave(client: Client) -> None:
    client.send(post("/", b"body") + chunked("/", b"chunk"))
    await client.response()
    await client.response()


async def leave_within_a_head(client: Client) -> None:
    client.send(get()[:-2])


async def leave_within_a_body(client: Client) -> None:
    client.send(post("/", b"body")[:-2])


async def be_refused(client: Client) -> None:
    client.send(b"nonsense\r\n\r\n")
    await client.rest()


@pytest.mark.parametrize(
    "story",
    [
        leave_at_once,
        ask_and_leave,
        ask_with_bodies_and_leave,
        leave_within_a_head,
        leave_within_a_body,
        be_refused,
    ],
)
async def test_a_connection_that_is_gone_leaves_nothing_behind(story: Callable[[Client], Awaitable[None]]) -> None:
    async with serving() as server:
        client = await server.client()
        await story(client)
        await client.close()
        await until(lambda: not len(server.connections))
        await until(lambda: not server.dispatcher.tasks)
        server.dispatcher.seen.clear()
        gc.collect()
        assert not [each for each in gc.get_objects() if type(each) in (HttpConnection, WireExchange)]
