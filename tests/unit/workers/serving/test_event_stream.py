"""A stream of server-sent events that the server has to end ends whole, where no event of it would be cut in two."""

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.workers.serving.answering import Answering
from changeover.workers.serving.asgi import Application, Receive, Scope, Send
from changeover.workers.serving.contract import CallContext, Headers, Request, Response
from changeover.workers.serving.event_stream import AT_REST, following, may_end
from changeover.workers.serving.handlers import Handler, HandlerKind
from changeover.workers.serving.pipeline import Pipeline
from changeover.workers.serving.wsgi import WsgiApplication
from tests.exchange import MemoryExchange, Served
from tests.waits import until

EVENTS = (b"content-type", b"text/event-stream")
ENDS = (b"\n", b"\r", b"\r\n")


def tail_of(pieces: Iterable[bytes]) -> bytes:
    tail = AT_REST
    for piece in pieces:
        tail = following(tail, piece)
    return tail


LINES = st.lists(st.sampled_from([b"", b"data: x", b": ping", b"id: 7"]))


@given(lines=LINES, end=st.sampled_from(ENDS), data=st.data())
def test_it_may_end_behind_an_empty_line_however_it_was_written(
    lines: list[bytes], end: bytes, data: st.DataObject
) -> None:
    written = b"".join(line + end for line in lines)
    at = data.draw(st.integers(0, len(written)))
    cuts = sorted(data.draw(st.lists(st.integers(0, at), max_size=8)))
    pieces = [written[start:stop] for start, stop in zip([0, *cuts], [*cuts, at], strict=True)]
    told = re.split(rb"\r\n|\r|\n", written[:at])
    assert may_end((EVENTS,), tail_of(pieces)) == (told in ([b""], [b"", b""]) or told[-2:] == [b"", b""])


@pytest.mark.parametrize(
    "fields",
    [
        (),
        ((b"content-type", b"text/plain"),),
        ((b"content-type", b"text/event-streams"),),
        (EVENTS, (b"content-encoding", b"gzip")),
        ((b"Content-Length", b"100"), EVENTS),
    ],
)
def test_no_other_response_may(fields: tuple[tuple[bytes, bytes], ...]) -> None:
    assert not may_end(fields, AT_REST)
    assert may_end(((b"Content-Type", b"Text/Event-Stream; charset=utf-8"),), AT_REST)


class Source:
    """What an application of each kind sends before it waits for the next event.

    Args:
        fields: The head's.
        pieces: What it sends.
    """

    def __init__(self, fields: list[tuple[bytes, bytes]], *pieces: bytes) -> None:
        self.fields = fields
        self.pieces = pieces
        self.open = threading.Event()

    async def asgi(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.fields})
        for piece in self.pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await asyncio.Event().wait()

    async def uncancelled(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As applications whose framework has anyio cancel tasks (Starlette's middleware) may end."""
        try:
            await self.asgi(scope, receive, send)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            assert task is not None
            assert task.uncancel() == 0
            raise

    def wsgi(self, environ: object, start_response: Callable[..., object]) -> Iterable[bytes]:
        start_response("200 OK", [(name.decode(), value.decode()) for name, value in self.fields])
        yield from self.pieces
        assert self.open.wait(10)

    async def native(self, request: Request, call: CallContext) -> Response:
        return Response(self._events(), headers=Headers(list(self.fields)))

    async def _events(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece
        await asyncio.Event().wait()


KINDS: dict[str, Callable[[Source], Answering]] = {
    "asgi": lambda source: Application("app", source.asgi),
    "asgi, uncancelled": lambda source: Application("app", source.uncancelled),
    "wsgi": lambda source: WsgiApplication("app", source.wsgi),
    "native": lambda source: source.native,
}
HANDLERS = {
    "alone": (),
    "seen by an outbound handler": (Handler("test:see", HandlerKind.OUTBOUND, lambda *_: None),),
    "in the hands of an around handler": (
        Handler("test:pass", HandlerKind.AROUND, lambda request, call_next, call: call_next(request)),
    ),
}
every_kind = pytest.mark.parametrize("kind", KINDS)
every_way = pytest.mark.parametrize("way", HANDLERS)


async def ended(source: Source, kind: str, way: str) -> MemoryExchange:
    """The exchange, once its lease was ended by the server behind the last piece."""
    target = KINDS[kind](source)
    served, exchange = Served(Pipeline("shop", HANDLERS[way], target)), MemoryExchange()
    try:
        assert served.dispatcher.dispatch(exchange)
        await until(lambda: exchange.body == b"".join(source.pieces) and exchange.status == 200)
        served.units.live_leases()[0].end("its drain deadline passed")
        await until(lambda: exchange.ended or exchange.aborted)
    finally:
        source.open.set()
        await until(lambda: not served.units.leases)
        if isinstance(target, WsgiApplication):
            await target.close(5.0)
    return exchange


@every_way
@every_kind
async def test_it_ends_whole_behind_its_last_event(kind: str, way: str) -> None:
    exchange = await ended(Source([EVENTS], b"data: 1\n\n", b"data: 2\n", b"\n"), kind, way)
    assert (exchange.ended, exchange.aborted) == (True, False)


@every_way
@every_kind
async def test_it_is_cut_in_the_middle_of_an_event(kind: str, way: str) -> None:
    exchange = await ended(Source([EVENTS], b"data: 1\n\n", b"data: 2\n"), kind, way)
    assert (exchange.ended, exchange.aborted) == (False, True)


@every_way
@every_kind
async def test_another_body_is_cut_whatever_it_ends_with(kind: str, way: str) -> None:
    exchange = await ended(Source([(b"content-type", b"text/plain")], b"one\n\n", b"two\n\n"), kind, way)
    assert (exchange.ended, exchange.aborted) == (False, True)
