"""h11 as an oracle: whatever both of us read is read alike, and we read nothing that h11 refuses."""

import asyncio
import enum
from collections import Counter
from dataclasses import dataclass

import h11
import uvloop
from hypothesis import example, given, settings
from hypothesis import strategies as st

from changeover.workers.serving.exchange import Exchange
from tests.memory_connection import MemoryConnection
from tests.wire import FakeDispatcher

Fields = tuple[tuple[bytes, bytes], ...]
Reading = tuple[bytes, bytes, Fields, bytes, Fields]
"""Method, target, fields, body, trailers."""


@dataclass(frozen=True)
class Made:
    """A request that was made of parts.

    Attributes:
        start: The request line.
        fields: Lines of its head.
        tail: What follows the head.
    """

    start: bytes
    fields: tuple[bytes, ...]
    tail: bytes

    @property
    def raw(self) -> bytes:
        return b"\r\n".join((self.start, *self.fields, b"", b"")) + self.tail


METHODS = st.sampled_from([b"GET", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PURGE", b"FOO", b"get", b"G ET", b""])
TARGETS = st.one_of(
    st.from_regex(rb"/[!-~]{0,12}", fullmatch=True),
    st.sampled_from([b"*", b"http://test/a", b"/a b", b"", b"a", b"/\xe9", b"/a?b=c&d", b"//a", b"/%2f"]),
)
VERSIONS = st.sampled_from([b"HTTP/1.1"] * 8 + [b"HTTP/1.0", b"HTTP/1.2", b"HTTP/0.9", b"http/1.1", b"HTTP/2.0", b""])
TOKENS = st.from_regex(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,10}", fullmatch=True)
OTHER = st.one_of(
    st.builds(b"%b:%b".__mod__, st.tuples(TOKENS.map(lambda name: b"X-" + name), st.binary(max_size=8))),
    st.builds(b"%b:%b".__mod__, st.tuples(TOKENS, st.from_regex(rb"[ \t]*[ -~\t]{0,10}", fullmatch=True))),
    st.binary(max_size=10),
)
FRAMING = st.sampled_from(
    [
        b"Content-Length: 5",
        b"Content-Length: 5",
        b"content-length:5 ",
        b"Content-Length: 05",
        b"Content-Length: 5, 5",
        b"Content-Length: +5",
        b"Content-Length: 6",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: chunked",
        b"transfer-encoding:\tCHUNKED",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: identity",
        b"Transfer-Encoding : chunked",
    ]
)
HOSTS = st.sampled_from([b"Host: test"] * 8 + [b"Host:", b"host: a, b", b"Host : test", b"Host: test:80", b""])
CHUNKS = st.lists(st.binary(min_size=1, max_size=9), max_size=3).map(
    lambda pieces: b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
)
LAST = st.sampled_from(
    [b"0\r\n\r\n"] * 4 + [b"0\r\nX-Sum: 1\r\n\r\n", b"0\r\nHost: x\r\n\r\n", b"0;a=b\r\n\r\n", b"0\n\n", b""]
)
TAILS = st.one_of(st.just(b""), st.just(b"hello"), st.builds(bytes.__add__, CHUNKS, LAST), st.binary(max_size=12))


class Part(enum.Enum):
    """What of a request may be anything at all."""

    METHOD = enum.auto()
    TARGET = enum.auto()
    VERSION = enum.auto()
    HOST = enum.auto()
    BODY = enum.auto()
    FIELDS = enum.auto()


SOUND = {
    Part.METHOD: st.sampled_from([b"GET", b"POST", b"PUT", b"DELETE", b"OPTIONS"]),
    Part.TARGET: st.from_regex(rb"/[a-z0-9%/?&=.~-]{0,12}", fullmatch=True),
    Part.VERSION: st.sampled_from([b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0"]),
    Part.HOST: st.just(b"Host: test"),
}
ANY = {Part.METHOD: METHODS, Part.TARGET: TARGETS, Part.VERSION: VERSIONS, Part.HOST: HOSTS}
BODIES = st.one_of(
    st.just(((), b"")),
    st.just(((b"Content-Length: 5",), b"hello")),
    st.tuples(st.just((b"Transfer-Encoding: chunked",)), CHUNKS.map(lambda chunks: chunks + b"0\r\n\r\n")),
)
PLAIN = st.from_regex(rb"X-[A-Za-z]{1,8}:[ \t]?[!-~]{1,10}", fullmatch=True)


@st.composite
def requests(draw: st.DrawFn) -> Made:
    """A request that is right, but for a few of its parts."""
    loose = draw(st.sets(st.sampled_from(Part), max_size=2))
    method, target, version, host = (draw((ANY if part in loose else SOUND)[part]) for part in SOUND)
    framing, tail = draw(st.tuples(st.lists(FRAMING, max_size=2).map(tuple), TAILS) if Part.BODY in loose else BODIES)
    others = draw(st.lists(OTHER if Part.FIELDS in loose else PLAIN, max_size=3))
    fields = draw(st.permutations([host, *framing, *others]))
    return Made(b" ".join(filter(None, (method, target, version))), tuple(filter(None, fields)), tail)


def by_h11(raw: bytes) -> Reading | None:
    """How h11 reads the first request; None when it refuses it, or waits for more."""
    server = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    server.receive_data(raw)
    body, head = b"", None
    try:
        while True:
            each = server.next_event()
            if isinstance(each, h11.Request):
                head = each
            elif isinstance(each, h11.Data):
                body += bytes(each.data)
            elif isinstance(each, h11.EndOfMessage) and head is not None:
                trailers = tuple((name, value) for name, value in each.headers)
                return head.method, head.target, tuple((name, value) for name, value in head.headers), body, trailers
            else:
                return None
    except h11.RemoteProtocolError:
        return None


async def by_us(raw: bytes) -> Reading | None:
    """How our connection reads it."""
    readings: list[Reading] = []

    async def answer(exchange: Exchange) -> None:
        request = exchange.request
        body = await request.body()
        target = request.raw_path + (b"?" + request.query if request.query else b"")
        fields = tuple(request.headers.raw)
        readings.append((request.method.encode(), target, fields, body, tuple(request.trailers.raw)))

    memory = MemoryConnection(FakeDispatcher(answer))
    memory.feed(raw)
    await memory.settle()
    assert not memory.dispatcher.faults
    for task in memory.dispatcher.tasks:
        task.cancel()
    return readings[0] if readings else None


def alike(ours: Reading, theirs: Reading) -> bool:
    """Whether two readings are the same."""
    same = ours[0] == theirs[0] and ours[1].rstrip(b"?") == theirs[1].rstrip(b"?") and ours[3:] == theirs[3:]
    return same and normal(ours[2]) == normal(theirs[2])


def normal(fields: Fields) -> Fields:
    """Fields with what h11 writes in its own way: the coding in lower case."""
    return tuple((name, value.lower() if name == b"transfer-encoding" else value) for name, value in fields)


def test_what_both_read_is_read_alike_and_we_are_the_stricter_ones() -> None:
    seen: Counter[tuple[bool, bool]] = Counter()

    @settings(max_examples=400, deadline=None)
    @given(requests())
    @example(Made(b"GET /a HTTP/1.1", (b"Host: test", b"X: a\t"), b""))
    @example(Made(b"GET /a HTTP/1.1", (b"Host: test", b"X: a "), b""))
    @example(Made(b"POST /a HTTP/1.1", (b"Host: test", b"Transfer-Encoding: chunked"), b"0\r\nX-Sum: 1\r\n\r\n"))
    def compare(made: Made) -> None:
        theirs = by_h11(made.raw)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            ours = runner.run(by_us(made.raw))
        seen[theirs is not None, ours is not None] += 1
        if ours is None:
            return
        assert theirs is not None, f"only we read {made.raw!r}: {ours}"
        if not theirs[1].startswith(b"http"):
            assert alike(ours, theirs), made.raw

    compare()
    both, neither = seen[True, True], seen[False, False]
    assert both >= seen.total() / 3, f"too few are read at all: {seen}"
    assert neither >= seen.total() / 16, f"too few are refused: {seen}"
