"""What is told of streams: each one once, when the last of its answer has left or it is clear that it will not."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from changeover.workers.channel.limits import Limits
from changeover.workers.channel.outlet import MAX_DISCARD, RESET
from changeover.workers.serving.exchange import Exchange
from tests.http2_client import Http2Client
from tests.http2_wire import spoken
from tests.kept import Kept
from tests.waits import until
from tests.wire import Answer, WireServer, answer_with, echo

REQUEST = [(":method", "GET"), (":scheme", "http"), (":authority", "test"), (":path", "/a")]


@asynccontextmanager
async def logged(
    answer: Answer = echo, limits: Limits | None = None, window: int | None = None, *, holding: bool = False
) -> AsyncIterator[tuple[WireServer, Http2Client, Kept]]:
    """Serve, and tell of it."""
    kept = Kept()
    async with spoken(answer, limits, window, holding=holding, making=kept.making) as (server, client):
        yield server, client, kept


async def test_each_stream_is_told_once_with_what_was_asked_and_answered() -> None:
    async with logged() as (_, client, kept):
        asked = [("user-agent", "test"), ("referer", "http://x/"), ("x-request-id", "r-1")]
        await client.get("/a?b=c", asked)
        await client.post("/d", b"hello")
        await until(lambda: len(kept) == 2)
        first, second = kept
        assert (first.method, first.target, first.version, first.status, first.size) == ("GET", "/a?b=c", "2", 200, 7)
        assert (first.client, first.worker, first.agent, first.referer) == ("127.0.0.1", 3, "test", "http://x/")
        assert (first.request_id, first.complete) == ("r-1", True)
        assert 0 < first.ms < 10_000
        assert (second.method, second.target, second.size) == ("POST", "/d", 13)


async def test_the_request_id_is_the_one_of_the_answer() -> None:
    async with logged(answer_with(204, [(b"X-Request-Id", b"r-2")])) as (_, client, kept):
        await client.get(fields=[("x-request-id", "r-1")])
        assert [(told.status, told.size, told.request_id) for told in kept] == [(204, 0, "r-2")]


async def test_an_answer_is_told_when_the_client_has_let_its_last_byte_leave() -> None:
    async with logged(answer_with(200, [], b"x" * 300), window=200) as (server, client, kept):
        client.taking = False
        number = client.ask()
        await until(lambda: len(client.answers[number].body) == 200 and not server.dispatcher.tasks)
        assert not kept
        client.engine.acknowledge_received_data(200, number)
        client.flush()
        await client.answer(number)
        assert [(told.size, told.complete) for told in kept] == [(300, True)]


async def test_an_answer_with_trailers_is_complete_with_its_body() -> None:
    async def trailed(exchange: Exchange) -> None:
        exchange.start(200, [])
        exchange.write(b"hello")
        exchange.end_with([(b"x-sum", b"1")])

    async with logged(trailed) as (_, client, kept):
        assert (await client.get(fields=[("te", "trailers")])).trailers == {"x-sum": "1"}
        assert [(told.size, told.complete) for told in kept] == [(5, True)]


async def test_a_head_request_has_no_bytes() -> None:
    async with logged() as (_, client, kept):
        await client.answer(client.ask("/a", "HEAD"))
        assert [(told.method, told.status, told.size) for told in kept] == [("HEAD", 200, 0)]


@pytest.mark.parametrize(
    ("head", "status", "complete"),
    [
        ([*REQUEST, ("content-length", "101")], 413, True),
        ([*REQUEST[:3], (":path", "/" + "a" * 9000)], 414, True),
        ([*REQUEST, ("x-large", "a" * 20_000)], 431, True),
        ([*REQUEST, ("expect", "miracles")], 417, True),
        ([*REQUEST[:2], (":authority", "a b"), (":path", "/")], 400, True),
        ([(":method", "CONNECT"), (":authority", "test")], 501, True),
        ([*REQUEST[:3]], 400, False),
        ([*REQUEST, ("connection", "close")], 400, False),
    ],
)
async def test_what_is_no_request_is_told_by_its_answer_alone(
    head: list[tuple[str, str]], status: int, complete: bool
) -> None:
    async with logged(limits=Limits(body=100, head=16 * 1024)) as (_, client, kept):
        answer = await client.answer(client.ask_raw(head))
        assert answer.status == (status if complete else 0)
        (told,) = kept
        assert (told.method, told.target, told.client, told.worker) == ("", "", "127.0.0.1", 3)
        assert (told.status, told.complete) == (status, complete)


async def test_a_body_that_turns_out_too_long_is_told_with_the_status_that_its_client_got() -> None:
    async with logged(limits=Limits(body=100)) as (_, client, kept):
        assert (await client.post("/a", bytes(101))).status == 413
        await until(lambda: kept)
        assert [(told.target, told.status, told.complete) for told in kept] == [("/a", 413, True)]


async def test_a_response_that_the_application_spoils_is_told_as_a_500() -> None:
    async def short(exchange: Exchange) -> None:
        exchange.start(200, [(b"content-length", b"5")])
        exchange.end()

    async with logged(short) as (_, client, kept):
        assert (await client.get()).status == 500
        assert [told.status for told in kept] == [500]


async def test_an_answer_that_breaks_off_is_told_as_cut() -> None:
    async def cut(exchange: Exchange) -> None:
        exchange.start(200, [])
        exchange.write(b"hello")
        await asyncio.sleep(0.01)
        exchange.abort()

    async with logged(cut) as (_, client, kept):
        assert (await client.get()).reset == 2
        assert [(told.status, told.size, told.complete) for told in kept] == [(200, 5, False)]


async def test_an_answer_whose_client_does_not_want_the_rest_is_told_as_cut() -> None:
    async with logged(answer_with(200, [], b"x" * 300), window=200) as (_, client, kept):
        client.taking = False
        number = client.ask()
        await until(lambda: len(client.answers[number].body) == 200)
        client.give_up(number)
        await until(lambda: kept)
        assert [(told.status, told.size, told.complete) for told in kept] == [(200, 200, False)]


@pytest.mark.parametrize("leaves", ["stream", "connection"])
async def test_a_client_that_left_before_there_was_a_response_is_told_of_once(leaves: str) -> None:
    async def late(exchange: Exchange) -> None:
        await exchange.wait_disconnected()
        exchange.start(200, [])
        exchange.write(b"too late")
        exchange.end()

    async with logged(late) as (server, client, kept):
        number = client.ask("/a")
        await until(lambda: server.dispatcher.seen)
        if leaves == "stream":
            client.give_up(number)
        else:
            client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            client.writer.transport.abort()
        await until(lambda: kept and not server.dispatcher.tasks)
        assert [(told.status, told.complete) for told in kept] == [(499, False)]


async def test_an_answer_that_ends_with_the_upload_it_did_not_want_is_told_as_cut() -> None:
    async with logged(answer_with(200, [], b"x" * 300), window=200) as (_, client, kept):
        client.taking = False
        number = client.ask("/a", "POST", more=True)
        await until(lambda: len(client.answers[number].body) == 200)
        await client.give(number, bytes(MAX_DISCARD + 1), last=False)
        await until(lambda: kept)
        assert [(told.status, told.size, told.complete) for told in kept] == [(200, 200, False)]


async def test_what_may_be_asked_again_elsewhere_is_not_told() -> None:
    async with logged(holding=True) as (server, client, kept):
        number = client.ask()
        await until(lambda: any(connection.sight().phase.name == "BUSY" for connection in server.connections))
        for connection in server.connections:
            connection.leave()
        assert (await client.answer(number)).refused
        assert not kept
