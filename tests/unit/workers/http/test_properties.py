"""What holds for any requests, cut anywhere: the same answers, and nothing lost on the way to another connection."""

import asyncio
from collections.abc import Callable, Coroutine

import h11
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.memory_connection import MemoryConnection


class Pair(MemoryConnection):
    """A connection, read by h11 on the other side."""

    def answers(self) -> list[bytes]:
        """Bodies of the answers, read by h11."""
        client = h11.Connection(h11.CLIENT)
        client.receive_data(self.transport.written)
        bodies: list[bytes] = []
        while client.trailing_data[0]:
            client.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
            client.send(h11.EndOfMessage())
            bodies.append(b"".join(bytes(event.data) for event in events(client) if isinstance(event, h11.Data)))
            if client.their_state is h11.DONE:
                client.start_next_cycle()
        return bodies


def events(connection: h11.Connection) -> list[h11.Event]:
    """The events of one message."""
    seen: list[h11.Event] = []
    while not seen or not isinstance(seen[-1], h11.EndOfMessage):
        event = connection.next_event()
        assert isinstance(event, h11.Event)
        seen.append(event)
    return seen


NAMES = st.from_regex(r"X-[A-Za-z0-9]{1,8}", fullmatch=True)
VALUES = st.from_regex(r"([!-~]([ -~]{0,20}[!-~])?)?", fullmatch=True)
PATHS = st.from_regex(r"/[A-Za-z0-9._~/-]{0,20}", fullmatch=True)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A valid request."""
    method = draw(st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH"]))
    lines = [f"{method} {draw(PATHS)} HTTP/1.1", "Host: test"]
    lines += [f"{name}: {value}" for name, value in draw(st.lists(st.tuples(NAMES, VALUES), max_size=4))]
    body = draw(st.none() | st.binary(max_size=200))
    chunks = draw(st.none() | st.lists(st.binary(min_size=1, max_size=60), max_size=4))
    if chunks is not None:
        lines.append("Transfer-Encoding: chunked")
        tail = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    elif body is not None:
        lines.append(f"Content-Length: {len(body)}")
        tail = body
    else:
        tail = b""
    return "\r\n".join([*lines, "", ""]).encode() + tail


PIPELINES = st.lists(requests(), min_size=1, max_size=5)
CUTS = st.lists(st.integers(0, 3000), max_size=6)


def cut(raw: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(at % (len(raw) + 1) for at in cuts), len(raw)]
    return [raw[start:end] for start, end in zip(edges, edges[1:], strict=False)]  # noqa: RUF007


def according_to_h11(raw: bytes) -> list[bytes]:
    """The answers that h11's reading of the requests leads to."""
    server = h11.Connection(h11.SERVER)
    server.receive_data(raw)
    answers = []
    while server.trailing_data[0]:
        seen = events(server)
        request = seen[0]
        assert isinstance(request, h11.Request)
        body = b"".join(bytes(event.data) for event in seen if isinstance(event, h11.Data))
        answers.append(request.method + b" " + request.target + b" " + body)
        server.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
        server.send(h11.EndOfMessage())
        server.start_next_cycle()
    return answers


def run(story: Callable[[], Coroutine[object, object, None]]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(story())


@settings(max_examples=60, deadline=None)
@given(PIPELINES, CUTS)
def test_valid_requests_are_read_as_h11_reads_them(pipeline: list[bytes], cuts: list[int]) -> None:
    async def story() -> None:
        raw = b"".join(pipeline)
        pair = Pair()
        for piece in cut(raw, cuts):
            pair.feed(piece)
        await pair.settle()
        assert pair.answers() == according_to_h11(raw)
        assert not pair.dispatcher.faults

    run(story)


@settings(max_examples=60, deadline=None)
@given(PIPELINES, CUTS, st.integers(0, 6), st.booleans())
def test_another_connection_goes_on_from_the_unread_bytes(
    pipeline: list[bytes], cuts: list[int], at: int, settled: bool
) -> None:
    """At any moment: the first answers what it has dispatched, the second all the rest, nothing twice."""

    async def story() -> None:
        raw = b"".join(pipeline)
        pieces = cut(raw, cuts)
        first, second = Pair(), Pair()
        for piece in pieces[:at]:
            first.feed(piece)
            await asyncio.sleep(0)
            if settled:
                await first.settle()
        first.connection.leave()
        rest = pieces[at:]
        while rest and not first.connection.at_boundary:
            first.feed(rest.pop(0))
        second.feed(first.connection.unread())
        for piece in rest:
            second.feed(piece)
        await first.settle()
        await second.settle()
        assert first.connection.at_boundary
        assert first.answers() + second.answers() == according_to_h11(raw)

    run(story)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300), CUTS)
def test_no_bytes_at_all_make_it_fall_over(raw: bytes, cuts: list[int]) -> None:
    async def story() -> None:
        pair = Pair()
        for piece in cut(raw, cuts):
            pair.feed(piece)
        await pair.settle()
        assert not pair.dispatcher.faults

    run(story)
