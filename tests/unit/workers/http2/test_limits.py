"""How long a connection and each of its streams may do what they do."""

import asyncio

from changeover.workers.channel.limits import Limits
from changeover.workers.http2.streams import AT_ONCE, UNTAKEN
from changeover.workers.serving.exchange import Disconnected, Exchange
from tests.http2_wire import connection_of, spoken
from tests.waits import until
from tests.wire import echo

MOMENT = 0.05
CANCEL = 8
PIECES = 4
FEW = 64
"""Requests of a hundred that begin at the most, where the kernel takes some MiB for the client."""


async def test_a_connection_that_asks_nothing_is_told_goodbye() -> None:
    async with spoken(limits=Limits(first_byte=MOMENT)) as (_, client):
        await until(lambda: client.closed)
        assert client.goaways == [(0, 0, b"")]


async def test_an_idle_connection_is_told_goodbye_and_a_busy_one_is_not() -> None:
    gate = asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        await gate.wait()
        await echo(exchange)

    async with spoken(slow, Limits(keep_alive=MOMENT)) as (_, client):
        number = client.ask()
        await asyncio.sleep(4 * MOMENT)
        assert not client.goaways
        gate.set()
        assert (await client.answer(number)).status == 200
        await until(lambda: client.closed)
        assert client.goaways == [(number, 0, b"")]


async def test_fields_that_stop_coming_end_the_connection() -> None:
    async with spoken(limits=Limits(head_timeout=MOMENT)) as (_, client):
        client.send(b"\0\0\x01\x01\0\0\0\0\x01\x82")
        await until(lambda: client.closed)
        assert client.goaways


async def test_a_body_that_stops_coming_is_answered_and_other_streams_go_on() -> None:
    async with spoken(limits=Limits(body_timeout=MOMENT)) as (server, client):
        number = client.ask("/", "POST", more=True)
        await client.give(number, b"part", last=False)
        assert (await client.answer(number)).status == 408
        assert (await client.get()).status == 200
        await until(lambda: client.answers[number].reset is not None)
        await until(lambda: len(connection_of(server).streams) == 0)


async def test_a_body_that_stops_coming_after_the_answer_has_begun_cuts_it_off() -> None:
    async def eager(exchange: Exchange) -> None:
        exchange.start(200, [])
        exchange.write(b"begun")
        try:
            await exchange.request.body()
        except Disconnected:
            exchange.abort()

    async with spoken(eager, Limits(body_timeout=MOMENT)) as (server, client):
        answer = await client.answer(client.ask("/", "POST", more=True))
        assert (answer.body, answer.reset) == (b"begun", CANCEL)
        await until(lambda: not server.dispatcher.tasks)


async def test_a_client_that_opens_no_window_loses_the_stream_and_keeps_the_others() -> None:
    lost: list[str] = []

    async def endless(exchange: Exchange) -> None:
        if exchange.request.path == "/":
            await echo(exchange)
            return
        exchange.start(200, [])
        while exchange.connected:
            exchange.write(bytes(8192))
            await exchange.drain()
        lost.append(exchange.request.path)
        exchange.abort()

    async with spoken(endless, Limits(write_timeout=MOMENT), window=1000) as (server, client):
        client.taking = False
        number = client.ask("/endless")
        assert (await client.answer(number)).reset == CANCEL
        await until(lambda: lost == ["/endless"])
        assert (await client.get()).status == 200
        assert not server.dispatcher.faults


async def without_end(exchange: Exchange) -> None:
    exchange.start(200, [])
    while exchange.connected:
        exchange.write(bytes(65536))
        await exchange.drain()
    exchange.abort()


async def test_a_client_that_reads_nothing_is_cut_off() -> None:
    async with spoken(without_end, Limits(write_timeout=0.2), window=2**30) as (server, client):
        client.engine.increment_flow_control_window(2**30)
        client._reading.cancel()
        client.ask()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await until(lambda: server.dispatcher.seen and connection_of(server)._clogged)
        (stream,) = connection_of(server).streams
        assert stream.outflow.size <= 2 * 65536
        assert connection_of(server)._transport.get_write_buffer_size() <= 4 * 65536
        await until(lambda: not len(server.connections))
        await until(lambda: not server.dispatcher.tasks)


async def test_a_client_that_reads_nothing_is_cut_off_though_it_asks_again_and_again_whether_somebody_is_there() -> (
    None
):
    async def ping() -> None:
        while True:
            client.engine.ping(b"anybody?")
            client.flush()
            await asyncio.sleep(MOMENT)

    async with spoken(without_end, Limits(write_timeout=4 * MOMENT), window=2**30) as (server, client):
        client.engine.increment_flow_control_window(2**30)
        client._reading.cancel()
        client.ask()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await until(lambda: server.dispatcher.seen and connection_of(server)._clogged)
        pinging = asyncio.ensure_future(ping())
        await until(lambda: not len(server.connections), "the client to be cut")
        await until(lambda: not server.dispatcher.tasks)
        pinging.cancel()


async def large(exchange: Exchange) -> None:
    """Some pieces; what takes them waits for the client in between."""
    if exchange.request.path == "/":
        await echo(exchange)
        return
    exchange.start(200, [])
    for _ in range(PIECES):
        exchange.write(bytes(65536))
        await exchange.drain()
        if not exchange.connected:
            exchange.abort()
            return
    exchange.end()


async def test_of_a_client_that_takes_nothing_few_requests_begin_and_all_once_it_takes() -> None:
    async with spoken(large, window=2**30) as (server, client):
        client.engine.increment_flow_control_window(2**30)
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        numbers = [client.ask("/large") for _ in range(100)]
        await until(lambda: server.dispatcher.seen and connection_of(server)._clogged)
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(server.dispatcher.seen) <= FEW
        assert sum(stream.outflow.size for stream in connection_of(server).streams) < FEW * 65536
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        answers = [await client.answer(number) for number in numbers]
        assert {(answer.status, len(answer.body)) for answer in answers} == {(200, PIECES * 65536)}
        assert len(server.dispatcher.seen) == 100


async def test_a_client_whose_shared_window_is_closed_has_few_requests_begun() -> None:
    async with spoken(large, Limits(held=MOMENT), window=2**30) as (server, client):
        client.taking = False
        numbers = [client.ask("/large") for _ in range(100)]
        await until(lambda: sum(len(client.answers[number].body) for number in numbers) == 65535, "a closed window")
        await asyncio.sleep(2 * MOMENT)
        assert len(server.dispatcher.seen) <= FEW
        client.taking = True
        client.engine.increment_flow_control_window(2**30)
        client.flush()
        answers = [await client.answer(number) for number in numbers]
        assert {answer.status for answer in answers} == {200}, "what has not begun is not late"


async def test_streams_that_are_paused_hold_up_no_other() -> None:
    async with spoken(large, window=100) as (server, client):
        client.taking = False
        paused = [client.ask("/large") for _ in range(90)]
        await until(lambda: len(server.dispatcher.seen) == 90, "all of them begun")
        await until(lambda: all(len(client.answers[number].body) == 100 for number in paused))
        assert sum(stream.outflow.size for stream in connection_of(server).streams) > UNTAKEN
        for _ in range(AT_ONCE + 1):
            assert (await client.get()).status == 200


async def test_a_request_that_may_not_be_dispatched_in_time_is_answered() -> None:
    async with spoken(limits=Limits(held=MOMENT), holding=True) as (server, client):
        assert (await client.get()).status == 503
        server.dispatcher.holding = False
        server.connections.resume_all()
        assert (await client.get()).status == 200
        assert len(server.dispatcher.seen) == 1


async def test_a_client_that_shut_its_side_gets_its_answer_and_counts_as_gone_after_a_moment() -> None:
    gone: list[bool] = []

    async def slow(exchange: Exchange) -> None:
        await exchange.wait_disconnected()
        gone.append(exchange.connected)
        await echo(exchange)

    async with spoken(slow, Limits(half_closed=MOMENT)) as (server, client):
        number = client.ask()
        await until(lambda: server.dispatcher.seen)
        client.writer.write_eof()
        assert (await client.answer(number)).body == b"GET / "
        assert gone == [False]
        await until(lambda: client.closed)
