"""Clients of WSGI applications that send and take slowly hold no thread: what they are behind with waits in a file."""

import asyncio
import os
import stat
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from changeover.workers.serving import backlog, pace, wsgi_input, wsgi_run
from changeover.workers.serving.assignment import owing, work_for
from changeover.workers.serving.contract import CallContext, CallNext, Request, Response
from changeover.workers.serving.handlers import Handler, HandlerKind
from changeover.workers.serving.lease import Lease, LeaseKind
from changeover.workers.serving.pipeline import Pipeline
from changeover.workers.serving.spool import MOST, Room
from changeover.workers.serving.wsgi import WsgiApplication, WsgiCallable
from tests.exchange import MemoryExchange, Served
from tests.full_disk import full_from
from tests.uploads import body_of, length, received, received_of
from tests.waits import until
from tests.wsgi import OK, PLAIN, application

Environ = dict[str, Any]
SIZE = 1_000_000


async def pass_on(request: Request, call_next: CallNext, call: CallContext) -> Response:
    return await call_next(request)


WAYS = {"direct": (), "through an around": (Handler("test:pass_on", HandlerKind.AROUND, pass_on),)}
every_way = pytest.mark.parametrize("way", WAYS)


class One:
    """An application with one thread or a few, of which one is free or none.

    Attributes:
        app: The application.
        served: Where it answers.
    """

    def __init__(self, app: WsgiApplication, way: str) -> None:
        self.app = app
        self.served = Served(Pipeline("shop", WAYS[way], app))

    async def answers_others(self) -> None:
        """It answers somebody else."""
        answer = await self.served.try_one()
        assert (answer.status, answer.body) == (200, b"hello")


@pytest.fixture
async def one(way: str) -> AsyncIterator[Callable[..., One]]:
    """Serves what /slow is answered by, and greets everybody else."""
    made: list[WsgiApplication] = []

    def serve(slow: WsgiCallable, room: int = MOST, threads: int = 1) -> One:
        def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
            if environ["PATH_INFO"] == "/slow":
                return slow(environ, start_response)
            start_response(OK, PLAIN)
            return [b"hello"]

        made.append(WsgiApplication("app", app, threads=threads))
        made[-1].room = Room(room)
        return One(made[-1], way)

    yield serve
    for app in made:
        await app.close(5)
        assert app.pool.unfinished() == ()
        await until(lambda app=app: not app.room.held, "files to be gone")  # type: ignore[misc]


def never_called(environ: Environ, start_response: Any) -> Iterable[bytes]:
    raise AssertionError("it was called")


@every_way
async def test_a_body_is_there_before_a_thread_is_taken(one: Callable[..., One], way: str) -> None:
    serving, body = one(received), body_of(SIZE)
    slow = MemoryExchange("POST", "/slow", body=[body[:100_000]], complete=False)
    assert serving.served.dispatcher.dispatch(slow)
    await until(lambda: serving.app.room.held == 100_000, "what has come to be in a file")
    assert not serving.app.pool.is_busy
    await serving.answers_others()
    slow.arrive(*(body[start : start + 90_000] for start in range(100_000, len(body), 90_000)), None)
    await until(lambda: slow.ended, "an answer")
    assert slow.body == received_of(body, told=len(body))


@every_way
async def test_of_a_body_in_a_file_the_length_is_told_and_no_coding(one: Callable[..., One], way: str) -> None:
    body, fields = body_of(SIZE), [(b"transfer-encoding", b"chunked")]
    answer = await one(received).served.ask(MemoryExchange("POST", "/slow", headers=fields, body=[body]))
    assert answer.body.endswith(f"('{len(body)}', None)".encode())


@every_way
@pytest.mark.parametrize("room", [0, 150_000, 400_000])
async def test_a_body_for_which_there_is_no_room_comes_whole(one: Callable[..., One], way: str, room: int) -> None:
    body = body_of(SIZE)
    pieces = [body[start : start + 70_000] for start in range(0, len(body), 70_000)]
    answer = await one(received, room).served.ask(MemoryExchange("POST", "/slow", headers=length(body), body=pieces))
    assert answer.body == received_of(body, told=len(body))


@every_way
@pytest.mark.parametrize("size", [0, 6, SIZE])
async def test_of_a_body_without_a_length_the_length_is_told(one: Callable[..., One], way: str, size: int) -> None:
    body = body_of(size)
    answer = await one(received).served.ask(MemoryExchange("POST", "/slow", body=[body] if body else []))
    assert answer.body == received_of(body, told=len(body) or None)


@every_way
async def test_a_body_without_a_length_is_not_taken_for_an_empty_one_where_there_is_no_room(
    one: Callable[..., One], way: str
) -> None:
    serving = one(never_called, 100_000)
    answer = await serving.served.ask(MemoryExchange("POST", "/slow", body=[b"x" * 70_000] * 2))
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    await serving.answers_others()


@every_way
async def test_a_body_without_a_length_is_refused_beyond_what_is_kept_of_one(
    one: Callable[..., One], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wsgi_input, "MOST_UNTOLD", 100_000)
    serving = one(never_called)
    answer = await serving.served.ask(MemoryExchange("POST", "/slow", body=[b"x" * 70_000] * 2))
    assert answer.status == 413
    await serving.answers_others()


@every_way
async def test_of_a_piece_of_a_body_that_a_full_disk_took_in_part_nothing_is_read_twice(
    one: Callable[..., One], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "pwrite", full_from(100_000))
    body = body_of(SIZE)
    pieces = [body[start : start + 70_000] for start in range(0, len(body), 70_000)]
    answer = await one(received).served.ask(MemoryExchange("POST", "/slow", headers=length(body), body=pieces))
    assert answer.body == received_of(body, told=len(body))


@every_way
async def test_long_bodies_that_come_slowly_leave_threads_to_others(
    one: Callable[..., One], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wsgi_input, "MOST", 100_000)
    serving, body = one(received, threads=2), body_of(SIZE)
    begun = [body[:100_000], body[100_000:170_000]]
    slow = [MemoryExchange("POST", "/slow", headers=length(body), body=begun, complete=False) for _ in range(3)]
    assert all(serving.served.dispatcher.dispatch(exchange) for exchange in slow)
    await until(lambda: serving.app.room.held == 300_000 and serving.app.readers.are_busy, "a thread that reads")
    await serving.answers_others()
    for exchange in slow:
        exchange.arrive(body[170_000:], None)
    await until(lambda: all(exchange.ended for exchange in slow), "answers to all")
    assert [exchange.body for exchange in slow] == [received_of(body, told=len(body))] * 3


@pytest.mark.parametrize("way", ["direct"])
async def test_what_waits_for_a_thread_that_may_read_can_be_ended(
    one: Callable[..., One], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wsgi_input, "MOST", 0)
    serving, fields = one(received), length(b"x" * 100_000)
    reads, waits = (
        MemoryExchange("POST", target, headers=fields, body=[b"x" * 70_000], complete=False)
        for target in ("/slow", "/waits")
    )
    for exchange in (reads, waits):
        assert serving.served.dispatcher.dispatch(exchange)
    await until(lambda: serving.app.readers.are_busy, "a thread that reads")
    await asyncio.sleep(0)
    next(lease for lease in serving.served.units.leases if lease.path == "/waits").end("of a test")
    await until(lambda: waits.ended, "an answer")
    assert (waits.status, reads.status) == (503, 0)
    reads.arrive(b"x" * 30_000, None)
    await until(lambda: reads.ended and not serving.served.units.leases, "the other's answer")
    assert not serving.app.readers.are_busy


@every_way
async def test_code_that_blocks_beside_the_loop_holds_up_neither_bodies_nor_responses(
    one: Callable[..., One], way: str
) -> None:
    loop, released = asyncio.get_running_loop(), threading.Event()
    loop.set_default_executor(ThreadPoolExecutor(1))
    blocked = loop.run_in_executor(None, released.wait, 10)
    try:
        made, body = Made(100), body_of(SIZE)
        serving, slow = one(received), MemoryExchange("POST", "/slow", headers=length(body), body=[body])
        assert (await serving.served.ask(slow)).body == received_of(body, told=len(body))
        serving, slow = one(made), MemoryExchange(target="/slow", window=20_000)
        assert serving.served.dispatcher.dispatch(slow)
        await until(made.closed.is_set, "the application to be done")
        await taken(slow)
        assert slow.body == made.body
        assert not blocked.done()
    finally:
        released.set()
        await blocked


def threads_of_disks() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("changeover app disk")]


async def test_threads_for_files_begin_with_the_first_and_end_with_the_application() -> None:
    await until(lambda: not threads_of_disks(), "those of other tests to be gone")
    async with application(received) as app:
        served = Served(Pipeline("shop", (), app))
        await served.post("/", b"x" * 60_000)
        assert not threads_of_disks()
        await served.post("/", b"x" * 70_000)
        assert threads_of_disks()
    await until(lambda: not threads_of_disks(), "their end")


@every_way
async def test_a_client_that_leaves_in_its_body_takes_no_thread(one: Callable[..., One], way: str) -> None:
    called: list[Environ] = []

    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        called.append(environ)
        return []

    serving = one(app)
    slow = MemoryExchange("POST", "/slow", body=[b"x" * 100_000], complete=False)
    assert serving.served.dispatcher.dispatch(slow)
    await until(lambda: serving.app.room.held, "a file")
    slow.hang_up()
    await until(lambda: not serving.served.units.leases, "its end")
    assert not called


@every_way
async def test_a_request_that_is_ended_while_its_body_comes_leaves_no_file(one: Callable[..., One], way: str) -> None:
    serving = one(received)
    slow = MemoryExchange("POST", "/slow", body=[b"x" * 100_000], complete=False)
    assert serving.served.dispatcher.dispatch(slow)
    await until(lambda: serving.app.room.held, "a file")
    next(iter(serving.served.units.leases)).end("of a test")
    await until(lambda: slow.ended, "an answer")
    assert slow.status == 503


async def test_a_body_that_drips_comes_whole() -> None:
    async with application(received) as app:
        served = Served(Pipeline("shop", (), app))
        answer = await served.ask(MemoryExchange("POST", body=[b"ab"] * 70_000))
    assert answer.body.startswith(b"140000 ")


class Made:
    """An application that makes pieces, and notes which.

    Args:
        count: How many.
        size: Bytes of each.
        write: Whether it does so by `write()`.

    Attributes:
        made: How many it has made.
        closed: Whether its iterable was closed.
        body: All of it.
    """

    def __init__(self, count: int, size: int = 10_000, *, write: bool = False) -> None:
        self.made = 0
        self.closed = threading.Event()
        self._pieces = [b"%04d" % number * (size // 4) for number in range(count)]
        self._write = write
        self.body = b"".join(self._pieces)

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        write = start_response(OK, PLAIN)
        if not self._write:
            return self
        for piece in self:
            write(piece)
        self.closed.set()
        return []

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self.made += 1
            yield piece

    def close(self) -> None:
        self.closed.set()


async def taken(slow: MemoryExchange) -> None:
    """Let the client take all that comes."""
    while not slow.ended:
        slow.take()
        await until(lambda: slow.ended or slow.backed_up(), "more, or the end")


@every_way
@pytest.mark.parametrize("write", [False, True], ids=["iterated", "written"])
async def test_a_client_that_takes_nothing_holds_no_thread(one: Callable[..., One], way: str, write: bool) -> None:
    made = Made(100, write=write)
    serving, slow = one(made), MemoryExchange(target="/slow", window=20_000)
    assert serving.served.dispatcher.dispatch(slow)
    await until(made.closed.is_set, "the application to be done")
    await until(lambda: not serving.app.pool.is_busy, "its thread to be free")
    assert len(slow.body) < 300_000
    await serving.answers_others()
    assert LeaseKind.STREAM in {lease.kind for lease in serving.served.units.leases}
    await taken(slow)
    assert slow.body == made.body
    await until(lambda: not serving.served.units.leases)


@every_way
async def test_a_thread_waits_past_what_may_wait_for_one_client(
    one: Callable[..., One], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "MOST", 200_000)
    made = Made(100)
    serving, slow = one(made), MemoryExchange(target="/slow", window=20_000)
    assert serving.served.dispatcher.dispatch(slow)
    await until(lambda: serving.app.room.held == 200_000, "a full file")
    assert made.made < 50
    await taken(slow)
    assert (slow.body, made.made) == (made.body, 100)
    await until(lambda: not serving.served.units.leases)


@every_way
async def test_a_thread_waits_where_there_is_no_more_room_for_anybody(one: Callable[..., One], way: str) -> None:
    made = Made(100)
    serving, slow = one(made, 100_000), MemoryExchange(target="/slow", window=20_000)
    assert serving.served.dispatcher.dispatch(slow)
    await until(lambda: serving.app.room.held == 100_000, "a full file")
    assert made.made < 40
    await taken(slow)
    assert slow.body == made.body
    await until(lambda: not serving.served.units.leases)


@every_way
@pytest.mark.parametrize("told", [False, True], ids=["length unknown", "length told"])
async def test_who_takes_nothing_of_more_than_may_wait_for_it_is_cut_off_where_others_wait_for_its_thread(
    one: Callable[..., One], way: str, told: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(backlog, "MOST", 200_000)
    monkeypatch.setattr(pace, "WINDOW", 0.2)
    made = Made(100)

    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response(OK, [*PLAIN, ("Content-Length", str(len(made.body)))] if told else PLAIN)
        return made

    serving, slow = one(app), MemoryExchange(target="/slow", window=20_000)
    assert serving.served.dispatcher.dispatch(slow)
    await until(lambda: serving.app.room.held == 200_000, "a full file")
    assert serving.app.pool.is_busy, "nobody else wants the thread"
    await serving.answers_others()
    assert "GET /slow: cut off: its client took less than 4 KiB/s" in caplog.text
    assert made.made < 50
    await until(lambda: slow.aborted or slow.backed_up())
    while not slow.aborted:
        slow.take()
        await until(lambda: slow.aborted or slow.backed_up(), "more of what was made, or the end")
    assert not slow.ended, "it could take that for all"
    assert len(slow.body) >= 200_000
    assert made.body.startswith(slow.body)
    await until(lambda: not serving.served.units.leases)


class Acknowledging(MemoryExchange):
    """Of what a client takes the loop hears nothing; asked for it, the kernel says that it was so much more.

    Args:
        step: Bytes that were acknowledged from one measure to the next.
    """

    def __init__(self, step: int) -> None:
        super().__init__(target="/slow", window=20_000)
        self.measures = 0
        self._step = step

    @property
    def untaken(self) -> int:
        self.measures += 1
        return super().untaken - self.measures * self._step


@every_way
@pytest.mark.parametrize(("step", "cut"), [(10_000, False), (100, True)], ids=["enough", "some bytes now and then"])
async def test_it_is_what_a_client_acknowledges_that_counts(
    one: Callable[..., One],
    way: str,
    step: int,
    cut: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(backlog, "MOST", 200_000)
    monkeypatch.setattr(pace, "WINDOW", 0.05)
    serving, slow = one(Made(100)), Acknowledging(step)
    assert serving.served.dispatcher.dispatch(slow)
    await until(lambda: serving.app.room.held == 200_000, "a full file")
    other = asyncio.create_task(serving.answers_others())
    await until(lambda: other.done() or slow.measures >= 5, "an end, or some measures")
    assert (other.done(), "cut off" in caplog.text) == (cut, cut)
    slow.hang_up()
    await other
    await until(lambda: not serving.served.units.leases)


@every_way
async def test_the_kernel_is_asked_when_a_thread_begins_to_wait_and_not_whenever_its_client_takes_something(
    one: Callable[..., One], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "MOST", 200_000)
    monkeypatch.setattr(backlog, "PIECE", 2_000)
    made = Made(100)
    serving, slow = one(made), Acknowledging(0)
    assert serving.served.dispatcher.dispatch(slow)
    await until(lambda: slow.measures == 1, "the first measure")
    await taken(slow)
    assert slow.body == made.body
    waits = len(made.body) // backlog.MOST
    assert slow.measures <= waits < len(made.body) // 20_000, "a thread waits less often than its client takes"


@every_way
async def test_who_takes_some_of_it_again_and_again_is_waited_for(
    one: Callable[..., One], way: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(backlog, "MOST", 100_000)
    made = Made(100)
    serving, slow = one(made), MemoryExchange(target="/slow", window=20_000)
    assert serving.served.dispatcher.dispatch(slow)
    await until(lambda: serving.app.room.held == 100_000, "a full file")
    other = asyncio.create_task(serving.answers_others())
    await until(lambda: serving.app.waiting == 1, "somebody else to wait")
    await taken(slow)
    assert (slow.body, "cut off" in caplog.text) == (made.body, False)
    await other


@every_way
async def test_a_client_that_leaves_ends_what_was_put_aside_for_it(one: Callable[..., One], way: str) -> None:
    made = Made(100)
    serving, slow = one(made), MemoryExchange(target="/slow", window=20_000)
    assert serving.served.dispatcher.dispatch(slow)
    await until(lambda: made.closed.is_set() and serving.app.room.held, "the application to be done")
    slow.hang_up()
    await until(lambda: not serving.served.units.leases, "its end")


@every_way
async def test_a_response_that_is_ended_after_its_thread_has_left_is_broken_off(
    one: Callable[..., One], way: str
) -> None:
    made = Made(100)
    serving, slow = one(made), MemoryExchange(target="/slow", window=20_000)
    assert serving.served.dispatcher.dispatch(slow)
    await until(lambda: made.closed.is_set() and not serving.app.pool.is_busy, "the thread to be free")
    for lease in serving.served.units.live_leases():
        lease.end("of a test")
    await until(lambda: slow.aborted and not serving.served.units.leases, "its end")
    await serving.answers_others()


@every_way
@pytest.mark.parametrize("buffering", [-1, 0], ids=["buffered", "raw"])
@pytest.mark.parametrize("told", [True, False], ids=["with a length", "without"])
async def test_a_file_is_left_to_the_loop_for_a_client_that_takes_nothing(
    one: Callable[..., One], way: str, tmp_path: Path, buffering: int, told: bool
) -> None:
    path, body, skipped, behind = tmp_path / "file", body_of(SIZE), 1000, 500
    path.write_bytes(body + b"x" * behind)
    files: list[Any] = []

    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        files.append(path.open("rb", buffering))
        files[0].seek(skipped)
        length = [("Content-Length", str(len(body) - skipped))] if told else []
        start_response(OK, [*PLAIN, *length])
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](files[0], 8192)
        return wrapped

    serving, slow = one(app), MemoryExchange(target="/slow", window=20_000)
    assert serving.served.dispatcher.dispatch(slow)
    await until(lambda: files and files[0].closed, "the application to be done with it")
    path.unlink()
    await serving.answers_others()
    assert serving.app.room.held == 0, "no copy of it"
    await taken(slow)
    assert slow.body == body[skipped:] + (b"" if told else b"x" * behind)
    await until(lambda: not serving.served.units.leases)


@every_way
@pytest.mark.parametrize(
    ("size", "told"), [(0, False), (SIZE // 2, True)], ids=["that has no size", "that is being written"]
)
async def test_a_file_that_has_more_than_its_size_says_is_read_to_its_end(
    one: Callable[..., One], way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, told: bool
) -> None:
    path, body, look = tmp_path / "file", body_of(SIZE), os.fstat
    path.write_bytes(body)
    files: list[Any] = []

    def seen(descriptor: int) -> os.stat_result:
        return os.stat_result([size if at == stat.ST_SIZE else value for at, value in enumerate(look(descriptor)[:10])])

    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response(OK, [*PLAIN, *([("Content-Length", str(len(body)))] if told else [])])
        files.append(path.open("rb"))
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](files[0])
        return wrapped

    monkeypatch.setattr(os, "fstat", seen)
    serving, slow = one(app), MemoryExchange(target="/slow", window=20_000)
    assert serving.served.dispatcher.dispatch(slow)
    await until(lambda: files and files[0].closed, "the application to be done with it")
    await taken(slow)
    assert slow.body == body
    await until(lambda: not serving.served.units.leases)


@every_way
async def test_a_body_that_is_sent_back_goes_on_to_take_room(one: Callable[..., One], way: str) -> None:
    def echo(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response(OK, PLAIN)
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](environ["wsgi.input"])
        return wrapped

    serving, body = one(echo), body_of(SIZE)
    slow = MemoryExchange("POST", "/slow", headers=length(body), body=[body], window=20_000)
    assert serving.served.dispatcher.dispatch(slow)
    await until(lambda: slow.pieces and not serving.app.pool.is_busy, "the application to be done")
    assert len(body) // 2 < serving.app.room.held < len(body)
    await taken(slow)
    assert slow.body == body
    await until(lambda: not serving.served.units.leases)


async def test_a_client_that_keeps_up_costs_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wsgi_run, "PATIENCE", 10)
    monkeypatch.setattr(backlog.Backlog, "put", None)
    made = Made(100)
    async with application(made) as app:
        answer = await Served(Pipeline("shop", (), app)).get()
    assert answer.body == made.body


@every_way
async def test_where_no_file_can_be_made_threads_wait_and_that_is_said_once(
    one: Callable[..., One], way: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    made = Made(100)
    serving, slow = one(made), MemoryExchange(target="/slow", window=20_000)
    assert serving.served.dispatcher.dispatch(slow)
    await until(lambda: caplog.text, "a warning")
    await taken(slow)
    assert slow.body == made.body
    await until(lambda: not serving.served.units.leases)
    assert caplog.text.count("cannot be kept in a temporary file") == 1
    assert "TMPDIR" in caplog.text


@every_way
@pytest.mark.parametrize("room", [0, MOST], ids=["read as it comes", "kept"])
async def test_nothing_is_owed_while_a_body_is_waited_for(one: Callable[..., One], way: str, room: int) -> None:
    serving, body = one(received, room, threads=4), body_of(SIZE)
    slow = MemoryExchange("POST", "/slow", headers=length(body), body=[body[:100_000]], complete=False)
    assert serving.served.dispatcher.dispatch(slow)
    [lease] = serving.served.units.leases
    await until(lambda: lease.resumed and not lease.owes, "the body to be waited for")
    assert bool(work_for(lease)) is (room == 0)
    assert lease not in [each.lease for each in owing()]
    slow.arrive(body[100_000:], None)
    await until(lambda: slow.ended, "an answer")
    assert slow.body == received_of(body, told=len(body))


@every_way
async def test_a_body_that_waits_for_others_to_be_read_owes_nothing(one: Callable[..., One], way: str) -> None:
    serving, body = one(received, 0), body_of(SIZE)
    slow = [MemoryExchange("POST", "/slow", headers=length(body), body=[body[:100_000]], complete=False) for _ in "12"]
    leases: list[Lease] = []
    for each in slow:
        assert serving.served.dispatcher.dispatch(each)
        [lease] = serving.served.units.leases - set(leases)
        leases.append(lease)
    await until(lambda: work_for(leases[0]) and leases[0].reads and leases[1].waits, "the second to wait for the first")
    assert [lease.owes for lease in leases] == [False, False]
    for each in slow:
        each.arrive(body[100_000:], None)
        await until(lambda each=each: each.ended, "an answer")  # type: ignore[misc]
    assert [each.body for each in slow] == [received_of(body, told=len(body))] * 2
    assert not any(lease.waits for lease in leases), "each had a thread"
