"""WSGI requests that need no task, and when they get one."""

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from changeover.workers.serving import threads
from changeover.workers.serving.contract import CallContext, Request
from changeover.workers.serving.exchange import RawHeaders
from changeover.workers.serving.handlers import Handler, HandlerKind
from changeover.workers.serving.lease import Lease, LeaseKind, Taskless, current_lease
from changeover.workers.serving.observation import PipelineEvent, PipelineEventKind
from changeover.workers.serving.pipeline import Pipeline
from changeover.workers.serving.wsgi import WsgiApplication
from changeover.workers.serving.wsgi_taskless import TasklessWsgiCall
from tests.exchange import MemoryExchange, Served
from tests.waits import until
from tests.wsgi import OK, PLAIN, application

Environ = dict[str, Any]
HELLO = [*PLAIN, ("Content-Length", "5")]


class Held:
    """An application whose thread waits until a test lets it on: before its response, and when that is complete.

    Attributes:
        began: How often it was called.
        answer: Lets it answer.
        leave: Lets it leave.
    """

    def __init__(self) -> None:
        self.began = 0
        self.answer, self.leave = threading.Event(), threading.Event()

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        self.began += 1
        assert self.answer.wait(10), "the test never let it answer"
        start_response(OK, HELLO if environ["PATH_INFO"] != "/stream" else PLAIN)
        return self

    def __iter__(self) -> "Held":
        self._pieces = iter([b"hello"])
        return self

    def __next__(self) -> bytes:
        return next(self._pieces)

    def close(self) -> None:
        assert self.leave.wait(10), "the test never let it leave"


@pytest.fixture
async def held() -> AsyncIterator[Held]:
    """What the test lets on in the end, if it did not itself."""
    app = Held()
    yield app
    app.answer.set()
    app.leave.set()


@pytest.fixture
async def app(held: Held) -> AsyncIterator[WsgiApplication]:
    async with application(held, threads=1) as made:
        yield made
        held.answer.set()
        held.leave.set()


@pytest.fixture
def served(app: WsgiApplication) -> Served:
    return Served(Pipeline("shop", (), app))


async def begun(served: Served, held: Held, target: str = "/") -> tuple[MemoryExchange, Lease]:
    """A request whose thread waits."""
    exchange = MemoryExchange(target=target)
    assert served.dispatcher.dispatch(exchange)
    await until(lambda: held.began, "the thread")
    (lease,) = served.units.leases
    return exchange, lease


async def test_a_whole_response_takes_no_task(served: Served, held: Held) -> None:
    before = asyncio.all_tasks()
    exchange, lease = await begun(served, held)
    assert isinstance(lease.holder, Taskless)
    held.answer.set()
    await until(lambda: exchange.ended)
    assert (exchange.status, exchange.body, lease.kind) == (200, b"hello", LeaseKind.TASK)
    assert lease in served.units.leases, "the thread has not left"
    held.leave.set()
    await until(lambda: not served.units.leases)
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("status", ["200 OK", "204 No Content", "304 Not Modified"])
async def test_nor_does_a_response_without_a_body(status: str) -> None:
    def nothing(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response(status, [("ETag", "a")])
        return []

    holders: list[object] = []

    class Watching(MemoryExchange):
        def end(self) -> None:
            holders.extend(lease.holder for lease in behind.units.leases)
            super().end()

    async with application(nothing) as app:
        behind = Served(Pipeline("shop", (), app))
        exchange = Watching()
        assert behind.dispatcher.dispatch(exchange)
        await until(lambda: exchange.ended and not behind.units.leases)
    assert (exchange.status, exchange.body) == (int(status[:3]), b"")
    assert isinstance(holders[0], Taskless)


async def test_what_comes_in_pieces_gets_a_task(served: Served, held: Held) -> None:
    exchange, lease = await begun(served, held, "/stream")
    assert isinstance(lease.holder, Taskless)
    held.answer.set()
    await until(lambda: exchange.pieces)
    assert isinstance(lease.holder, asyncio.Task)
    assert lease.holder.get_name() == "changeover: shop"
    held.leave.set()
    await until(lambda: exchange.ended and not served.units.leases)
    assert exchange.body == b"hello"


async def test_so_does_a_request_whose_body_has_yet_to_come(served: Served, held: Held) -> None:
    exchange = MemoryExchange("POST", body=[b"a"])
    assert served.dispatcher.dispatch(exchange)
    (lease,) = served.units.leases
    assert isinstance(lease.holder, asyncio.Task)
    held.answer.set()
    held.leave.set()
    await until(lambda: exchange.ended and not served.units.leases)


async def test_one_that_is_ended_behind_its_response_leaves_the_thread(served: Served, held: Held) -> None:
    exchange, lease = await begun(served, held)
    held.answer.set()
    await until(lambda: exchange.ended)
    assert lease.end("of a test")
    await until(lambda: lease not in served.units.leases)
    (left,) = served.units.leases
    assert isinstance(left.holder, threading.Thread)
    held.leave.set()
    await until(lambda: not served.units.leases)
    assert (exchange.status, exchange.body, exchange.aborted) == (200, b"hello", False)


class Refusing(MemoryExchange):
    """Cannot send what an application answers."""

    def answer(self, status: int, headers: RawHeaders, body: bytes) -> None:
        if status == 200:
            raise ValueError("it cannot be sent")
        super().answer(status, headers, body)


async def test_a_response_that_cannot_be_sent_becomes_a_500(
    served: Served, held: Held, caplog: pytest.LogCaptureFixture
) -> None:
    held.answer.set()
    held.leave.set()
    answer = await served.ask(Refusing())
    assert (answer.status, answer.ended) == (500, True)
    assert "it cannot be sent" in caplog.text


async def test_where_no_thread_can_be_started_the_client_is_told(
    served: Served, held: Held, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def scarce(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", scarce)
        assert (await served.ask(MemoryExchange())).status == 500
    assert "can't start new thread" in caplog.text
    held.answer.set()
    held.leave.set()
    assert (await served.ask(MemoryExchange())).status == 200


async def test_a_request_leaves_nothing_to_the_collector(served: Served, held: Held) -> None:
    held.answer.set()
    held.leave.set()
    await served.ask(MemoryExchange())
    gc.collect()
    gc.disable()
    try:
        await served.ask(MemoryExchange())
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        kept = [each for each in gc.garbage if type(each).__module__.startswith("changeover.workers.serving")]
        assert kept == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


async def test_nor_does_one_that_is_refused_a_thread(
    served: Served, held: Held, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    held.answer.set()
    held.leave.set()
    await served.ask(MemoryExchange())
    monkeypatch.setattr(threads, "WAITING", -1)
    gc.collect()
    gc.disable()
    try:
        assert (await served.ask(MemoryExchange())).status == 503
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        kept = [each for each in gc.garbage if isinstance(each, TasklessWsgiCall)]
        assert kept == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


SECRET: ContextVar[str] = ContextVar("secret", default="")


class Noting(MemoryExchange):
    """Notes under whose lease its answer is sent, and what of an application's is to be seen then.

    Attributes:
        under: The path of that lease.
        seen: What is seen.
    """

    under = seen = ""

    def answer(self, status: int, headers: RawHeaders, body: bytes) -> None:
        lease = current_lease.get()
        self.under, self.seen = "" if lease is None else lease.path, SECRET.get()
        super().answer(status, headers, body)


async def test_each_response_is_sent_under_its_own_lease_whichever_thread_woke_the_loop() -> None:
    turns = {path: threading.Event() for path in ("/a", "/b")}
    answered = {path: threading.Event() for path in turns}

    class App:
        def __init__(self, environ: Environ, start_response: Callable[..., Any]) -> None:
            self._path = environ["PATH_INFO"]
            SECRET.set(self._path)
            assert turns[self._path].wait(10), "the test never let it answer"
            start_response(OK, HELLO)

        def __iter__(self) -> Iterator[bytes]:
            return iter([b"hello"])

        def close(self) -> None:
            answered[self._path].set()

    async with application(App, threads=2) as app:
        served = Served(Pipeline("shop", (), app))
        exchanges = {path: Noting(target=path) for path in turns}
        for exchange in exchanges.values():
            assert served.dispatcher.dispatch(exchange)
        await asyncio.sleep(0)
        for path, turn in turns.items():  # while the loop stands still, so that it hears of both at once
            turn.set()
            assert answered[path].wait(10)
        await until(lambda: not served.units.leases)
    assert {path: (each.under, each.seen) for path, each in exchanges.items()} == {"/a": ("/a", ""), "/b": ("/b", "")}


class Broken:
    """Listens for a request that waits, and raises when it has a thread."""

    def note(self, event: PipelineEvent) -> None:
        if event.kind is PipelineEventKind.WAIT_ENDED:
            raise ValueError("of a listener")


def overhear(request: Request, call: CallContext) -> None:
    call.observer = Broken()


async def test_a_request_lets_go_also_where_who_listens_for_the_next_one_fails(
    app: WsgiApplication, served: Served, held: Held
) -> None:
    errors: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    _, lease = await begun(served, held)
    behind = Served(Pipeline("heard", (Handler("test:overhear", HandlerKind.INBOUND, overhear),), app))
    assert behind.dispatcher.dispatch(MemoryExchange())
    await until(lambda: app.waiting, "the next one to wait")
    held.answer.set()
    held.leave.set()
    await until(lambda: not behind.units.leases)
    assert lease not in served.units.leases
    assert [str(error["exception"]) for error in errors] == ["of a listener"]
