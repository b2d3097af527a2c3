"""A connection, from the client's side: order, persistence, bodies, and what leaves in which write."""

import asyncio

import pytest

from changeover.workers.channel.limits import Limits
from changeover.workers.http.connection import HttpConnection
from changeover.workers.http.exchange import WireExchange
from changeover.workers.http.faults import BadResponse
from changeover.workers.http.incoming import HIGH_WATER, Source
from changeover.workers.serving.exchange import Disconnected, Exchange
from tests.memory_connection import MemoryConnection
from tests.waits import until
from tests.wire import answer_with, chunked, echo, field_of, get, post, serving

OK = [(b"content-length", b"2")]


async def test_requests_on_one_connection_are_answered_in_order() -> None:
    async with serving() as server:
        client = await server.client()
        assert await client.ask("/a") == (200, b"GET /a ")
        assert await client.ask("/b") == (200, b"GET /b ")
        client.send(get("/c") + post("/d", b"body") + chunked("/e", b"in ", b"chunks") + get("/f"))
        assert [await client.response() for _ in range(4)] == [
            (200, b"GET /c "),
            (200, b"POST /d body"),
            (200, b"POST /e in chunks"),
            (200, b"GET /f "),
        ]


async def test_a_pipelined_request_is_not_begun_before_the_answer_to_the_one_before() -> None:
    gate = asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        await gate.wait()
        await echo(exchange)

    async with serving(slow) as server:
        client = await server.client()
        client.send(get("/a") + get("/b"))
        (connection,) = server.connections
        await until(lambda: connection.unread() == get("/b"))
        assert [exchange.request.path for exchange in server.dispatcher.seen] == ["/a"]
        gate.set()
        assert await client.response() == (200, b"GET /a ")
        assert await client.response() == (200, b"GET /b ")


async def test_a_long_pipeline_is_answered_without_recursion() -> None:
    async with serving() as server:
        client = await server.client()
        client.send(get("/x") * 3000)
        for _ in range(3000):
            assert await client.response() == (200, b"GET /x ")


async def test_a_request_is_served_whatever_its_bytes_are_split_into() -> None:
    raw = b"\r\n" + post("/a", b"hello") + chunked("/b", b"wor", b"ld") + get("/c")
    async with serving() as server:
        client = await server.client()
        (connection,) = server.connections
        assert isinstance(connection, HttpConnection)
        for at in range(len(raw)):
            connection.get_buffer(-1)[:1] = raw[at : at + 1]
            connection.buffer_updated(1)
            await asyncio.sleep(0)
        assert await client.response() == (200, b"POST /a hello")
        assert await client.response() == (200, b"POST /b world")
        assert await client.response() == (200, b"GET /c ")


async def test_the_client_s_wish_to_close_is_followed() -> None:
    async with serving() as server:
        client = await server.client()
        client.send(get("/a", "Connection: close\r\n"))
        head = await client.head()
        assert field_of(head, b"connection") == b"close"
        assert await client.rest() == b"GET /a "


async def test_the_application_s_wish_to_close_is_followed() -> None:
    async with serving(answer_with(200, [(b"connection", b"close"), *OK], b"ok")) as server:
        client = await server.client()
        client.send(get("/a") + get("/b"))
        assert field_of(await client.head(), b"connection") == b"close"
        assert await client.rest() == b"ok"
        assert len(server.dispatcher.seen) == 1


async def test_http_1_0_closes_unless_it_asks_for_more() -> None:
    async with serving() as server:
        client = await server.client()
        client.send(b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert field_of(await client.head(), b"connection") == b"keep-alive"
        await client.exactly(7)
        client.send(b"GET /b HTTP/1.0\r\n\r\n")
        assert field_of(await client.head(), b"connection") == b"close"
        assert await client.rest() == b"GET /b "


async def test_a_stream_of_unknown_length_ends_with_the_connection_on_http_1_0() -> None:
    head_seen = asyncio.Event()

    async def stream(exchange: Exchange) -> None:
        exchange.start(200, [])
        exchange.write(b"one ")
        await head_seen.wait()
        exchange.write(b"two")
        exchange.end()

    async with serving(stream) as server:
        client = await server.client()
        client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        head = await client.head()
        assert field_of(head, b"connection") == b"close"
        assert field_of(head, b"transfer-encoding") is None
        head_seen.set()
        assert await client.rest() == b"one two"


async def test_a_stream_of_unknown_length_is_chunked_on_http_1_1() -> None:
    head_seen = asyncio.Event()

    async def stream(exchange: Exchange) -> None:
        exchange.start(200, [])
        exchange.write(b"one ")
        await head_seen.wait()
        exchange.write(b"two")
        exchange.end()

    async with serving(stream) as server:
        client = await server.client()
        client.send(get())
        assert field_of(await client.head(), b"transfer-encoding") == b"chunked"
        head_seen.set()
        expected = b"4\r\none \r\n3\r\ntwo\r\n0\r\n\r\n"
        assert await client.exactly(len(expected)) == expected
        assert len(server.dispatcher.seen) == 1


async def test_an_answer_that_is_complete_at_once_gets_a_length_and_one_write() -> None:
    async with serving(answer_with(200, [], b"one ", b"two")) as server:
        client = await server.client()
        (connection,) = server.connections
        writes = count_writes(connection.outlet)
        client.send(get())
        assert await client.response() == (200, b"one two")
        assert writes == [1]


def count_writes(outlet: object) -> list[int]:
    """Count what reaches the transport from here on."""
    writes = [0]
    transport = outlet._transport  # type: ignore[attr-defined]

    class Counting:
        def write(self, data: bytes) -> None:
            writes[0] += 1
            transport.write(data)

        def __getattr__(self, name: str) -> object:
            return getattr(transport, name)

    outlet._transport = Counting()  # type: ignore[attr-defined]
    return writes


async def test_a_head_does_not_wait_for_the_body() -> None:
    async def events(exchange: Exchange) -> None:
        exchange.start(200, [(b"content-type", b"text/event-stream")])
        await exchange.wait_disconnected()

    async with serving(events) as server:
        client = await server.client()
        client.send(get())
        assert b"text/event-stream" in await client.head()


@pytest.mark.parametrize(("status", "method"), [(204, "GET"), (304, "GET"), (200, "HEAD")])
async def test_an_answer_without_a_body_has_none_whatever_the_application_writes(status: int, method: str) -> None:
    async with serving(answer_with(status, [], b"body")) as server:
        client = await server.client()
        client.send(get("/", method=method) + get("/", method=method))
        for _ in range(2):
            head = await client.head()
            assert int(head[9:12]) == status
            assert field_of(head, b"transfer-encoding") is None
            assert (field_of(head, b"content-length") is None) == (status != 200)


async def test_a_head_request_learns_the_length_that_get_would_have() -> None:
    async with serving(answer_with(200, [(b"content-length", b"100")])) as server:
        client = await server.client()
        client.send(get(method="HEAD"))
        assert field_of(await client.head(), b"content-length") == b"100"
        assert not server.dispatcher.faults


@pytest.mark.parametrize("step", [1, 1 << 16], ids=["bytewise", "at once"])
async def test_a_head_request_that_is_refused_is_sent_no_body(step: int) -> None:
    raw, memory = b"HEAD / HTTP/1.1\r\n\r\n", MemoryConnection()
    for start in range(0, len(raw), step):
        memory.feed(raw[start : start + step])
    await memory.settle()
    assert memory.transport.written.startswith(b"HTTP/1.1 400 ")
    assert memory.transport.written.endswith(b"\r\n\r\n")
    assert memory.transport.closed


async def test_a_head_request_learns_no_length_while_the_body_is_not_complete() -> None:
    async def stream(exchange: Exchange) -> None:
        exchange.start(200, [])
        for _ in range(3):
            exchange.write(b"piece")
            await asyncio.sleep(0)
        exchange.end()

    async with serving(stream) as server:
        client = await server.client()
        client.send(get(method="HEAD") + get(method="HEAD"))
        for _ in range(2):
            assert field_of(await client.head(), b"content-length") is None
        assert not server.dispatcher.faults


async def test_answers_carry_a_date_and_a_server_only_when_asked() -> None:
    async with serving() as server:
        client = await server.client()
        client.send(get())
        head = await client.head()
        assert (field_of(head, b"date") or b"").endswith(b" GMT")
        assert field_of(head, b"server") is None
    async with serving(server="changeover") as server:
        client = await server.client()
        client.send(get())
        assert field_of(await client.head(), b"server") == b"changeover"
    async with serving(answer_with(200, [(b"date", b"then"), (b"server", b"mine"), *OK], b"ok"), server="x") as server:
        client = await server.client()
        client.send(get())
        head = await client.head()
        assert (head.count(b"date:"), head.count(b"server:")) == (1, 1)
        assert (field_of(head, b"date"), field_of(head, b"server")) == (b"then", b"mine")


async def test_the_client_is_asked_to_continue_when_the_body_is_first_wanted() -> None:
    gate = asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        await gate.wait()
        await echo(exchange)

    async with serving(answer) as server:
        client = await server.client()
        body = post("/", b"body", "Expect: 100-continue\r\n")
        client.send(body[:-4])
        await until(lambda: server.dispatcher.seen)
        gate.set()
        assert await client.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"body")
        assert await client.response() == (200, b"POST / body")
        assert await client.ask() == (200, b"GET / ")


async def test_a_client_that_sent_its_body_is_not_asked_to_continue() -> None:
    async with serving() as server:
        client = await server.client()
        client.send(post("/", b"body", "Expect: 100-continue\r\n"))
        assert await client.response() == (200, b"POST / body")


async def test_an_answer_without_asking_for_the_body_ends_the_connection() -> None:
    async with serving(answer_with(403, OK, b"no")) as server:
        client = await server.client()
        client.send(post("/", b"body", "Expect: 100-continue\r\n")[:-4])
        head = await client.head()
        assert (head[9:12], field_of(head, b"connection")) == (b"403", b"close")
        assert await client.rest() == b"no"


async def test_a_body_that_the_application_left_is_dropped_and_the_connection_goes_on() -> None:
    async with serving(answer_with(200, OK, b"ok")) as server:
        client = await server.client()
        for request in (post("/", b"x" * 100_000), chunked("/", b"x" * 50_000, b"y" * 50_000)):
            client.send(request[:200])
            assert await client.response() == (200, b"ok")
            client.send(request[200:])
        assert await client.ask() == (200, b"ok")


@pytest.mark.parametrize("request_", [post("/", b"x" * 2_000_000), chunked("/", b"x" * 2_000_000)])
async def test_a_body_too_long_to_drop_ends_the_connection_after_the_answer(request_: bytes) -> None:
    async with serving(answer_with(200, OK, b"ok")) as server:
        client = await server.client()
        client.send(request_)
        assert await client.response() == (200, b"ok")
        await until(lambda: client.reader.at_eof() or client.reader.exception() is not None)


async def test_reading_pauses_while_the_application_does_not_take_the_body() -> None:
    gate = asyncio.Event()

    async def late(exchange: Exchange) -> None:
        await gate.wait()
        size = 0
        async for piece in exchange.request.stream():
            size += len(piece)
        content = str(size).encode()
        exchange.start(200, [(b"content-length", str(len(content)).encode())])
        exchange.write(content)
        exchange.end()

    async with serving(late) as server:
        client = await server.client()
        client.send(post("/", b"x" * 3_000_000))
        await until(lambda: server.dispatcher.seen)
        exchange = server.dispatcher.seen[0]
        assert isinstance(exchange, WireExchange)
        incoming = exchange.incoming
        assert incoming is not None
        await until(lambda: incoming.full)
        await asyncio.sleep(0.02)
        assert incoming.size <= HIGH_WATER
        gate.set()
        assert await client.response() == (200, b"3000000")


async def test_a_connection_goes_on_after_a_body_of_which_all_waited_that_may() -> None:
    raw = post("/a", b"x" * HIGH_WATER)
    async with serving() as server:
        client = await server.client()
        (connection,) = server.connections
        assert isinstance(connection, HttpConnection)
        while raw:  # as a loop reads that finds its buffer filled each time
            space = connection.get_buffer(-1)
            size = min(len(space), len(raw))
            space[:size], raw = raw[:size], raw[size:]
            connection.buffer_updated(size)
        assert await client.response() == (200, b"POST /a " + b"x" * HIGH_WATER)
        assert await client.ask("/b") == (200, b"GET /b ")


async def test_what_follows_a_body_in_the_same_read_is_the_next_request() -> None:
    async with serving() as server:
        client = await server.client()
        for request in (post("/a", b"x" * 200_000), chunked("/b", b"x" * 100_000, b"x" * 100_000)):
            client.send(request[:100])
            await client.writer.drain()
            client.send(request[100:] + get("/c"))
            assert (await client.response())[1].endswith(b"x" * 200_000)
            assert await client.response() == (200, b"GET /c ")


async def test_reading_goes_on_behind_a_body_that_came_whole_before_the_application_took_of_it() -> None:
    began = asyncio.Event()

    async def late_echo(exchange: Exchange) -> None:
        await began.wait()
        await echo(exchange)

    async with serving(late_echo) as server:
        client = await server.client()
        client.send(post("/large", bytes(HIGH_WATER)))
        await client.writer.drain()
        await until(lambda: server.dispatcher.seen)
        upload = server.dispatcher.seen[0]
        assert isinstance(upload, WireExchange)
        await until(lambda: upload.incoming is not None and upload.incoming.source is Source.COMPLETE)
        began.set()
        assert (await client.response())[0] == 200
        assert await client.ask("/next") == (200, b"GET /next ")


async def test_writing_waits_for_a_client_that_does_not_read() -> None:
    taken = []

    async def flood(exchange: Exchange) -> None:
        exchange.start(200, [])
        for number in range(400):
            exchange.write(b"x" * 50_000)
            await exchange.drain()
            taken.append(number)
        exchange.end()

    async with serving(flood) as server:
        client = await server.client(receive_buffer=4096)
        client.send(get(fields="Connection: close\r\n"))
        await until(lambda: taken)
        await until(lambda: len(server.dispatcher.tasks) == 1)
        await asyncio.sleep(0.05)
        assert len(taken) < 300
        content = (await client.rest()).partition(b"\r\n\r\n")[2]
        assert content.count(b"x") == 400 * 50_000
        assert len(taken) == 400


async def test_a_client_that_shut_its_write_side_still_gets_its_answers() -> None:
    shut = asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        await shut.wait()
        await echo(exchange)

    async with serving(slow) as server:
        client = await server.client()
        client.send(get("/a") + get("/b"))
        client.shut()
        await until(lambda: all(connection.outlet.client_shut for connection in server.connections))
        shut.set()
        assert await client.response() == (200, b"GET /a ")
        assert await client.response() == (200, b"GET /b ")
        assert await client.rest() == b""
        await until(lambda: not len(server.connections))


async def test_a_client_that_leaves_in_the_middle_of_its_body_is_answered_and_reported() -> None:
    seen: list[str] = []

    async def read(exchange: Exchange) -> None:
        try:
            await exchange.request.body()
        except Disconnected:
            seen.append("disconnected")
        exchange.start(200, [])
        exchange.end()

    async with serving(read) as server:
        client = await server.client()
        client.send(post("/", b"12345")[:-1])
        client.shut()
        assert (await client.response())[0] == 400
        await until(lambda: seen == ["disconnected"])
        assert not server.dispatcher.faults


async def test_a_request_in_flight_hears_that_its_client_is_gone() -> None:
    gone = asyncio.Event()

    async def wait(exchange: Exchange) -> None:
        await exchange.wait_disconnected()
        assert not exchange.connected
        gone.set()
        exchange.start(200, [])
        exchange.write(b"nobody reads this")
        exchange.end()

    async with serving(wait, Limits(half_closed=0.05)) as server:
        client = await server.client()
        client.send(get())
        await until(lambda: server.dispatcher.seen)
        await client.close()
        await asyncio.wait_for(gone.wait(), 5)
        assert not server.dispatcher.faults


async def test_a_reset_is_heard_at_once() -> None:
    gone = asyncio.Event()

    async def wait(exchange: Exchange) -> None:
        await exchange.wait_disconnected()
        gone.set()

    async with serving(wait) as server:
        client = await server.client()
        client.send(get())
        await until(lambda: server.dispatcher.seen)
        client.writer.transport.abort()
        client.writer.get_extra_info("socket")
        for connection in server.connections:
            connection.abort()
        await asyncio.wait_for(gone.wait(), 5)


async def test_waiting_for_the_client_to_leave_ends_with_the_answer() -> None:
    waited = asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        watching = asyncio.Event()

        async def watch() -> None:
            watching.set()
            await exchange.wait_disconnected()
            waited.set()

        task = asyncio.ensure_future(watch())
        await watching.wait()
        await echo(exchange)
        await task

    async with serving(answer) as server:
        client = await server.client()
        await client.ask()
        await asyncio.wait_for(waited.wait(), 5)


async def test_a_body_longer_than_announced_becomes_a_500() -> None:
    async with serving(answer_with(200, OK, b"long")) as server:
        client = await server.client()
        client.send(get())
        assert (await client.response())[0] == 500
        assert await client.rest() == b""
        assert isinstance(server.dispatcher.faults[0], BadResponse)


async def test_a_body_shorter_than_announced_becomes_a_500() -> None:
    async with serving(answer_with(200, [(b"content-length", b"10")], b"short")) as server:
        client = await server.client()
        client.send(get())
        assert (await client.response())[0] == 500
        assert isinstance(server.dispatcher.faults[0], BadResponse)


async def test_a_wrong_length_that_shows_too_late_cuts_the_connection() -> None:
    head_seen = asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        exchange.start(200, [(b"content-length", b"10")])
        exchange.write(b"short")
        await head_seen.wait()
        exchange.end()

    async with serving(answer) as server:
        client = await server.client()
        client.send(get())
        await client.head()
        head_seen.set()
        assert await client.rest() == b"short"
        assert isinstance(server.dispatcher.faults[0], BadResponse)


async def test_what_is_written_beyond_the_announced_length_never_reaches_the_client() -> None:
    head_seen = asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        exchange.start(200, OK)
        exchange.write(b"ok")
        with pytest.raises(BadResponse):
            exchange.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await head_seen.wait()

    async with serving(answer) as server:
        client = await server.client()
        client.send(get() + get())
        await client.head()
        head_seen.set()
        assert await client.rest() == b"ok"
        assert not server.dispatcher.faults


async def test_an_aborted_answer_shows() -> None:
    head_seen = asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        exchange.start(200, [])
        exchange.write(b"begun")
        await head_seen.wait()
        exchange.abort()

    async with serving(answer) as server:
        client = await server.client()
        client.send(get())
        await client.head()
        head_seen.set()
        assert await client.rest() == b"5\r\nbegun\r\n"
        head_seen.clear()
        client = await server.client()
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        await client.head()
        head_seen.set()
        with pytest.raises(ConnectionResetError):
            await client.rest()


async def test_fields_that_would_split_the_response_are_refused_and_another_answer_may_follow() -> None:
    async def answer(exchange: Exchange) -> None:
        with pytest.raises(BadResponse):
            exchange.start(302, [(b"location", b"/\r\nset-cookie: stolen")])
        exchange.start(500, OK)
        exchange.write(b"no")
        exchange.end()

    async with serving(answer) as server:
        client = await server.client()
        assert await client.ask() == (500, b"no")
        assert not server.dispatcher.faults


async def test_fields_may_be_given_as_lists() -> None:
    fields: list[tuple[bytes, bytes]] = [[b"x-one", b"1"], *OK]  # type: ignore[list-item]
    async with serving(answer_with(200, fields, b"ok")) as server:
        client = await server.client()
        for _ in range(2):
            client.send(get())
            assert field_of(await client.head(), b"x-one") == b"1"
            assert await client.exactly(2) == b"ok"


async def test_equal_heads_do_not_share_their_fields() -> None:
    async def answer(exchange: Exchange) -> None:
        assert exchange.request.headers.raw == [(b"host", b"test")]
        exchange.request.headers["x-seen"] = "yes"
        exchange.start(200, OK)
        exchange.write(b"ok")
        exchange.end()

    async with serving(answer) as server:
        client = await server.client()
        for _ in range(3):
            assert await client.ask() == (200, b"ok")
        assert not server.dispatcher.faults


async def test_an_answer_out_of_order_is_refused() -> None:
    async def answer(exchange: Exchange) -> None:
        with pytest.raises(BadResponse):
            exchange.write(b"early")
        with pytest.raises(BadResponse):
            exchange.end()
        exchange.start(200, OK)
        with pytest.raises(BadResponse):
            exchange.start(200, OK)
        exchange.write(b"ok")
        exchange.end()
        with pytest.raises(BadResponse):
            exchange.write(b"late")

    async with serving(answer) as server:
        client = await server.client()
        assert await client.ask() == (200, b"ok")
        assert not server.dispatcher.faults


async def test_a_large_answer_arrives_whole() -> None:
    content = bytes(range(256)) * 4096
    async with serving(answer_with(200, [], content)) as server:
        client = await server.client()
        assert await client.ask() == (200, content)


async def test_peer_and_own_address_are_told() -> None:
    async with serving() as server:
        client = await server.client()
        await client.ask()
        request = server.dispatcher.seen[0].request
        assert request.client == client.writer.get_extra_info("sockname")
        assert request.server == server.listener.getsockname()
