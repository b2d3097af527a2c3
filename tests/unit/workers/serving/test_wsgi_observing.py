"""What is counted and told of a WSGI application: the same as of any other."""

import threading
from collections.abc import Iterable
from typing import Any

import pytest

from changeover.workers.protocol.counted import ServiceCounts
from changeover.workers.serving import threads
from changeover.workers.serving.contract import CallContext, CallNext, Request, Response
from changeover.workers.serving.counters import Counters
from changeover.workers.serving.handlers import Handler, HandlerKind
from changeover.workers.serving.observation import PipelineEventKind
from changeover.workers.serving.pipeline import Pipeline
from tests.exchange import MemoryExchange, Served
from tests.ready_made import Listener
from tests.waits import until
from tests.wsgi import OK, PLAIN, answering, application


async def pass_on(request: Request, call_next: CallNext, call: CallContext) -> Response:
    return await call_next(request)


def look(request: Request, response: Response, call: CallContext) -> None:
    """See a response."""


WAYS = {
    "alone": (),
    "behind an outbound": (Handler("test:look", HandlerKind.OUTBOUND, look),),
    "through an around": (Handler("test:pass_on", HandlerKind.AROUND, pass_on),),
}
every_way = pytest.mark.parametrize("handlers", WAYS.values(), ids=WAYS)


@every_way
async def test_a_response_is_counted_once_also_one_that_words_an_error(handlers: tuple[Handler, ...]) -> None:
    async with application(answering(b"hello", status="201 Created")) as app:
        served = Served(Pipeline("shop", handlers, app))
        await served.get()
        await served.get()
    assert served.units.counters.counts().responses == {"2xx": 2}
    async with application(answering(b"hello", status="none")) as app:
        served = Served(Pipeline("shop", handlers, app))
        await served.get()
    assert served.units.counters.counts().responses == {"5xx": 1}


@every_way
async def test_a_client_that_does_not_take_its_response_is_told_of(handlers: tuple[Handler, ...]) -> None:
    heard = Listener()
    exchange = MemoryExchange(window=10)
    async with application(answering(*[b"x" * 40_000] * 4)) as app:
        served = Served(Pipeline("shop", handlers, app, counters=Counters(heard)))
        served.dispatcher.dispatch(exchange)
        await until(lambda: heard.kinds[-1:] == [PipelineEventKind.BACKPRESSURE_BEGAN], "backpressure")
        while not exchange.ended:
            exchange.take()
            await until(lambda: exchange.ended or exchange.backed_up(), "more")
    assert heard.kinds.count(PipelineEventKind.BACKPRESSURE_ENDED) == heard.kinds.count(
        PipelineEventKind.BACKPRESSURE_BEGAN
    )


class Gate:
    """An application that answers once it is let."""

    def __init__(self) -> None:
        self.entered = 0
        self.opened = threading.Event()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.entered += 1
        assert self.opened.wait(10)
        start_response(OK, PLAIN)
        return [b"late"]


@every_way
async def test_a_pool_with_no_room_is_counted_and_told_as_not_ready(
    handlers: tuple[Handler, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "WAITING", 0)
    heard, gate = Listener(), Gate()
    counters = Counters(heard)
    async with application(gate, threads=1) as app:
        served = Served(Pipeline("shop", handlers, app, service="app", counters=counters))
        served.dispatcher.dispatch(MemoryExchange())
        await until(lambda: gate.entered == 1, "the first request")
        assert [(await served.try_one()).status for _ in range(2)] == [503, 503]
        assert counters.counts().services == {"app": ServiceCounts(2, 1)}
        gate.opened.set()
        await until(lambda: not served.units.leases, "the first answer")
        assert (await served.get()).status == 200
    assert counters.counts().services == {"app": ServiceCounts(2, 0)}
    assert [(event.kind, event.subject) for event in heard.events] == [
        (PipelineEventKind.NOT_READY_BEGAN, "app"),
        (PipelineEventKind.NOT_READY_ENDED, "app"),
    ]


async def waited(handlers: tuple[Handler, ...], heard: Listener, count: int) -> None:
    """Have so many requests wait for a thread, and answer all."""
    gate = Gate()
    async with application(gate, threads=1) as app:
        served = Served(Pipeline("shop", handlers, app, counters=Counters(heard)))
        for _ in range(1 + count):
            served.dispatcher.dispatch(MemoryExchange())
        await until(lambda: app.pool.waiting == count, "some that wait")
        gate.opened.set()
        await until(lambda: not served.units.leases, "all answers")
        assert app.waiting == 0


@every_way
async def test_that_requests_wait_for_a_thread_is_told_once(handlers: tuple[Handler, ...]) -> None:
    heard = Listener()
    await waited(handlers, heard, 3)
    told = [(event.kind.value, event.subject) for event in heard.events]
    assert told == [("wait began", "app"), ("wait ended", "app")]


async def test_who_listens_in_front_hears_of_each_request_that_waits_for_a_thread() -> None:
    heard = Listener()

    def listen(request: Request, call: CallContext) -> None:
        call.observer = heard

    await waited((Handler("test:listen", HandlerKind.INBOUND, listen),), Listener(), 3)
    assert sorted(kind.value for kind in heard.kinds) == ["wait began"] * 3 + ["wait ended"] * 3
