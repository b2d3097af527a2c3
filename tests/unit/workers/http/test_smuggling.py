"""Requests that two servers could read differently: each is refused, and nothing behind it is dispatched."""

import re

import pytest

from tests.memory_connection import MemoryConnection
from tests.wire import get

SMUGGLED = get("/smuggled")
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


def head(*lines: bytes, start: bytes = b"POST /a HTTP/1.1", host: bytes = b"Host: test") -> bytes:
    """A head of these lines."""
    return b"\r\n".join(filter(None, (start, host, *lines, b"\r\n")))


def with_length(*lines: bytes) -> bytes:
    return head(*lines) + b"hello"


def coded(*lines: bytes, body: bytes = b"5\r\nhello\r\n0\r\n\r\n") -> bytes:
    return head(*lines) + body


def chunks(body: bytes) -> bytes:
    return coded(b"Transfer-Encoding: chunked", body=body)


REFUSED: dict[str, tuple[int, bytes]] = {
    "length and chunked": (400, coded(b"Content-Length: 5", b"Transfer-Encoding: chunked")),
    "chunked and length": (400, coded(b"Transfer-Encoding: chunked", b"Content-Length: 5")),
    "chunked, and a length of nothing": (400, coded(b"Transfer-Encoding: chunked", b"Content-Length: 0")),
    "another coding before chunked": (501, coded(b"Transfer-Encoding: gzip, chunked")),
    "identity before chunked": (501, coded(b"Transfer-Encoding: identity, chunked")),
    "chunked twice": (400, coded(b"Transfer-Encoding: chunked, chunked")),
    "chunked in two fields": (400, coded(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked")),
    "chunked, then identity": (400, coded(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity")),
    "an unknown coding alone": (400, coded(b"Transfer-Encoding: xchunked")),
    "an empty coding": (400, coded(b"Transfer-Encoding:")),
    "a quoted coding": (400, coded(b'Transfer-Encoding: "chunked"')),
    "a coding with a parameter": (400, coded(b"Transfer-Encoding: chunked;q=1")),
    "a vertical tab before the coding": (400, coded(b"Transfer-Encoding: \x0bchunked")),
    "a vertical tab in the field's name": (400, coded(b"Transfer-Encoding\x0b: chunked")),
    "space before the colon of a coding": (400, coded(b"Transfer-Encoding : chunked")),
    "tab before the colon of a coding": (400, coded(b"Transfer-Encoding\t: chunked")),
    "a folded coding": (400, coded(b"Transfer-Encoding:\r\n chunked")),
    "a coding on a line that is folded": (400, coded(b"X: y\r\n Transfer-Encoding: chunked")),
    "a coding behind a bare LF": (400, coded(b"X: y\nTransfer-Encoding: chunked")),
    "a coding behind a bare CR": (400, coded(b"X: y\rTransfer-Encoding: chunked")),
    "a coding on HTTP/1.0": (400, head(b"Transfer-Encoding: chunked", start=b"POST /a HTTP/1.0") + b"0\r\n\r\n"),
    "two lengths that differ": (400, with_length(b"Content-Length: 5", b"Content-Length: 6")),
    "two lengths that agree": (400, with_length(b"Content-Length: 5", b"Content-Length: 5")),
    "a list of lengths that agree": (400, with_length(b"Content-Length: 5, 5")),
    "a list of lengths that differ": (400, with_length(b"Content-Length: 5, 6")),
    "a signed length": (400, with_length(b"Content-Length: +5")),
    "a negative length": (400, with_length(b"Content-Length: -5")),
    "a hexadecimal length": (400, with_length(b"Content-Length: 0x5")),
    "a length with an underscore": (400, with_length(b"Content-Length: 1_0")),
    "a length with a space in it": (400, with_length(b"Content-Length: 1 0")),
    "a length in other digits": (400, with_length("Content-Length: ٥".encode())),
    "an empty length": (400, with_length(b"Content-Length:")),
    "a length that overflows": (400, with_length(b"Content-Length: 18446744073709551621")),
    "space before the colon of a length": (400, with_length(b"Content-Length : 5")),
    "a folded length": (400, with_length(b"Content-Length:\r\n 5")),
    "a line that begins with a space": (400, head(b" X: y")),
    "a folded first line": (400, head(b"X: y", start=b"POST /a HTTP/1.1\r\n Z: y")),
    "a bare LF at the end of a line": (400, head(b"X: y\nZ: y")),
    "a bare LF at the end of the request line": (400, head(b"X: y", start=b"GET /a HTTP/1.1\nZ: y")),
    "a bare CR in a value": (400, head(b"X: y\rz")),
    "two bare LF for the end of the head": (400, b"GET /a HTTP/1.1\nHost: test\n\n"),
    "NUL in a value": (400, head(b"X: y\0z")),
    "NUL in a name": (400, head(b"X\0: y")),
    "NUL in the target": (400, head(start=b"GET /a\0b HTTP/1.1")),
    "no colon": (400, head(b"X y")),
    "no name": (400, head(b": y")),
    "no Host": (400, head(host=b"")),
    "two Hosts": (400, head(b"Host: other")),
    "two Hosts that agree": (400, head(b"Host: test")),
    "a Host with a path": (400, head(host=b"Host: test/path")),
    "a Host with user information": (400, head(host=b"Host: user@test")),
    "a Host with a space": (400, head(host=b"Host: test other")),
    "a Host with two ports": (400, head(host=b"Host: test:80:90")),
    "a Host that is a list": (400, head(host=b"Host: test, other")),
    "an absolute target without host": (400, head(start=b"GET http:///a HTTP/1.1")),
    "an absolute target with user information": (400, head(start=b"GET http://user@test/a HTTP/1.1")),
    "an absolute target of another scheme": (400, head(start=b"GET ftp://test/a HTTP/1.1")),
    "an authority for a target": (400, head(start=b"GET test:80 HTTP/1.1")),
    "a tunnel": (501, head(start=b"CONNECT test:80 HTTP/1.1")),
    "HTTP/0.9": (400, b"GET /a\r\n\r\n"),
    "HTTP/0.9 by name": (505, head(start=b"GET /a HTTP/0.9")),
    "HTTP/1.2": (505, head(start=b"GET /a HTTP/1.2")),
    "HTTP/2 as text": (505, head(start=b"GET /a HTTP/2.0")),
    "the preface of HTTP/2": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "a version in lower case": (400, head(start=b"GET /a http/1.1")),
    "three words more": (400, head(start=b"GET /a b HTTP/1.1")),
    "two spaces": (400, head(start=b"GET  /a HTTP/1.1")),
    "a tab for a space": (400, head(start=b"GET\t/a HTTP/1.1")),
    "a method in lower case": (501, head(start=b"get /a HTTP/1.1")),
    "bytes that are no HTTP": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
}
"""What it is -> how it is answered, and the bytes; nothing of it is dispatched."""

BROKEN: dict[str, bytes] = {
    "LF in a chunk's extension": chunks(b"5;a\nb\r\nhello\r\n0\r\n\r\n"),
    "CR in a chunk's extension": chunks(b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
    "a chunk's size behind a bare LF": chunks(b"5\nhello\r\n0\r\n\r\n"),
    "a chunk without a line end behind it": chunks(b"5\r\nhello0\r\n\r\n"),
    "a chunk with a bare LF behind it": chunks(b"5\r\nhello\n0\r\n\r\n"),
    "a chunk longer than its size": chunks(b"5\r\nhello world\r\n0\r\n\r\n"),
    "a chunk's size that overflows": chunks(b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
    "a chunk's size with a sign": chunks(b"+5\r\nhello\r\n0\r\n\r\n"),
    "a negative chunk": chunks(b"-5\r\nhello\r\n0\r\n\r\n"),
    "a chunk's size with a prefix": chunks(b"0x5\r\nhello\r\n0\r\n\r\n"),
    "a chunk's size with an underscore": chunks(b"0_5\r\nhello\r\n0\r\n\r\n"),
    "a chunk's size with space before it": chunks(b" 5\r\nhello\r\n0\r\n\r\n"),
    "a chunk's size that is empty": chunks(b"\r\nhello\r\n0\r\n\r\n"),
    "NUL in a chunk's size": chunks(b"5\0\r\nhello\r\n0\r\n\r\n"),
    "a length among the trailers": chunks(b"5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n"),
    "a coding among the trailers": chunks(b"5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "a Host among the trailers": chunks(b"5\r\nhello\r\n0\r\nHost: other\r\n\r\n"),
    "a folded trailer": chunks(b"5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n"),
    "a trailer without a colon": chunks(b"5\r\nhello\r\n0\r\nGET /smuggled HTTP/1.1\r\n\r\n"),
    "a trailer with a bare LF": chunks(b"5\r\nhello\r\n0\r\nX: y\nZ: y\r\n\r\n"),
    "a bare LF for the end of the trailers": chunks(b"5\r\nhello\r\n0\r\n\n"),
}
"""What it is -> a request whose head is right and whose body is not: it is begun, and never whole."""


async def sent(raw: bytes, step: int) -> MemoryConnection:
    """Send a request and another one behind it, in pieces of `step` bytes."""
    memory = MemoryConnection()
    whole = raw + SMUGGLED
    for start in range(0, len(whole), step):
        memory.feed(whole[start : start + step])
    await memory.settle()
    assert not memory.dispatcher.faults
    return memory


@pytest.mark.parametrize("step", [1, 7, 1 << 16], ids=["bytewise", "in pieces", "at once"])
@pytest.mark.parametrize("name", REFUSED)
async def test_an_ambiguous_head_is_refused_and_the_connection_closed(name: str, step: int) -> None:
    status, raw = REFUSED[name]
    memory = await sent(raw, step)
    assert [int(each) for each in STATUS.findall(memory.transport.written)] == [status]
    assert b"connection: close\r\n" in memory.transport.written
    assert memory.transport.closed
    assert memory.dispatcher.seen == []


@pytest.mark.parametrize("step", [1, 7, 1 << 16], ids=["bytewise", "in pieces", "at once"])
@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_body_is_refused_and_nothing_behind_it_is_dispatched(name: str, step: int) -> None:
    memory = await sent(BROKEN[name], step)
    assert [int(each) for each in STATUS.findall(memory.transport.written)] == [400]
    assert memory.transport.closed
    assert [exchange.request.path for exchange in memory.dispatcher.seen] == ["/a"]


@pytest.mark.parametrize("step", [1, 1 << 16], ids=["bytewise", "at once"])
async def test_what_is_pipelined_behind_a_refusal_is_not_dispatched_and_what_was_before_it_is(step: int) -> None:
    memory = await sent(get("/before") + REFUSED["length and chunked"][1], step)
    assert [int(each) for each in STATUS.findall(memory.transport.written)] == [200, 400]
    assert [exchange.request.path for exchange in memory.dispatcher.seen] == ["/before"]


@pytest.mark.parametrize(
    ("raw", "host"),
    [
        (head(start=b"GET http://other/a HTTP/1.1"), b"other"),
        (head(start=b"GET http://other:81/a HTTP/1.1"), b"other:81"),
        (head(start=b"GET HTTPS://other/a HTTP/1.1"), b"other"),
    ],
)
async def test_the_host_of_an_absolute_target_counts_and_the_field_does_not(raw: bytes, host: bytes) -> None:
    memory = await sent(raw, 1 << 16)
    assert [dict(each.request.headers.raw)[b"host"] for each in memory.dispatcher.seen] == [host, b"test"]


@pytest.mark.parametrize(
    "raw",
    [
        chunks(b'5;a="b;c";d\r\nhello\r\n0;z\r\n\r\n'),
        chunks(b"0005\r\nhello\r\n00000\r\n\r\n"),
        chunks(b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"),
        coded(b"transfer-encoding: CHUNKED"),
        with_length(b"CONTENT-LENGTH: 005"),
    ],
)
async def test_what_is_unusual_and_means_one_thing_is_served_with_what_follows_it(raw: bytes) -> None:
    memory = await sent(raw, 1 << 16)
    assert [int(each) for each in STATUS.findall(memory.transport.written)] == [200, 200]
    assert b"POST /a hello" in memory.transport.written
    assert [exchange.request.path for exchange in memory.dispatcher.seen] == ["/a", "/smuggled"]
