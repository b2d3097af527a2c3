"""`compression`: for clients that take it, where it may be and is worth it, and never late."""

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import brotli
import pytest
import zstandard

from changeover.workers.handlers.encoders import is_there
from changeover.workers.handlers.negotiation import best_encoding
from changeover.workers.serving.contract import CallContext, Request, Response
from tests.exchange import MemoryExchange
from tests.ready_made import KINDS, answering, parts, serve
from tests.taken_threads import loop_threads_taken
from tests.waits import until
from tests.websockets_wire import speaking
from tests.wire import get

TEXT = b"the same words again and again; " * 200
DECODE: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.decompress,
    "br": brotli.decompress,
    "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("encoding", DECODE)
@pytest.mark.parametrize("whole", [True, False])
async def test_a_body_is_compressed_for_who_takes_it(kind: str, encoding: str, whole: bool) -> None:
    target = answering(kind, TEXT, b"the end", whole=whole, content_type="text/plain; charset=utf-8", etag='"v1"')
    answer = await serve(target, "compression").get(accept_encoding=encoding)
    assert DECODE[encoding](answer.body) == TEXT + b"the end"
    assert len(answer.body) < 1000
    assert answer.headers["content-encoding"] == encoding
    assert (answer.headers["vary"], answer.headers["etag"]) == ("Accept-Encoding", 'W/"v1"')
    assert answer.headers.get("content-length", str(len(answer.body))) == str(len(answer.body))


@pytest.mark.parametrize(
    "fields",
    [
        {"content_encoding": "br"},
        {"cache_control": "private, No-Transform"},
        {"content_range": "bytes 0-9/100"},
        {"content_type": "image/png"},
        {"content_type": ""},
    ],
    ids=str,
)
async def test_what_must_not_or_need_not_be_is_the_same_bytes(fields: dict[str, str]) -> None:
    async def fixed(request: Request, call: CallContext) -> Response:
        response = Response.text(TEXT.decode())
        response.headers.update({name.replace("_", "-"): value for name, value in fields.items()})
        return response

    answer = await serve(fixed, "compression").get(accept_encoding="gzip")
    assert answer.body == TEXT
    assert "vary" not in answer.headers
    assert answer.headers.get("content-encoding") == fields.get("content_encoding")


@pytest.mark.parametrize("kind", KINDS)
async def test_without_the_clients_wish_the_body_is_the_same_object(kind: str) -> None:
    body = bytes(TEXT)
    for target in (answering("native", body, content_type="text/css"), answering(kind, body, content_type="text/css")):
        answer = await serve(target, "compression").get(accept_encoding="identity")
        assert answer.headers["vary"] == "Accept-Encoding"
        assert answer.pieces[0] is body


async def test_short_bodies_stay_as_they_are_and_so_does_what_would_grow() -> None:
    short = answering("native", b"x" * 1023, content_type="text/plain")
    assert "content-encoding" not in (await serve(short, "compression").get(accept_encoding="gzip")).headers
    noise = answering("native", zlib.compress(TEXT)[:64], content_type="text/plain")
    kept = await serve(noise, {"use": "compression", "min_size": 1}).get(accept_encoding="gzip")
    assert "content-encoding" not in kept.headers


async def test_a_long_body_is_compressed_beside_the_loop_and_beside_code_that_blocks_in_its_threads() -> None:
    long = answering("native", TEXT * 100, content_type="text/plain")
    with loop_threads_taken():
        answer = await asyncio.wait_for(serve(long, "compression").get(accept_encoding="gzip"), 10)
    assert gzip.decompress(answer.body) == TEXT * 100


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("silent", [True, False])
async def test_head_says_what_get_says_and_the_same_length_or_none(kind: str, whole: bool, silent: bool) -> None:
    """`silent` leaves the body out by itself, and announces the length that it knows; others leave that to the wire."""
    fields: dict[str, Any] = {"content_type": "text/plain", "etag": '"v1"'}
    if silent:
        fields["content_length"] = str(len(TEXT))
    heads: dict[str, dict[str, str]] = {}
    for method, body in (("GET", TEXT), ("HEAD", b"" if silent else TEXT)):
        target = answering(kind, body, whole=whole, **fields)
        async with speaking(target, *parts("compression")) as server:
            client = await server.client()
            client.send(get(fields="Accept-Encoding: gzip\r\n", method=method))
            lines = (await client.head()).decode().split("\r\n")[1:-2]
            heads[method] = dict(line.split(": ") for line in lines if not line.startswith("date"))
            if method == "HEAD":
                client.shut()
                assert await client.rest() == b""
    own = heads["HEAD"].pop("content-length", None)
    assert own in (heads["GET"].pop("content-length", None), None)
    heads["GET"].pop("transfer-encoding", None)
    assert heads["HEAD"] == heads["GET"]
    assert heads["GET"]["content-encoding"] == "gzip"
    assert own is not None or silent or not whole


@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_empty_stays_so(kind: str) -> None:
    target = answering(kind, b"", content_type="text/plain")
    answer = await serve(target, {"use": "compression", "min_size": 0}).get(accept_encoding="gzip")
    assert (answer.body, "content-encoding" in answer.headers) == (b"", False)


async def test_an_event_can_be_read_before_the_next_is_there() -> None:
    more = asyncio.Event()

    async def events() -> AsyncIterator[bytes]:
        yield b"data: 1\n\n"
        await more.wait()
        yield b"data: 2\n\n"

    async def stream(request: Request, call: CallContext) -> Response:
        response = Response(events())
        response.headers["content-type"] = "text/event-stream"
        return response

    served = serve(stream, "compression")
    exchange = MemoryExchange(headers=[(b"accept-encoding", b"gzip")])
    assert served.dispatcher.dispatch(exchange)
    inflate = zlib.decompressobj(wbits=31)
    await until(lambda: exchange.pieces, "the first event")
    assert inflate.decompress(exchange.pieces[0]) == b"data: 1\n\n"
    more.set()
    await until(lambda: exchange.ended, "the end")
    assert inflate.decompress(b"".join(exchange.pieces[1:])) == b"data: 2\n\n"


async def test_a_stream_that_nobody_reads_any_more_is_closed() -> None:
    closed: list[bool] = []

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield TEXT
                await asyncio.sleep(0)
        finally:
            closed.append(True)

    async def stream(request: Request, call: CallContext) -> Response:
        response = Response(endless())
        response.headers["content-type"] = "text/plain"
        return response

    served = serve(stream, "compression")
    exchange = MemoryExchange(headers=[(b"accept-encoding", b"gzip")])
    assert served.dispatcher.dispatch(exchange)
    await until(lambda: len(exchange.pieces) > 2, "some pieces")
    exchange.hang_up()
    await until(lambda: not served.units.leases, "the end")
    assert closed == [True]


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", ""),
        ("gzip", "gzip"),
        ("gzip, br, zstd", "zstd"),
        ("gzip;q=1.0, br;q=0.5", "gzip"),
        ("*", "zstd"),
        ("*;q=0.1, gzip;q=0.2", "gzip"),
        ("gzip;q=0", ""),
        ("gzip;q=0, *;q=0", ""),
        ("identity, gzip;q=0.5", ""),
        ("GZIP ; Q=0.5", "gzip"),
        ("gzip;q=lots", ""),
        ("deflate", ""),
        (",,;q=1,gzip", "gzip"),
    ],
)
def test_the_client_chooses_and_among_equals_we_do(accept: str, chosen: str) -> None:
    assert best_encoding(accept, ("zstd", "br", "gzip")) == chosen


def test_nothing_is_offered_for_which_there_is_no_library() -> None:
    assert best_encoding("gzip, *", ()) == ""
    assert is_there("gzip")
