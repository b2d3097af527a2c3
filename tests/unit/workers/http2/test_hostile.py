"""Clients that break the rules, or keep them and mean harm: they cost bounded memory, and nobody else anything."""

import asyncio
import struct

import pytest
from hpack import Encoder

from changeover.workers.channel.limits import Limits
from changeover.workers.http2.connection import FRAMES
from changeover.workers.http2.frames import Frame, Frames
from changeover.workers.serving.exchange import Exchange
from tests.http2_client import Http2Client
from tests.http2_wire import connection_of, spoken
from tests.waits import DEADLINE, until
from tests.wire import WireServer, echo

PROTOCOL_ERROR, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, REFUSED_STREAM, CALM = 0x1, 0x3, 0x6, 0x7, 0xB
GET = ((":method", "GET"), (":scheme", "http"), (":authority", "test"), (":path", "/"))


def frame(kind: int, payload: bytes = b"", flags: int = 0, stream: int = 0) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + struct.pack("!I", stream) + payload


def opened(stream: int, encoder: Encoder, flags: int = 5) -> bytes:
    return frame(1, encoder.encode(GET), flags, stream)


async def condemned(server: WireServer, client: Http2Client, code: int) -> bytes:
    """Wait until the connection has ended with this code; the words that came along."""
    await until(lambda: client.closed, "the end of the connection")
    (goaway,) = client.goaways
    assert goaway[1] == code
    client.writer.close()
    await until(lambda: not len(server.connections))
    await until(lambda: not server.dispatcher.tasks)
    assert not server.dispatcher.faults
    return goaway[2]


FLOODS = {
    "pings": frame(6, bytes(8)),
    "settings": frame(4),
    "priorities": frame(2, bytes(5), stream=1),
    "windows": frame(8, struct.pack("!I", 1)),
    "empty pieces": frame(0, stream=1),
    "unknown frames": frame(99),
}


@pytest.mark.parametrize("flood", FLOODS)
async def test_a_flood_that_asks_for_nothing_is_told_to_calm_down(flood: str) -> None:
    async with spoken() as (server, client):
        client.ask("/", "POST", more=True)
        client.send(FLOODS[flood] * 1500)
        await condemned(server, client, CALM)


async def test_many_small_frames_leave_the_others_their_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    heard, take = 0, Frames.take

    def counted(frames: Frames) -> Frame | None:
        nonlocal heard
        frame = take(frames)
        heard += frame is not None
        return frame

    monkeypatch.setattr(Frames, "take", counted)
    async with spoken() as (_, client):
        number = client.ask("/", "POST", more=True)
        client.send(frame(0, b"x", stream=number) * 20_000 + frame(0, flags=1, stream=number))
        most = 0
        async with asyncio.timeout(DEADLINE):
            while heard < 20_000:
                before = heard
                await asyncio.sleep(0)
                most = max(most, heard - before)
        assert 0 < most <= FRAMES
        answer = await client.answer(number)
        assert (answer.status, len(answer.body)) == (200, len("POST / ") + 20_000)


async def test_a_client_that_pings_now_and_then_is_served() -> None:
    async with spoken() as (_, client):
        client.send(FLOODS["pings"] * 500)
        assert (await client.get()).status == 200
        await until(lambda: len(client.pongs) == 500)


async def test_a_client_that_opens_streams_to_reset_them_is_told_to_calm_down() -> None:
    begun = 0

    async def slow(exchange: Exchange) -> None:
        nonlocal begun
        begun += 1
        await exchange.wait_disconnected()
        exchange.abort()

    async with spoken(slow) as (server, client):
        for _ in range(1000):
            client.give_up(client.ask())
        await condemned(server, client, CALM)
        assert begun < 400


async def test_applications_that_do_not_notice_that_their_client_gave_up_count_as_streams() -> None:
    gate = asyncio.Event()

    async def deaf(exchange: Exchange) -> None:
        await gate.wait()
        await echo(exchange)

    async with spoken(deaf, Limits(streams=10)) as (server, client):
        for _ in range(10):
            client.give_up(client.ask())
        await until(lambda: len(server.dispatcher.tasks) == 10)
        await until(lambda: len(connection_of(server).streams) == 0)
        number = client.ask()
        assert (await client.answer(number)).reset == REFUSED_STREAM
        gate.set()
        await until(lambda: not server.dispatcher.tasks)
        assert (await client.get()).status == 200


async def test_a_stream_too_many_is_refused_and_the_others_go_on() -> None:
    gate = asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        await gate.wait()
        await echo(exchange)

    async with spoken(slow, Limits(streams=3)) as (_, client):
        numbers = [client.ask() for _ in range(3)]
        await until(lambda: client.engine.remote_settings.max_concurrent_streams == 3)
        client.engine.remote_settings.update({3: 100})
        client.engine.remote_settings.acknowledge()
        assert (await client.answer(client.ask())).reset == REFUSED_STREAM
        gate.set()
        assert [(await client.answer(number)).status for number in numbers] == [200] * 3


async def test_fields_that_do_not_end_are_bounded() -> None:
    async with spoken() as (server, client):
        client.send(frame(1, bytes(100), 0, 1) + frame(9, bytes(16000), 0, 1) * 5)
        await condemned(server, client, CALM)


async def test_a_flood_of_continuations_is_bounded() -> None:
    async with spoken() as (server, client):
        client.send(frame(1, b"", 0, 1) + frame(9, b"", 0, 1) * 2000)
        await until(lambda: client.closed)
        assert client.goaways[0][1] in (PROTOCOL_ERROR, CALM)
        assert not server.dispatcher.seen


async def test_a_small_block_that_unfolds_into_a_large_head_is_bounded() -> None:
    encoder = Encoder()
    large = encoder.encode([*GET, ("x", "y" * 3000)])
    bomb = encoder.encode([*GET, *[("x", "y" * 3000)] * 200])
    assert len(bomb) < 1000
    async with spoken(limits=Limits(head=16384)) as (server, client):
        client.send(frame(1, large, 5, 1) + frame(1, bomb, 5, 3))
        await condemned(server, client, CALM)


async def test_a_head_that_is_a_little_too_large_is_answered() -> None:
    async with spoken(limits=Limits(head=4096)) as (_, client):
        assert (await client.get("/", [("x", "y" * 4000)])).status == 431
        assert (await client.get()).status == 200


async def test_a_client_that_wants_a_huge_table_of_fields_does_not_get_it() -> None:
    async with spoken() as (server, client):
        client.engine.decoder.max_allowed_table_size = 2**31
        client.send(frame(4, struct.pack("!HI", 1, 2**31)))
        assert (await client.get()).status == 200
        session = connection_of(server)._session
        assert session._engine.encoder.header_table_size == 4096


VIOLATIONS: dict[str, tuple[bytes, int]] = {
    "a frame that is too long": (frame(0, bytes(16385), stream=1), FRAME_SIZE_ERROR),
    "a window beyond all bounds": (frame(8, struct.pack("!I", 2**31 - 1)), FLOW_CONTROL_ERROR),
    "a window opened by nothing": (frame(8, struct.pack("!I", 0)), PROTOCOL_ERROR),
    "a body without a head": (frame(0, b"x", stream=101), PROTOCOL_ERROR),
    "an even stream": (opened(2, Encoder()), PROTOCOL_ERROR),
    "fields that are no HPACK": (frame(1, b"\xff\xff\xff\xff\xff", 5, 1), 0x9),
    "a promise of a client": (frame(5, struct.pack("!I", 2), 4, 1), PROTOCOL_ERROR),
    "settings of a bad length": (frame(4, b"abc"), FRAME_SIZE_ERROR),
}


@pytest.mark.parametrize("name", VIOLATIONS)
async def test_who_breaks_the_protocol_is_told_so_and_the_connection_ends(name: str) -> None:
    raw, code = VIOLATIONS[name]
    async with spoken() as (server, client):
        await client.get()
        client.send(raw)
        await until(lambda: client.closed)
        assert client.goaways[0][1] in (code, PROTOCOL_ERROR)
        await until(lambda: not len(server.connections))


async def test_a_window_beyond_all_bounds_ends_only_its_stream() -> None:
    async def waiting(exchange: Exchange) -> None:
        await exchange.wait_disconnected()
        exchange.abort()

    async with spoken(waiting) as (server, client):
        number = client.ask()
        await until(lambda: server.dispatcher.seen)
        client.send(frame(8, struct.pack("!I", 2**31 - 1), stream=number))
        assert (await client.answer(number)).reset == FLOW_CONTROL_ERROR
        await until(lambda: not server.dispatcher.tasks)
        assert not client.closed


async def test_what_begins_like_http_2_and_goes_on_otherwise_is_closed() -> None:
    async with spoken() as (server, client):
        reader, writer = await asyncio.open_connection(*server.listener.getsockname())
        writer.write(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n")
        assert (await reader.read())[9:].find(b"this is not the beginning of HTTP/2") > 0
        writer.close()
        assert (await client.get()).status == 200


@pytest.mark.parametrize(
    "head",
    [
        [*GET, ("X-Upper", "1")],
        [*GET, ("connection", "close")],
        [*GET, ("transfer-encoding", "chunked")],
        [*GET, ("te", "gzip")],
        [*GET, ("x", "a\r\nb: c")],
        [*GET, ("x", " a")],
        [*GET, ("a b", "c")],
        [*GET, (":path", "/other")],
        [*GET, (":status", "200")],
        [*GET[:3]],
        [*GET[1:]],
        [GET[0], GET[2], GET[3]],
        [GET[0], ("x", "1"), *GET[1:]],
        [*GET[:3], (":path", "")],
        [*GET[:3], (":path", "http://other/")],
        [*GET[:3], (":path", "/a HTTP/1.1")],
        [*GET[:3], (":path", "/a\tb")],
        [(":method", "G T"), *GET[1:]],
        [GET[0], (":scheme", "ftp"), *GET[2:]],
    ],
    ids=str,
)
async def test_a_request_that_is_none_costs_its_stream_alone(head: list[tuple[str, str]]) -> None:
    async with spoken() as (server, client):
        answer = await client.answer(client.ask_raw(head))
        assert answer.reset == PROTOCOL_ERROR
        assert not server.dispatcher.seen
        assert (await client.get()).status == 200


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ([GET[0], GET[1], GET[3]], 400),
        ([*GET, ("host", "other")], 400),
        ([GET[0], GET[1], (":authority", "user@test"), GET[3]], 400),
        ([GET[0], GET[1], GET[3], ("host", "test"), ("host", "test")], 400),
        ([*GET[:3], (":path", "/" + "a" * 9000)], 414),
        ([*GET[:3], (":path", "/#fragment")], 400),
        ([*GET[:3], (":path", "*")], 400),
        ([(":method", "CONNECT"), (":authority", "test:443")], 501),
        ([*GET, ("expect", "a miracle")], 417),
        ([*GET, *[(f"x{number}", "y") for number in range(101)]], 431),
    ],
    ids=str,
)
async def test_a_request_that_cannot_be_served_is_answered(head: list[tuple[str, str]], status: int) -> None:
    async with spoken() as (server, client):
        answer = await client.answer(client.ask_raw(head))
        assert answer.status == status
        assert answer.body
        assert not server.dispatcher.seen
        assert (await client.get()).status == 200


@pytest.mark.parametrize("path", ["/", "/" + 9000 * "a"], ids=["served", "refused at its head"])
async def test_an_answer_to_head_has_no_body_whoever_gives_it(path: str) -> None:
    async with spoken() as (_, client):
        number = client.ask(path, "HEAD")
        answer = await client.answer(number)
        assert (answer.status, answer.body, answer.frames, answer.ended) == (200 if path == "/" else 414, b"", [], True)
        assert int(answer.fields["content-length"]) > 0
        assert (await client.get("/")).body == b"GET / "


async def test_a_body_that_is_too_long_is_answered_whether_announced_or_not() -> None:
    async with spoken(limits=Limits(body=1000)) as (_, client):
        announced = client.ask("/", "POST", [("content-length", "2000")], more=True)
        assert (await client.answer(announced)).status == 413
        grown = client.ask("/", "POST", more=True)
        await client.give(grown, bytes(2000))
        assert (await client.answer(grown)).status == 413
        assert (await client.post("/", bytes(1000))).status == 200


async def test_padding_does_not_use_up_the_window() -> None:
    async with spoken() as (_, client):
        number = client.ask("/", "POST", more=True)
        for _ in range(2000):
            await until(lambda: client.engine.local_flow_control_window(number) > 256)
            client.engine.send_data(number, b"x", pad_length=255)
            client.flush()
        client.engine.end_stream(number)
        client.flush()
        assert len((await client.answer(number)).body) == 2000 + len("POST / ")


async def test_who_writes_to_a_client_that_is_gone_lets_others_hear_of_it() -> None:
    """Between the loop and who can stop the writer there are some turns: a framework's tasks."""
    heard = asyncio.Event()

    async def listen(exchange: Exchange) -> None:
        await exchange.wait_disconnected()
        for _ in range(5):
            await asyncio.sleep(0)
        heard.set()

    async def endless(exchange: Exchange) -> None:
        listening = asyncio.ensure_future(listen(exchange))
        exchange.start(200, [])
        for _ in range(100_000):
            if heard.is_set():
                break
            exchange.write(bytes(65536))
            await exchange.drain()
        else:
            raise AssertionError("nobody heard that the client is gone")
        exchange.abort()
        await listening

    async with spoken(endless) as (server, client):
        number = client.ask()
        await until(lambda: client.answers[number].body)
        await client.close()
        await until(lambda: not server.dispatcher.tasks and not len(server.connections))
        assert not server.dispatcher.faults
