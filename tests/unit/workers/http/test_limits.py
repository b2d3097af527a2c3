"""Clients that are slow, endless, wrong or silent: what they are told, and that they can hear it."""

import asyncio
import socket

import pytest

from changeover.workers.channel.limits import Limits
from changeover.workers.channel.outlet import RESET
from changeover.workers.channel.phases import Phase
from changeover.workers.serving.exchange import Disconnected, Exchange
from tests.waits import DEADLINE, until
from tests.wire import Client, answer_with, chunked, field_of, get, post, serving

QUICK = Limits(head_timeout=0.05, body_timeout=0.05, keep_alive=0.05, first_byte=0.05, write_timeout=0.05, linger=0.05)


async def final_status(client: Client) -> int:
    """The status of an answer after which the connection ends."""
    head = await client.head()
    assert field_of(head, b"connection") == b"close"
    assert len(await client.rest()) == int(field_of(head, b"content-length") or 0)
    return int(head[9:12])


@pytest.mark.parametrize(
    ("status", "raw"),
    [
        (400, b"GET / HTTP/1.1\r\n\r\n"),
        (400, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
        (414, b"GET /" + b"a" * 20_000),
        (417, get(fields="Expect: tea\r\n")),
        (431, get(fields="X: " + "a" * 70_000 + "\r\n")),
        (501, get(method="FROB")),
        (505, b"GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
    ],
)
async def test_a_refused_client_hears_why_although_it_still_sends(status: int, raw: bytes) -> None:
    async with serving() as server:
        client = await server.client()
        client.send(raw + b"x" * 100_000)
        assert await final_status(client) == status
        assert not server.dispatcher.seen


async def test_a_body_beyond_the_limit_is_refused_before_it_is_read() -> None:
    async with serving(limits=Limits(body=10)) as server:
        client = await server.client()
        client.send(post("/", b"x" * 11))
        assert await final_status(client) == 413
        assert not server.dispatcher.seen
        client = await server.client()
        client.send(chunked("/", b"x" * 11))
        assert await final_status(client) == 413
        client = await server.client()
        client.send(chunked("/", b"x" * 10))
        assert await client.response() == (200, b"POST / xxxxxxxxxx")


async def test_a_bad_chunk_after_the_answer_has_begun_cuts_the_connection() -> None:
    async def answer(exchange: Exchange) -> None:
        exchange.start(200, [])
        exchange.write(b"begun")
        await exchange.receive()
        await exchange.receive()

    async with serving(answer) as server:
        client = await server.client()
        client.send(chunked("/", b"good")[:-5])
        await client.head()
        await client.exactly(len(b"5\r\nbegun\r\n"))
        client.send(b"bad\n")
        assert await client.rest() == b""


@pytest.mark.parametrize("spoiled", ["a bad chunk", "an early end", "a body that does not come"])
async def test_who_answers_a_client_that_spoils_its_body_meanwhile_hears_that_it_is_gone(spoiled: str) -> None:
    """It is no fault of the application, and not logged as one."""

    async def answer(exchange: Exchange) -> None:
        exchange.start(200, [])
        exchange.write(b"begun")
        reading = asyncio.ensure_future(exchange.request.body())
        while exchange.connected:
            await asyncio.sleep(0)
        exchange.write(b"to nobody")
        exchange.end()
        with pytest.raises(Disconnected):
            await reading

    async with serving(answer, Limits(body_timeout=0.05)) as server:
        client = await server.client()
        client.send(chunked("/", b"good")[:-5])
        await client.head()
        if spoiled == "a bad chunk":
            client.send(b"bad\n")
        elif spoiled == "an early end":
            client.shut()
        assert await client.rest() == b"5\r\nbegun\r\n"
        await until(lambda: not server.dispatcher.tasks)
        assert not server.dispatcher.faults


async def test_a_client_of_http_1_0_that_spoils_its_body_gets_what_was_sent_of_an_answer_with_a_length() -> None:
    async def answer(exchange: Exchange) -> None:
        exchange.start(200, [(b"content-length", b"10")])
        exchange.write(b"begun")
        with pytest.raises(Disconnected):
            await exchange.request.body()

    async with serving(answer, Limits(body_timeout=0.05)) as server:
        client = await server.client()
        client.send(b"POST / HTTP/1.0\r\nHost: test\r\nContent-Length: 9\r\n\r\nabc")
        await client.head()
        assert await client.rest() == b"begun"
        assert not server.dispatcher.faults


async def test_a_client_of_http_1_0_that_spoils_its_body_can_tell_that_an_answer_without_a_length_is_cut() -> None:
    async def answer(exchange: Exchange) -> None:
        exchange.start(200, [])
        exchange.write(b"begun")
        with pytest.raises(Disconnected):
            await exchange.request.body()

    async with serving(answer, Limits(body_timeout=0.05)) as server:
        client = await server.client()
        client.send(b"POST / HTTP/1.0\r\nHost: test\r\nContent-Length: 9\r\n\r\nabc")
        await client.head()
        with pytest.raises(ConnectionResetError):
            await client.rest()
        assert not server.dispatcher.faults


async def test_a_bad_chunk_behind_a_complete_answer_is_not_answered_again() -> None:
    async with serving(answer_with(200, [(b"content-length", b"2")], b"ok")) as server:
        client = await server.client()
        client.send(chunked("/", b"good")[:-5])
        assert await client.response() == (200, b"ok")
        client.send(b"bad\n")
        assert await client.rest() == b""


async def test_a_head_that_dribbles_is_over_at_its_deadline_however_busy_it_looks() -> None:
    async with serving(limits=QUICK) as server:
        client = await server.client()

        async def dribble() -> None:
            for byte in get("/" + "a" * 5000):
                client.send(bytes([byte]))
                await asyncio.sleep(0.001)

        dribbling = asyncio.ensure_future(dribble())
        assert await final_status(client) == 408
        dribbling.cancel()
        assert not server.dispatcher.seen


async def test_a_body_that_does_not_come_is_over_at_its_deadline() -> None:
    async with serving(limits=QUICK) as server:
        client = await server.client()
        client.send(post("/", b"12345")[:-1])
        assert await final_status(client) == 408


async def test_a_body_that_nobody_asks_for_has_no_deadline() -> None:
    gate = asyncio.Event()

    async def late(exchange: Exchange) -> None:
        await gate.wait()
        body = await exchange.request.body()
        exchange.start(200, [(b"content-length", b"%d" % len(body))])
        exchange.write(body)
        exchange.end()

    async with serving(late, QUICK) as server:
        client = await server.client()
        client.send(post("/", b"12345")[:-1])
        await asyncio.sleep(0.2)
        client.send(b"5")
        gate.set()
        assert await client.response() == (200, b"12345")


@pytest.mark.parametrize("silent", [True, False])
async def test_a_silent_connection_is_closed_without_an_answer(silent: bool) -> None:
    async with serving(limits=QUICK) as server:
        client = await server.client()
        if not silent:
            await client.ask()
        assert await client.rest() == b""
        await until(lambda: not len(server.connections))


async def test_a_busy_request_has_no_deadline() -> None:
    async def slow(exchange: Exchange) -> None:
        await asyncio.sleep(0.2)
        exchange.start(200, [])
        exchange.end()

    async with serving(slow, QUICK) as server:
        assert await (await server.client()).ask() == (200, b"")


async def test_a_client_that_never_reads_is_cut_off() -> None:
    async def flood(exchange: Exchange) -> None:
        exchange.start(200, [])
        while exchange.connected:
            exchange.write(b"x" * 50_000)
            await exchange.drain()

    async with serving(flood, QUICK) as server:
        client = await server.client(receive_buffer=4096)
        client.send(get())
        await until(lambda: server.dispatcher.seen)
        await until(lambda: not len(server.connections))
        await until(lambda: not server.dispatcher.tasks)
        assert not server.dispatcher.faults


async def test_a_client_that_never_reads_is_cut_off_though_a_little_is_written_again_and_again() -> None:
    async def events(exchange: Exchange) -> None:
        exchange.start(200, [])
        while exchange.connected:
            waits = server.connections.phases()[Phase.WRITING]
            exchange.write(b"x" if waits else b"x" * 16_000)
            await exchange.drain()
            await asyncio.sleep(QUICK.write_timeout / 10 if waits else 0)

    async with serving(events, QUICK) as server:
        client = await server.client(receive_buffer=4096)
        client.send(get())
        await until(lambda: server.connections.phases()[Phase.WRITING], "the client to be behind")
        [connection] = server.connections
        await until(lambda: not len(server.connections), "the client to be cut")
        assert not connection.outlet.clogged, "nothing else has stopped who writes"
        await until(lambda: not server.dispatcher.tasks)
        assert not server.dispatcher.faults


async def large(exchange: Exchange) -> None:
    exchange.answer(200, [], b"x" * 20_000)


async def test_a_client_that_asks_on_and_never_reads_is_cut_off_and_what_waits_for_it_is_bounded() -> None:
    async with serving(large, QUICK) as server:
        client = await server.client(receive_buffer=4096)
        client.send(get() * 20_000)
        await until(lambda: not len(server.connections))
        assert len(server.dispatcher.seen) < 2_000, "as much as the kernel takes"


@pytest.mark.parametrize("shuts", [True, False])
async def test_a_client_that_reads_late_has_every_answer(shuts: bool) -> None:
    async with serving(large) as server:
        client = await server.client(receive_buffer=4096)
        client.send(get() * 400)
        if shuts:
            client.shut()
        await until(lambda: server.connections.phases()[Phase.WRITING])
        for _ in range(400):
            assert await client.response() == (200, b"x" * 20_000)
        assert len(server.dispatcher.seen) == 400


async def test_a_refused_client_that_never_leaves_is_cut_off() -> None:
    async with serving(limits=QUICK) as server:
        client = await server.client()
        client.send(b"nonsense\r\n\r\n")
        await client.rest()
        await until(lambda: not len(server.connections))


async def test_reading_pauses_at_the_bound_of_unread_bytes() -> None:
    gate = asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        await gate.wait()
        exchange.start(200, [(b"content-length", b"0")])
        exchange.end()

    async with serving(slow, Limits(unread=4096, head=4096)) as server:
        client = await server.client()
        client.send(get() * 20_000)
        (connection,) = server.connections
        await until(lambda: len(connection.unread()) == 4096)
        await asyncio.sleep(0.02)
        assert len(connection.unread()) == 4096
        assert len(server.dispatcher.seen) == 1
        gate.set()
        for _ in range(200):
            assert await client.response() == (200, b"")
            assert len(connection.unread()) <= 4096


async def test_held_requests_wait_and_are_served_in_order_once_they_may() -> None:
    async with serving(holding=True) as server:
        clients = [await server.client() for _ in range(300)]
        for number, client in enumerate(clients):
            client.send(get(f"/{number}") + post("/next", b"body"))
        await until(lambda: server.connections.phases()[Phase.HELD] == 300)
        server.connections.resume_all()
        assert server.connections.phases()[Phase.HELD] == 300
        assert {connection.unread().count(b"HTTP/1.1") for connection in server.connections} == {2}
        server.dispatcher.holding = False
        server.connections.resume_all()
        for number, client in enumerate(clients):
            assert await client.response() == (200, f"GET /{number} ".encode())
            assert await client.response() == (200, b"POST /next body")


async def test_a_held_request_is_told_in_the_end() -> None:
    async with serving(limits=Limits(held=0.05), holding=True) as server:
        client = await server.client()
        client.send(get())
        assert await final_status(client) == 503


async def test_a_held_request_whose_client_shut_its_write_side_is_answered() -> None:
    async with serving(holding=True) as server:
        client = await server.client()
        client.send(get("/a") + get("/b"))
        client.shut()
        await until(lambda: server.connections.phases()[Phase.HELD] == 1)
        server.dispatcher.holding = False
        server.connections.resume_all()
        assert await client.response() == (200, b"GET /a ")
        assert await client.response() == (200, b"GET /b ")
        assert await client.rest() == b""


async def test_a_held_request_whose_body_will_never_be_complete_is_refused() -> None:
    async with serving(holding=True) as server:
        client = await server.client()
        client.send(post("/", b"12345")[:-1])
        client.shut()
        await until(lambda: server.connections.phases()[Phase.HELD] == 1)
        server.dispatcher.holding = False
        server.connections.resume_all()
        assert (await client.response())[0] == 400


async def test_phases_are_counted() -> None:
    gate = asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        if exchange.request.path == "/slow":
            await gate.wait()
        await exchange.request.body()
        exchange.start(200, [])
        exchange.end()

    async with serving(answer) as server:
        new, idle, head, body, busy = [await server.client() for _ in range(5)]
        assert new.writer.get_extra_info("peername")
        await idle.ask()
        head.send(get()[:-3])
        body.send(post("/", b"12345")[:-1])
        busy.send(get("/slow"))
        expected = {Phase.NEW: 1, Phase.IDLE: 1, Phase.HEAD: 1, Phase.BODY: 1, Phase.BUSY: 1}
        await until(lambda: server.connections.phases() == expected)
        gate.set()


UNREAD = {
    "requests": get() * 4_000,  # the kernel has room for them: behind what it has none for no end is seen
    "a body": post("/", b"x" * 300_000),
    "a part of one": post("/", b"x" * 600_000)[:300_000],
}


@pytest.mark.parametrize(
    ("unread", "resets"), [("requests", False), ("requests", True), ("a body", True), ("a part of one", True)]
)
async def test_that_a_client_left_is_heard_though_nobody_reads_what_it_had_sent(unread: str, resets: bool) -> None:
    heard = asyncio.Event()

    async def wait(exchange: Exchange) -> None:
        await exchange.wait_disconnected()
        heard.set()

    async with serving(wait, Limits(half_closed=0.05)) as server:
        client = await server.client()
        client.send(get() + UNREAD[unread] if unread == "requests" else UNREAD[unread])
        await client.writer.drain()
        await until(lambda: server.dispatcher.seen)
        [connection] = server.connections
        await until(lambda: not connection._reading, "it to be read no further")  # type: ignore[attr-defined]
        assert not heard.is_set()
        if resets:
            own = client.writer.get_extra_info("socket")
            own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        client.writer.transport.abort()
        await asyncio.wait_for(heard.wait(), DEADLINE)
