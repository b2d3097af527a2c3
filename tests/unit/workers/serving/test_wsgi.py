"""WSGI applications, written by hand, from their threads to the exchange."""

import asyncio
import contextvars
import io
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any
from wsgiref.validate import validator

import pytest

from changeover.workers.serving import assignment, threads
from changeover.workers.serving.contract import CallContext, CallNext, Request, Response
from changeover.workers.serving.exchange import Disconnected, RawHeaders
from changeover.workers.serving.handlers import Handler, HandlerKind
from changeover.workers.serving.lease import Lease, LeaseKind, current_lease
from changeover.workers.serving.pipeline import Pipeline
from changeover.workers.serving.spool import MOST, Room
from changeover.workers.serving.wsgi import WsgiApplication, WsgiCallable
from changeover.workers.serving.wsgi_run import AHEAD
from tests.exchange import MemoryExchange, Served
from tests.waits import until, until_sync

Environ = dict[str, Any]
Start = Callable[..., Callable[[bytes], object]]
Serve = Callable[..., Served]
OK = "200 OK"
PLAIN = [("Content-Type", "text/plain")]


async def pass_on(request: Request, call_next: CallNext, call: CallContext) -> Response:
    return await call_next(request)


WAYS = {
    "direct": (),
    "behind an outbound": (Handler("test:nothing", HandlerKind.OUTBOUND, lambda *_: None),),
    "through an around": (Handler("test:pass_on", HandlerKind.AROUND, pass_on),),
}
every_way = pytest.mark.parametrize("way", WAYS)


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Serves applications, and sees to it that all of their threads end."""
    made: list[WsgiApplication] = []
    before = {*assignment.at_work, *assignment.left_behind}

    def serve(
        app: WsgiCallable, way: str | Handler = "direct", *, size: int = 2, room: int = MOST, **options: Any
    ) -> Served:
        made.append(WsgiApplication("app", app, threads=size))
        made[-1].room = Room(room)
        handlers = (way,) if isinstance(way, Handler) else WAYS[way]
        return Served(Pipeline("shop", handlers, made[-1]), **options)

    yield serve
    for application in made:
        await application.close(5)
        assert application.pool.unfinished() == ()
        await until(lambda application=application: not application.room.held, "files to be gone")  # type: ignore[misc]
    assert {*assignment.at_work, *assignment.left_behind} <= before


def answering(*pieces: bytes, headers: list[tuple[str, str]] = PLAIN, status: str = OK) -> WsgiCallable:
    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response(status, headers)
        return list(pieces)

    return app


class Pieces:
    """An iterable that notes that it was closed.

    Attributes:
        closed: How often.
    """

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def close(self) -> None:
        self.closed += 1


def streaming(pieces: Pieces, headers: list[tuple[str, str]] = PLAIN) -> WsgiCallable:
    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response(OK, headers)
        return pieces

    return app


class Gate:
    """Where an application's thread waits until the test lets it on.

    Attributes:
        reached: How many threads have come.
    """

    def __init__(self) -> None:
        self.reached = 0
        self._open = threading.Event()

    def wait(self) -> None:
        self.reached += 1
        assert self._open.wait(10), "the test never let it on"

    def open(self) -> None:
        self._open.set()


@every_way
async def test_a_list_is_sent_with_its_head(serve: Serve, way: str) -> None:
    answer = await serve(answering(b"one ", b"two"), way, stamp=True).get()
    assert (answer.status, answer.body, answer.ended) == (200, b"one two", True)
    assert answer.headers["content-type"] == "text/plain"
    assert answer.headers["x-changeover-epoch"] == "7"


async def test_one_piece_is_the_same_object_to_the_wire(serve: Serve) -> None:
    body = b"x" * 100_000
    answer = await serve(answering(body)).get()
    assert answer.pieces[0] is body


class Hops:
    """How often a request goes to a thread, and what is told from there to the loop.

    Args:
        monkeypatch: Of the test.

    Attributes:
        taken: Threads that were taken.
        told: Calls to the loop out of threads.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.taken = self.told = 0
        loop = asyncio.get_running_loop()
        submit, call = threads.ThreadPool.submit, loop.call_soon_threadsafe

        def taking(pool: threads.ThreadPool, *given: Any) -> None:
            self.taken += 1
            submit(pool, *given)

        def telling(*given: Any, context: contextvars.Context | None = None) -> asyncio.Handle:
            self.told += 1
            return call(*given, context=context)

        monkeypatch.setattr(threads.ThreadPool, "submit", taking)
        monkeypatch.setattr(loop, "call_soon_threadsafe", telling)


LEAVE = 1
"""The thread tells that it has left, where the loop was quicker than that."""


@every_way
async def test_one_request_is_one_hop(serve: Serve, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    served = serve(answering(b"hello"), way)
    await served.get()
    hops = Hops(monkeypatch)
    assert (await served.ask(MemoryExchange("POST", "/", body=[b"small"]))).body == b"hello"
    assert hops.taken == 1
    assert 1 <= hops.told <= 1 + LEAVE


@every_way
async def test_a_large_body_takes_one_thread_too(serve: Serve, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[int] = []

    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        size = len(environ["wsgi.input"].read())
        used.append(threading.get_ident())
        start_response(OK, PLAIN)
        return [str(size).encode()]

    piece, count = b"x" * 65536, 4
    hops = Hops(monkeypatch)
    answer = await serve(app, way).ask(MemoryExchange("POST", "/", body=[piece] * count))
    assert answer.body == str(len(piece) * count).encode()
    assert (hops.taken, len(used)) == (1, 1)


@every_way
async def test_where_there_is_no_room_the_thread_asks_for_each_piece_that_did_not_come_along(
    serve: Serve, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        size = len(environ["wsgi.input"].read())
        start_response(OK, PLAIN)
        return [str(size).encode()]

    piece, count = b"x" * 65536, 4
    hops = Hops(monkeypatch)
    fields = [(b"content-length", b"%d" % (len(piece) * count))]
    answer = await serve(app, way, room=0).ask(MemoryExchange("POST", "/", headers=fields, body=[piece] * count))
    assert answer.body == str(len(piece) * count).encode()
    assert hops.taken == 1
    beyond, end, kept = count - 1, 1, 1
    assert beyond <= hops.told <= beyond + end + kept + 1 + LEAVE


@every_way
async def test_a_streamed_answer_is_made_in_one_thread_which_tells_of_each_piece(
    serve: Serve, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: set[int] = set()
    count = 5

    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response(OK, PLAIN)
        for _ in range(count):
            used.add(threading.get_ident())
            yield b"piece"

    hops = Hops(monkeypatch)
    answer = await serve(app, way).get()
    assert answer.body == b"piece" * count
    assert (hops.taken, len(used)) == (1, 1)
    assert 1 <= hops.told <= count + 1 + LEAVE


@every_way
async def test_a_generator_is_sent_piece_by_piece(serve: Serve, way: str) -> None:
    gate, pieces = Gate(), Pieces(())

    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response(OK, PLAIN)
        yield b""
        yield b"one"
        gate.wait()
        yield b"two"

    served, exchange = serve(app, way), MemoryExchange()
    assert served.dispatcher.dispatch(exchange)
    await until(lambda: exchange.body == b"one", "the first piece before the second is made")
    assert not exchange.ended
    gate.open()
    await until(lambda: exchange.ended and not served.units.leases)
    assert exchange.body == b"onetwo"
    assert pieces.closed == 0


@every_way
async def test_pieces_that_are_told_together_behind_the_head_are_all_sent(serve: Serve, way: str) -> None:
    gate, told = Gate(), threading.Event()

    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response(OK, [*PLAIN, ("Content-Length", "6")])
        yield b"ab"
        gate.wait()
        yield b"cd"
        yield b"ef"
        told.set()

    served, exchange = serve(app, way), MemoryExchange()
    assert served.dispatcher.dispatch(exchange)
    await until(lambda: exchange.body == b"ab", "the head and the first piece")
    gate.open()
    assert told.wait(10), "the thread never ended while the loop did nothing"
    await until(lambda: exchange.ended and not served.units.leases)
    assert exchange.body == b"abcdef"


@pytest.mark.parametrize("headers", [PLAIN, [*PLAIN, ("Content-Length", "5")]])
async def test_a_response_that_is_told_as_one_is_given_to_the_exchange_as_one(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, headers: list[tuple[str, str]]
) -> None:
    given: list[tuple[int, bytes]] = []
    answer = MemoryExchange.answer

    def noted(exchange: MemoryExchange, status: int, fields: RawHeaders, body: bytes) -> None:
        given.append((status, body))
        answer(exchange, status, fields, body)

    monkeypatch.setattr(MemoryExchange, "answer", noted)
    served = serve(answering(b"hello", headers=headers, status="201 Created"), stamp=True)
    found = await served.get()
    assert given == [(201, b"hello")]
    assert (found.headers["x-changeover-epoch"], found.ended) == ("7", True)
    assert served.units.counters.responses[2] == 1


@every_way
async def test_what_write_is_given_comes_before_the_rest(serve: Serve, way: str) -> None:
    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        write = start_response(OK, PLAIN)
        write(b"written ")
        write(b"")
        return [b"returned"]

    assert (await serve(app, way).get()).body == b"written returned"


@every_way
async def test_what_is_written_behind_the_end_of_a_request_is_refused(serve: Serve, way: str) -> None:
    kept: list[Callable[[bytes], object]] = []

    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        kept.append(start_response(OK, PLAIN))
        return [b"all"]

    served = serve(app, way)
    assert (await served.get()).body == b"all"
    await until(lambda: not served.units.leases, "the thread to leave")
    with pytest.raises(Disconnected, match="over"):
        kept[0](b"late")


async def test_the_body_of_a_small_request_is_read_without_the_loop(serve: Serve) -> None:
    seen: list[object] = []

    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        file = environ["wsgi.input"]
        seen.extend([type(file), file.readline(), file.read(1), list(file)])
        start_response(OK, PLAIN)
        return [file.read()]

    answer = await serve(app).ask(MemoryExchange("POST", body=[b"first\nsec", b"ond\nthird"]))
    assert (answer.body, seen) == (b"", [io.BytesIO, b"first\n", b"s", [b"econd\n", b"third"]])


@every_way
async def test_a_large_body_is_read_while_it_comes_where_there_is_no_room(serve: Serve, way: str) -> None:
    begun = Gate()

    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        file = environ["wsgi.input"]
        first = file.readline()
        begun.reached += 1
        rest = file.read(200_000), file.readlines(), file.read()
        start_response(OK, PLAIN)
        return [b"%d %d %r %d" % (len(first), len(rest[0]), rest[1], len(rest[2]))]

    fields = [(b"content-length", b"200008")]
    exchange = MemoryExchange("POST", headers=fields, body=[b"line\n" + b"x" * 70_000], complete=False)
    served = serve(app, way, room=0)
    assert served.dispatcher.dispatch(exchange)
    await until(lambda: begun.reached, "the application to begin before the body has come")
    exchange.arrive(b"x" * 130_000, b"a\n", b"b", None)
    await until(lambda: exchange.ended and not served.units.leases)
    assert exchange.body == b"5 200000 [b'a\\n', b'b'] 0"


async def test_a_client_that_waits_to_be_asked_for_its_body_is_asked_before_a_thread_is_taken(serve: Serve) -> None:
    asked: list[int] = []
    called = Gate()

    class Asking(MemoryExchange):
        async def receive(self) -> bytes | None:
            asked.append(called.reached)
            return await super().receive()

    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        called.reached += 1
        start_response(OK, PLAIN)
        return [environ["wsgi.input"].read()]

    fields = [(b"expect", b"100-continue"), (b"content-length", b"3")]
    answer = await serve(app).ask(Asking("POST", headers=fields, body=[b"abc"]))
    assert (answer.body, set(asked)) == (b"abc", {0})


async def test_a_client_that_leaves_in_the_middle_of_its_body_is_an_os_error_where_it_is_read(serve: Serve) -> None:
    seen: list[BaseException] = []
    reading = Gate()

    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        try:
            reading.reached += 1
            environ["wsgi.input"].read()
        except OSError as error:
            seen.append(error)
            raise
        return []

    fields = [(b"content-length", b"100000")]
    exchange = MemoryExchange("POST", headers=fields, body=[b"x" * 70_000], complete=False)
    served = serve(app, room=0)
    assert served.dispatcher.dispatch(exchange)
    await until(lambda: reading.reached, "the application to read")
    exchange.hang_up()
    await until(lambda: not served.units.leases, "the lease to be let go")
    assert [type(error) for error in seen] == [Disconnected]


@every_way
async def test_a_client_that_leaves_stops_a_stream_and_the_iterable_is_closed(serve: Serve, way: str) -> None:
    pieces = Pieces(iter(lambda: b"x" * 1000, None))
    exchange, served = MemoryExchange(window=10_000), serve(streaming(pieces), way)
    assert served.dispatcher.dispatch(exchange)
    await until(lambda: exchange.pieces, "the first pieces")
    exchange.hang_up()
    await until(lambda: not served.units.leases, "the lease to be let go")
    assert pieces.closed == 1


async def test_where_there_is_no_room_a_thread_waits_for_a_client_that_takes_nothing(serve: Serve) -> None:
    made: list[int] = []

    def pieces() -> Iterator[bytes]:
        for number in range(100):
            made.append(number)
            yield b"x" * 10_000

    exchange, served = MemoryExchange(window=20_000), serve(streaming(Pieces(pieces())), room=0)
    assert served.dispatcher.dispatch(exchange)
    await until(lambda: any(lease.kind is LeaseKind.STREAM for lease in served.units.leases), "a stream")
    while not exchange.ended:
        ahead = len(exchange.body)
        assert len(made) * 10_000 <= ahead + AHEAD + 10_000 or exchange.ended
        exchange.take()
        await asyncio.sleep(0)
    assert (len(exchange.body), made) == (1_000_000, list(range(100)))
    await until(lambda: not served.units.leases)


async def test_leases_become_streams_with_the_second_piece(serve: Serve) -> None:
    first, second = Gate(), Gate()

    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response(OK, PLAIN)
        yield b"one"
        first.wait()
        yield b"two"
        second.wait()

    exchange, served = MemoryExchange(), serve(app)
    assert served.dispatcher.dispatch(exchange)
    await until(lambda: exchange.body == b"one")
    assert [lease.kind for lease in served.units.leases] == [LeaseKind.HTTP]
    first.open()
    await until(lambda: exchange.body == b"onetwo")
    assert [lease.kind for lease in served.units.leases] == [LeaseKind.STREAM]
    second.open()
    await until(lambda: not served.units.leases)


async def test_what_an_application_does_after_its_last_byte_holds_the_lease_and_not_the_client(serve: Serve) -> None:
    gate = Gate()

    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response(OK, [*PLAIN, ("Content-Length", "4")])
        yield b"done"
        gate.wait()

    exchange, served = MemoryExchange(), serve(app)
    assert served.dispatcher.dispatch(exchange)
    await until(lambda: exchange.ended, "the answer while the application goes on")
    assert [lease.kind for lease in served.units.leases] == [LeaseKind.TASK]
    gate.open()
    await until(lambda: not served.units.leases)


async def test_the_thread_has_the_context_of_its_request(serve: Serve) -> None:
    tenant = contextvars.ContextVar("tenant", default="nobody")
    seen: list[tuple[str, Lease | None]] = []

    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        seen.append((tenant.get(), current_lease.get()))
        tenant.set("left behind")
        start_response(OK, PLAIN)
        return []

    def name_it(request: Request, call: CallContext) -> None:
        tenant.set(request.path)

    served = serve(app, Handler("test:name_it", HandlerKind.INBOUND, name_it), size=1)
    await served.get("/a")
    await served.get("/b")
    assert [name for name, _ in seen] == ["/a", "/b"]
    assert all(lease is not None and lease.units is served.units for _, lease in seen)


@every_way
async def test_an_error_before_the_head_is_a_500_without_details(
    serve: Serve, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response(OK, PLAIN)
        raise RuntimeError("secret")

    answer = await serve(app, way).get(x_request_id="r-1")
    assert (answer.status, answer.json) == (500, {"status": 500, "title": "Internal server error"})
    (record,) = [record for record in caplog.records if record.name == "changeover.request"]
    assert "failed on epoch 7, route shop, request r-1" in record.getMessage()
    assert record.exc_info is not None
    assert "secret" in str(record.exc_info[1])


@every_way
async def test_an_error_after_the_first_piece_cuts_the_response(
    serve: Serve, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"x" * 100
        raise SystemExit("in the middle")

    body = Pieces(pieces())
    answer = await serve(streaming(body), way).get()
    assert (answer.aborted, answer.ended, body.closed) == (True, False, 1)
    assert "failed on epoch 7" in caplog.text


async def test_exc_info_replaces_a_head_that_was_not_sent(serve: Serve) -> None:
    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response(OK, PLAIN)
        try:
            raise RuntimeError("found out late")
        except RuntimeError as error:
            start_response("503 Sorry", PLAIN, (type(error), error, error.__traceback__))
        return [b"sorry"]

    answer = await serve(app).get()
    assert (answer.status, answer.body) == (503, b"sorry")


async def test_exc_info_is_raised_where_the_head_was_sent(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response(OK, PLAIN)
        yield b"begun"
        try:
            raise RuntimeError("found out too late")
        except RuntimeError as error:
            start_response("500 No", PLAIN, (type(error), error, error.__traceback__))

    answer = await serve(app).get()
    assert (answer.status, answer.aborted) == (200, True)
    assert "found out too late" in caplog.text


def twice(environ: Environ, start_response: Start) -> Iterable[bytes]:
    start_response(OK, PLAIN)
    start_response(OK, PLAIN)
    return []


def never(environ: Environ, start_response: Start) -> Iterable[bytes]:
    return [b"body"]


def no_bytes(environ: Environ, start_response: Start) -> Iterable[Any]:
    start_response(OK, PLAIN)
    return ["text"]


def too_much(environ: Environ, start_response: Start) -> Iterable[bytes]:
    start_response(OK, [("Content-Length", "2")])(b"three")
    return []


@pytest.mark.parametrize(
    ("app", "said"),
    [
        (twice, "start_response was called twice"),
        (never, "without calling start_response"),
        (no_bytes, "a str as a piece of its body; encode it"),
        (too_much, "write() was given more than the response's Content-Length"),
        (answering(b"", headers=[("Content-Length", "2")]), "ended 2 bytes before its Content-Length"),
        (answering(headers=[("Transfer-Encoding", "chunked")]), "the header Transfer-Encoding is about one connection"),
    ],
)
async def test_what_pep_3333_forbids_is_said(
    serve: Serve, caplog: pytest.LogCaptureFixture, app: WsgiCallable, said: str
) -> None:
    assert (await serve(app).get()).status == 500
    assert said in caplog.text


@every_way
async def test_a_body_longer_than_its_content_length_ends_there(
    serve: Serve, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    pieces = Pieces(iter(lambda: b"abc", None))
    answer = await serve(streaming(pieces, [("Content-Length", "7")]), way).get()
    assert (answer.body, answer.ended, pieces.closed) == (b"abcabca", True, 1)
    assert "more than its Content-Length" in caplog.text


async def test_a_body_shorter_than_its_content_length_is_cut(serve: Serve) -> None:
    answer = await serve(streaming(Pieces([b"abc"]), [("Content-Length", "7")])).get()
    assert (answer.body, answer.aborted) == (b"abc", True)


@pytest.mark.parametrize(("method", "status"), [("HEAD", OK), ("GET", "204 No Content"), ("GET", "304 Not Modified")])
async def test_a_response_without_a_body_may_say_how_long_it_would_be(serve: Serve, method: str, status: str) -> None:
    answer = await serve(answering(status=status, headers=[("Content-Length", "7")])).ask(MemoryExchange(method))
    assert (answer.status, answer.ended) == (int(status[:3]), True)


@every_way
async def test_an_iterable_is_closed_once(serve: Serve, way: str) -> None:
    pieces = Pieces([b"a", b"b"])
    assert (await serve(streaming(pieces), way).get()).body == b"ab"
    assert pieces.closed == 1


async def test_a_file_is_read_in_large_blocks_and_closed(serve: Serve) -> None:
    file = io.BytesIO(b"x" * 200_000)

    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response(OK, PLAIN)
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](file, 8192)
        return wrapped

    answer = await serve(app).get()
    assert (len(answer.body), max(map(len, answer.pieces)), file.closed) == (200_000, 65536, True)


async def test_requests_run_side_by_side_up_to_the_number_of_threads(serve: Serve) -> None:
    gate = Gate()

    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        gate.wait()
        start_response(OK, PLAIN)
        return [str(environ["wsgi.multithread"]).encode()]

    served = serve(app, size=2)
    exchanges = [MemoryExchange() for _ in range(3)]
    assert all(served.dispatcher.dispatch(exchange) for exchange in exchanges)
    await until(lambda: gate.reached == 2, "two threads")
    await asyncio.sleep(0)
    assert gate.reached == 2
    gate.open()
    await until(lambda: all(exchange.ended for exchange in exchanges) and not served.units.leases)
    assert exchanges[0].body == b"True"


async def test_past_a_bound_a_request_is_told_to_come_again(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "WAITING", 1)
    gate = Gate()

    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        gate.wait()
        start_response(OK, PLAIN)
        return []

    served = serve(app, size=1)
    running, waiting = MemoryExchange(), MemoryExchange()
    assert served.dispatcher.dispatch(running)
    assert served.dispatcher.dispatch(waiting)
    await until(lambda: gate.reached == 1)
    late = MemoryExchange()
    assert served.dispatcher.dispatch(late)
    await until(lambda: late.ended)
    assert (late.status, late.headers["retry-after"]) == (503, "1")
    gate.open()
    await until(lambda: waiting.ended and not served.units.leases)
    assert (await served.get()).status == 200


@every_way
async def test_a_request_that_is_ended_gets_a_503_and_its_thread_holds_the_units(serve: Serve, way: str) -> None:
    gate = Gate()

    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        gate.wait()
        start_response(OK, PLAIN)
        return [b"too late"]

    exchange, served = MemoryExchange(), serve(app, way, size=1)
    assert served.dispatcher.dispatch(exchange)
    await until(lambda: gate.reached, "the thread")
    (lease,) = served.units.leases
    assert lease.end("of a test")
    await until(lambda: exchange.ended, "the 503")
    assert exchange.status == 503
    await until(lambda: lease not in served.units.leases, "the request's own lease to go")
    (held,) = served.units.leases
    assert held.kind is LeaseKind.TASK
    assert isinstance(held.holder, threading.Thread)
    assert not held.end("again")
    gate.open()
    await until(lambda: not served.units.leases)
    assert (await served.get()).body == b"too late"


async def test_a_request_that_is_ended_while_it_waits_for_a_thread_never_runs(serve: Serve) -> None:
    gate = Gate()

    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        gate.wait()
        start_response(OK, PLAIN)
        return []

    served = serve(app, size=1)
    running, waiting = MemoryExchange(), MemoryExchange(target="/waits")
    assert served.dispatcher.dispatch(running)
    assert served.dispatcher.dispatch(waiting)
    await until(lambda: gate.reached == 1)
    await asyncio.sleep(0)
    next(lease for lease in served.units.leases if lease.path == "/waits").end("of a test")
    await until(lambda: waiting.ended)
    assert waiting.status == 503
    gate.open()
    await until(lambda: running.ended and not served.units.leases)
    assert gate.reached == 1


@pytest.mark.parametrize("room", [0, 1_000_000])
async def test_a_stream_that_is_ended_wakes_the_thread_that_waits_for_its_client(serve: Serve, room: int) -> None:
    pieces = Pieces(iter(lambda: b"x" * 100_000, None))
    exchange, served = MemoryExchange(window=1000), serve(streaming(pieces), room=room)
    assert served.dispatcher.dispatch(exchange)
    await until(lambda: exchange.pieces)
    next(iter(served.units.leases)).end("of a test")
    await until(lambda: exchange.aborted and not served.units.leases)
    assert pieces.closed == 1


async def test_an_outbound_handler_edits_the_head(serve: Serve) -> None:
    def edit(request: Request, response: Response, call: CallContext) -> None:
        response.status = 201
        response.headers["x-edited"] = response.headers["content-type"]

    answer = await serve(answering(b"hello"), Handler("test:edit", HandlerKind.OUTBOUND, edit)).get()
    assert (answer.status, answer.headers["x-edited"], answer.body) == (201, "text/plain", b"hello")


async def test_an_around_handler_catches_what_the_application_raises(serve: Serve) -> None:
    async def rescue(request: Request, call_next: CallNext, call: CallContext) -> Response:
        try:
            return await call_next(request)
        except LookupError:
            return Response.text("rescued", 404)

    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        raise LookupError

    answer = await serve(app, Handler("test:rescue", HandlerKind.AROUND, rescue)).get()
    assert (answer.status, answer.body) == (404, b"rescued")


@every_way
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_the_validator_of_the_standard_library_has_nothing_to_say(serve: Serve, way: str, method: str) -> None:
    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        file = environ["wsgi.input"]
        read = file.read(3) + file.readline() + b"".join(file.readlines())
        for line in file:
            read += line
        print("to the errors", file=environ["wsgi.errors"])
        environ["wsgi.errors"].flush()
        start_response(OK, [*PLAIN, ("X-Read", str(len(read)))])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [b"a", b"b"]

    body = [b"one\ntwo\n" * 10_000] if method == "POST" else []
    exchange = MemoryExchange(method, "/a%20b?c=d", headers=[(b"host", b"shop.example"), (b"x-a", b"1")], body=body)
    answer = await serve(validator(app), way).ask(exchange)
    assert (answer.status, answer.headers["x-read"]) == (200, str(sum(map(len, body))))


async def test_a_thread_ends_with_its_application(serve: Serve) -> None:
    application = WsgiApplication("app", answering(b"hello"), threads=3)
    served = Served(Pipeline("shop", (), application))
    await served.get()
    (thread,) = application.pool.unfinished()
    assert thread.name == "changeover app 0"
    await application.close(5)
    assert application.pool.unfinished() == ()
    until_sync(lambda: not thread.is_alive())


async def test_a_handler_that_calls_twice_at_once_costs_no_thread(serve: Serve) -> None:
    together = threading.Barrier(2, timeout=5)

    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        together.wait()
        start_response(OK, PLAIN)
        return [b"one of two"]

    async def hedge(request: Request, call_next: CallNext, call: CallContext) -> Response:
        first, _ = await asyncio.gather(call_next(request), call_next(request))
        return first

    served = serve(app, Handler("test:hedge", HandlerKind.AROUND, hedge))
    for _ in range(2):
        assert (await served.get()).body == b"one of two"
