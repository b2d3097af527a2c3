"""A connection, from the client's side: streams, bodies, windows, and what leaves in which write."""

import asyncio

import pytest
from h2.errors import ErrorCodes

from changeover.workers.http.faults import BadResponse
from changeover.workers.serving.exchange import Disconnected, Exchange, RawHeaders
from tests.http2_wire import connection_of, spoken
from tests.waits import until
from tests.wire import answer_with, echo

MIB = 1024 * 1024


async def test_a_client_with_prior_knowledge_is_answered_on_many_streams_of_one_connection() -> None:
    async with spoken() as (server, client):
        numbers = [client.ask(f"/{number}") for number in range(20)]
        answers = [await client.answer(number) for number in numbers]
        assert [answer.body for answer in answers] == [f"GET /{number} ".encode() for number in range(20)]
        assert {answer.status for answer in answers} == {200}
        assert "date" in answers[0].fields
        assert len(server.connections) == 1
        exchange = server.dispatcher.seen[0]
        assert exchange.request.http_version == "2"
        assert exchange.request.headers.raw == [(b"host", b"test")]
        assert exchange.outcome.client == exchange.request.client


async def test_a_body_goes_through_windows_smaller_than_it_both_ways() -> None:
    body = bytes(range(256)) * 4 * 4096
    async with spoken() as (_, client):
        answer = await client.post("/up", body)
        assert answer.body == b"POST /up " + body
        assert max(answer.frames) <= 16384


async def test_a_body_that_nobody_takes_is_held_within_the_window() -> None:
    gate = asyncio.Event()

    async def late(exchange: Exchange) -> None:
        await gate.wait()
        await echo(exchange)

    async with spoken(late) as (server, client):
        number = client.ask("/", "POST", more=True)
        sending = asyncio.ensure_future(client.give(number, bytes(MIB)))
        await until(lambda: client.engine.local_flow_control_window(number) == 0)
        stream = server.dispatcher.seen[0]
        await until(lambda: stream.received == 256 * 1024)  # type: ignore[attr-defined]
        gate.set()
        await sending
        assert len((await client.answer(number)).body) == MIB + len("POST / ")


async def test_an_application_waits_for_a_client_that_opens_no_window_and_others_go_on() -> None:
    written = 0

    async def endless(exchange: Exchange) -> None:
        nonlocal written
        if exchange.request.path != "/endless":
            await echo(exchange)
            return
        exchange.start(200, [])
        while exchange.connected:
            exchange.write(bytes(8192))
            written += 8192
            await exchange.drain()

    async with spoken(endless, window=10_000) as (server, client):
        client.taking = False
        stuck = client.ask("/endless")
        connection = connection_of(server)
        await until(lambda: server.dispatcher.seen and connection.streams.waits_for_window(server.dispatcher.seen[0]))  # type: ignore[arg-type]
        assert (await client.get("/other")).body == b"GET /other "
        assert written < 100_000
        client.give_up(stuck)
        await until(lambda: not server.dispatcher.tasks)
        assert not server.dispatcher.faults


async def test_streams_take_turns_with_their_frames() -> None:
    gate = asyncio.Event()

    async def large(exchange: Exchange) -> None:
        await gate.wait()
        exchange.start(200, [])
        exchange.write(bytes(60_000))
        exchange.end()

    async with spoken(large) as (server, client):
        numbers = [client.ask() for _ in range(3)]
        await until(lambda: len(server.dispatcher.seen) == 3)
        client.engine.increment_flow_control_window(MIB)
        client.flush()
        gate.set()
        for number in numbers:
            assert len((await client.answer(number)).body) == 60_000
        assert client.order[:6] == [*numbers, *numbers]


async def test_an_answer_that_is_complete_at_once_gets_a_length_and_one_write_with_others() -> None:
    async with spoken(answer_with(200, [], b"one ", b"two")) as (server, client):
        await client.get()
        connection = connection_of(server)
        writes: list[int] = []

        class Counting(type(connection.outlet)):  # type: ignore[misc]
            __slots__ = ()

            def send(self, pieces: list[bytes], size: int) -> None:
                writes.append(size)
                super().send(pieces, size)

        connection.outlet.__class__ = Counting
        first, second = client.ask(), client.ask()
        answers = [await client.answer(first), await client.answer(second)]
        assert [answer.fields["content-length"] for answer in answers] == ["7", "7"]
        assert len(writes) == 1


@pytest.mark.parametrize(
    ("method", "status", "length"), [("HEAD", 200, "7"), ("GET", 204, None), ("GET", 304, "7")], ids=str
)
async def test_an_answer_without_a_body_has_none(method: str, status: int, length: str | None) -> None:
    async with spoken(answer_with(status, [(b"content-length", b"7")], b"one two")) as (_, client):
        answer = await client.answer(client.ask(method=method))
        assert answer.status == status
        assert answer.body == b""
        assert answer.ended
        assert answer.fields.get("content-length") == length


async def test_a_client_that_waits_to_be_asked_for_its_body_is_asked_once_somebody_wants_it() -> None:
    async with spoken() as (_, client):
        number = client.ask("/", "POST", [("expect", "100-continue")], more=True)
        await until(lambda: client.answers[number].informed == [100])
        await client.give(number, b"body")
        assert (await client.answer(number)).body == b"POST / body"


async def test_a_client_that_waits_to_be_asked_is_told_to_stop_when_nobody_asks() -> None:
    async with spoken(answer_with(403, [])) as (_, client):
        number = client.ask("/", "POST", [("expect", "100-continue")], more=True)
        await until(lambda: client.answers[number].reset == 0)
        assert client.answers[number].status == 403
        assert client.answers[number].informed == []
        assert (await client.get("/")).status == 403


async def test_what_is_left_of_a_body_after_the_answer_is_dropped_up_to_a_bound() -> None:
    async with spoken(answer_with(403, [])) as (server, client):
        assert (await client.post("/", bytes(100_000))).status == 403
        number = client.ask("/", "POST", more=True)
        await client.give(number, bytes(4 * MIB))
        assert client.answers[number].reset == 0
        assert (await client.get("/")).status == 403
        assert len(connection_of(server).streams) == 0


async def test_trailers_end_a_body() -> None:
    async with spoken() as (_, client):
        number = client.ask("/", "POST", more=True)
        await client.give(number, b"body", last=False)
        client.engine.send_headers(number, [("checksum", "1")], end_stream=True)
        client.flush()
        assert (await client.answer(number)).body == b"POST / body"


async def test_a_request_has_the_fields_behind_its_body_once_that_is_read() -> None:
    seen: list[RawHeaders] = []

    async def answer(exchange: Exchange) -> None:
        seen.append(list(exchange.request.trailers.raw))
        await exchange.request.body()
        seen.append(list(exchange.request.trailers.raw))
        exchange.start(204, [])
        exchange.end()

    async with spoken(answer) as (server, client):
        number = client.ask("/", "POST", more=True)
        await client.give(number, b"body", last=False)
        await until(lambda: seen, "the request to begin")
        client.engine.send_headers(number, [("x-sum", "a b"), ("x-sum", "c")], end_stream=True)
        client.flush()
        assert (await client.answer(number)).status == 204
        assert seen == [[], [(b"x-sum", b"a b"), (b"x-sum", b"c")]]
        assert len(connection_of(server).streams) == 0


async def test_what_cannot_stand_behind_a_body_takes_nothing_of_an_answer_that_is_complete() -> None:
    async def early(exchange: Exchange) -> None:
        exchange.start(200, [])
        exchange.write(bytes(200_000))
        exchange.end()

    async with spoken(early, window=1000) as (server, client):
        client.taking = False
        number = client.ask("/", "POST", more=True)
        await until(lambda: server.dispatcher.seen and not server.dispatcher.tasks, "the answer to be complete")
        client.engine.send_headers(number, [("content-length", "4")], end_stream=True)
        client.engine.increment_flow_control_window(MIB)
        client.engine.increment_flow_control_window(MIB, number)
        client.flush()
        client.taking = True
        answer = await client.answer(number)
        assert (answer.status, len(answer.body), answer.reset) == (200, 200_000, None)


@pytest.mark.parametrize(
    ("field", "why"),
    [
        ((":path", "/b"), "a trailer is no header field"),
        (("X-Sum", "1"), "a trailer is no header field"),
        (("x-sum", "1\r\nhost: b"), "a trailer is no header field"),
        (("content-length", "4"), "content-length cannot be a trailer"),
        (("host", "b"), "host cannot be a trailer"),
        (("transfer-encoding", "chunked"), "transfer-encoding cannot be a trailer"),
        (("x-sum", "1" * 16 * 1024), "trailers take more than 16384 bytes"),
    ],
)
async def test_what_cannot_stand_behind_a_body_is_refused_and_the_others_are_served(
    field: tuple[str, str], why: str
) -> None:
    async with spoken() as (_, client):
        number = client.ask("/", "POST", more=True)
        await client.give(number, b"body", last=False)
        client.engine.send_headers(number, [field], end_stream=True)
        client.flush()
        answer = await client.answer(number)
        assert (answer.status, answer.body) == (400, f"{why}\n".encode())
        assert (await client.get("/a")).body == b"GET /a "


async def test_an_answer_has_fields_behind_its_body_for_who_asks_for_them() -> None:
    async def answer(exchange: Exchange) -> None:
        exchange.start(200, [])
        exchange.write(b"body")
        exchange.end_with([(b"Checksum", b"1")])

    async with spoken(answer) as (_, client):
        asked = client.ask("/", fields=[("te", "trailers")])
        assert (await client.answer(asked)).body == b"body"
        assert client.answers[asked].trailers == {"checksum": "1"}
        assert (await client.get("/")).trailers == {}


async def test_an_answer_of_which_nothing_has_left_is_broken_off_with_one_that_says_so() -> None:
    async def spoiled(exchange: Exchange) -> None:
        exchange.start(200, [(b"x-own", b"1")])
        exchange.write(b"secret")
        exchange.abort()

    async with spoken(spoiled) as (server, client):
        answer = await client.get("/")
        assert (answer.status, answer.body, answer.reset) == (500, b"Internal Server Error\n", None)
        assert "x-own" not in answer.fields
        assert len(connection_of(server).streams) == 0


async def test_an_answer_of_which_something_has_left_is_broken_off_in_the_middle() -> None:
    async def spoiled(exchange: Exchange) -> None:
        exchange.start(200, [])
        exchange.write(b"begun")
        await left.wait()
        exchange.abort()

    left = asyncio.Event()
    async with spoken(spoiled) as (_, client):
        number = client.ask("/")
        await until(lambda: client.answers[number].body == b"begun", "its beginning")
        left.set()
        answer = await client.answer(number)
        assert (answer.status, answer.reset) == (200, ErrorCodes.INTERNAL_ERROR)


async def test_pieces_of_a_cookie_are_one_field() -> None:
    async with spoken() as (server, client):
        await client.get("/", [("cookie", "a=1"), ("accept", "*/*"), ("cookie", "b=2")])
        headers = server.dispatcher.seen[0].request.headers
        assert headers["cookie"] == "a=1; b=2"
        assert headers.all("cookie") == ["a=1; b=2"]


async def test_an_application_learns_that_its_client_gave_up() -> None:
    heard: list[str] = []

    async def waiting(exchange: Exchange) -> None:
        await exchange.wait_disconnected()
        heard.append(exchange.request.path)
        exchange.abort()

    async def reading(exchange: Exchange) -> None:
        try:
            await exchange.request.body()
        except Disconnected:
            heard.append("body")
            raise

    async def both(exchange: Exchange) -> None:
        await (reading if exchange.request.method == "POST" else waiting)(exchange)

    async with spoken(both) as (server, client):
        first, second = client.ask("/a"), client.ask("/b", "POST", more=True)
        await until(lambda: len(server.dispatcher.seen) == 2)
        client.give_up(first)
        await until(lambda: heard == ["/a"])
        client.give_up(second)
        await until(lambda: heard == ["/a", "body"])
        third = client.ask("/c")
        await until(lambda: len(server.dispatcher.seen) == 3)
        await client.close()
        await until(lambda: heard == ["/a", "body", "/c"])
        assert third == 5


async def test_an_answer_that_cannot_be_completed_is_broken_off_and_others_go_on() -> None:
    async def broken(exchange: Exchange) -> None:
        exchange.start(200, [(b"content-length", b"10")])
        exchange.write(b"part")
        await asyncio.sleep(0.01)
        if exchange.request.path == "/short":
            exchange.end()
        exchange.abort()

    async with spoken(broken) as (server, client):
        answers = [await client.get("/abort"), await client.get("/short")]
        assert [(answer.status, answer.body, answer.reset) for answer in answers] == [(200, b"part", 2)] * 2
        (fault,) = server.dispatcher.faults
        assert isinstance(fault, BadResponse)


@pytest.mark.parametrize("fields", [[(b"x", b"a\r\nb")], [(b"a b", b"c")], [(b"content-length", b"many")]])
async def test_an_answer_that_would_break_the_framing_is_refused_before_it_leaves(
    fields: list[tuple[bytes, bytes]],
) -> None:
    async def wrong(exchange: Exchange) -> None:
        with pytest.raises(BadResponse):
            exchange.start(200, fields)
        exchange.start(500, [])
        exchange.end()

    async with spoken(wrong) as (server, client):
        assert (await client.get()).status == 500
        assert not server.dispatcher.faults


async def test_a_body_longer_than_its_length_is_answered_with_500_as_long_as_nothing_has_left() -> None:
    async with spoken(answer_with(200, [(b"content-length", b"1")], b"long")) as (server, client):
        answer = await client.get()
        assert (answer.status, answer.body) == (500, b"Internal Server Error\n")
        assert len(server.dispatcher.faults) == 1


async def test_what_is_about_a_connection_of_http_1_1_is_left_out() -> None:
    fields = [(b"Connection", b"close"), (b"Transfer-Encoding", b"chunked"), (b"Upgrade", b"x"), (b"X-Kept", b"1")]
    async with spoken(answer_with(200, fields)) as (_, client):
        answer = await client.get()
        assert {*answer.fields} == {"x-kept", "date", "content-length"}


async def test_a_held_request_is_offered_again() -> None:
    async with spoken(holding=True) as (server, client):
        number = client.ask("/held")
        await until(lambda: len(connection_of(server).streams) == 1)
        server.dispatcher.holding = False
        server.connections.resume_all()
        assert (await client.answer(number)).body == b"GET /held "


async def test_a_client_that_says_goaway_still_gets_its_answers() -> None:
    gate = asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        await gate.wait()
        await echo(exchange)

    async with spoken(slow) as (server, client):
        number = client.ask("/last")
        await until(lambda: server.dispatcher.seen)
        client.send(b"\0\0\x08\x07\0\0\0\0\0" + bytes(8))
        await asyncio.sleep(0)
        gate.set()
        assert (await client.answer(number)).body == b"GET /last "
        await until(lambda: client.closed)


async def test_a_stream_goes_on_when_its_own_window_opens() -> None:
    async with spoken(answer_with(200, [], bytes(50)), window=10) as (_, client):
        client.taking = False
        number = client.ask()
        await until(lambda: len(client.answers[number].body) == 10)
        client.engine.increment_flow_control_window(40, number)
        client.flush()
        assert len((await client.answer(number)).body) == 50


async def test_websockets_are_not_offered_and_whoever_asks_for_one_is_reset_and_others_go_on() -> None:
    async with spoken() as (_, client):
        other = client.ask("/a", "POST", more=True)
        asked = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", "/chat")]
        number = client.ask_raw([*asked, (":authority", "test"), ("sec-websocket-version", "13")], more=True)
        answer = await client.answer(number)
        assert (answer.status, answer.reset) == (0, ErrorCodes.PROTOCOL_ERROR)
        assert not client.engine.remote_settings.enable_connect_protocol
        await client.give(other, b"b")
        assert (await client.answer(other)).body == b"POST /a b"
