"""What a pipeline counts and tells while it serves."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from changeover.workers.protocol.counted import HandlerCounts, ServiceCounts
from changeover.workers.serving import timing
from changeover.workers.serving.answering import Answering
from changeover.workers.serving.asgi import Application
from changeover.workers.serving.contract import (
    BodyTooLarge,
    CallContext,
    CallNext,
    NotReady,
    Request,
    Response,
    Service,
)
from changeover.workers.serving.counters import Counters
from changeover.workers.serving.dispatch import LiveDispatcher
from changeover.workers.serving.handlers import Handler, HandlerKind
from changeover.workers.serving.observation import PipelineEvent, PipelineEventKind
from changeover.workers.serving.pipeline import Pipeline
from changeover.workers.serving.router import EMPTY_ROUTER
from changeover.workers.serving.timing import EVERY
from tests.exchange import FixedAdmission, FixedGeneration, MemoryExchange, Served


class Heard:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.events: list[PipelineEvent] = []

    def note(self, event: PipelineEvent) -> None:
        self.events.append(event)

    @property
    def told(self) -> list[tuple[PipelineEventKind, str, str]]:
        return [(event.kind, event.pipeline, event.subject) for event in self.events]


class Watched:
    """A pipeline named `shop`, behind the route `/`, with what is counted and heard of it."""

    def __init__(self, *handlers: Handler, target: Answering) -> None:
        self.heard = Heard()
        self.counters = Counters(self.heard)
        pipeline = Pipeline("shop", handlers, target, service="shop:quote", counters=self.counters)
        self.served = Served(pipeline)

    async def get(self, times: int = 1) -> list[int]:
        return [(await self.served.get()).status for _ in range(times)]

    @property
    def counts(self) -> Any:
        return self.counters.counts().pipelines["shop"]


def handler(kind: HandlerKind, name: str, call: Callable[..., Any]) -> Handler:
    return Handler(name, kind, call)


async def hello(request: Request, call: CallContext) -> Response:
    return Response.text("hello")


async def plain_app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 418 if scope["path"] == "/tea" else 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


def passes(request: Request, call: CallContext) -> None:
    """Let the request go on."""


async def around_all(request: Request, call_next: CallNext, call: CallContext) -> Response:
    return await call_next(request)


async def test_hits_and_responses_of_an_application_are_counted() -> None:
    watched = Watched(target=Application("app", plain_app))
    await watched.get(3)
    await watched.served.get("/tea")
    assert watched.counts.routes == {"/": 4}
    assert watched.counts.responses == {"2xx": 3, "4xx": 1}
    assert watched.counters.requests == 4


async def test_a_response_of_an_application_behind_an_around_handler_is_counted_once_as_it_leaves() -> None:
    async def hides(request: Request, call_next: CallNext, call: CallContext) -> Response:
        response = await call_next(request)
        return Response.text("gone", 404) if response.status == 418 else response

    watched = Watched(handler(HandlerKind.AROUND, "shop:hides", hides), target=Application("app", plain_app))
    await watched.get(2)
    await watched.served.get("/tea")
    assert watched.counts.responses == {"2xx": 2, "4xx": 1}


async def test_streams_and_words_for_errors_are_responses_too() -> None:
    async def service(request: Request, call: CallContext) -> Response:
        async def pieces() -> Any:
            yield b"a"
            yield b"b"

        if request.path == "/stream":
            return Response(pieces())
        raise KeyError("EUR")

    watched = Watched(target=service)
    await watched.get(2)
    await watched.served.get("/stream")
    assert watched.counts.responses == {"2xx": 1, "5xx": 2}


async def test_requests_that_no_route_takes_are_counted_by_why() -> None:
    counters = Counters()
    dispatcher = LiveDispatcher(FixedAdmission(FixedGeneration(0, EMPTY_ROUTER)), worker=0, counters=counters)
    dispatcher.dispatch(MemoryExchange("GET", "/"))
    dispatcher.dispatch(MemoryExchange("GET", "/"))
    assert counters.counts().misses == {"empty": 2}
    assert counters.requests == 2


async def test_the_first_request_of_every_so_many_is_timed() -> None:
    watched = Watched(handler(HandlerKind.INBOUND, "shop:passes", passes), target=hello)
    await watched.get()
    assert watched.counts.handlers["shop:passes"].timed == 1
    await watched.get(EVERY - 1)
    assert watched.counts.handlers["shop:passes"].timed == 1
    await watched.get()
    assert watched.counts.handlers["shop:passes"].timed == 2


class Clock:
    """What handlers are timed by; it moves when a handler says so."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(timing, "monotonic_ns", clock)
    return clock


async def test_each_handler_is_told_its_own_time_waiting_included(clock: Clock) -> None:
    async def waits(request: Request, call: CallContext) -> None:
        clock.now += 30
        await asyncio.sleep(0)
        clock.now += 12

    def edits(request: Request, response: Response, call: CallContext) -> None:
        clock.now += 7

    watched = Watched(
        handler(HandlerKind.INBOUND, "shop:waits", waits),
        handler(HandlerKind.OUTBOUND, "shop:edits", edits),
        target=hello,
    )
    await watched.get(1 + EVERY)
    assert watched.counts.handlers == {
        "shop:waits": HandlerCounts(timed=2, nanoseconds=84, longest=42),
        "shop:edits": HandlerCounts(timed=2, nanoseconds=14, longest=7),
    }


async def test_the_time_of_an_around_handler_is_without_what_it_is_around(clock: Clock) -> None:
    async def slow(request: Request, call: CallContext) -> Response:
        clock.now += 1000
        return Response.text("late")

    async def adds(request: Request, call_next: CallNext, call: CallContext) -> Response:
        clock.now += 3
        response = await call_next(request)
        clock.now += 4
        return response

    watched = Watched(handler(HandlerKind.AROUND, "shop:adds", adds), target=slow)
    await watched.get()
    assert watched.counts.handlers["shop:adds"].nanoseconds == 7


async def test_an_inbound_handler_that_answers_is_counted_for_every_request() -> None:
    def turns_away(request: Request, call: CallContext) -> Response:
        return Response.problem(429, "Too many requests")

    watched = Watched(handler(HandlerKind.INBOUND, "shop:limit", turns_away), target=hello)
    assert await watched.get(5) == [429] * 5
    assert watched.counts.handlers["shop:limit"].answered == 5
    assert watched.counts.responses == {"4xx": 5}


def fails(*arguments: object) -> None:
    raise KeyError("EUR")


async def fails_around(request: Request, call_next: CallNext, call: CallContext) -> Response:
    await call_next(request)
    raise KeyError("EUR")


@pytest.mark.parametrize(
    "broken",
    [
        handler(HandlerKind.INBOUND, "shop:broken", fails),
        handler(HandlerKind.OUTBOUND, "shop:broken", fails),
        handler(HandlerKind.AROUND, "shop:broken", fails_around),
    ],
    ids=lambda handler: handler.kind.value,
)
async def test_a_handler_that_fails_is_counted_and_told_by_its_name(broken: Handler) -> None:
    watched = Watched(handler(HandlerKind.AROUND, "shop:outer", around_all), broken, target=hello)
    assert await watched.get(2) == [500, 500]
    assert watched.counts.handlers["shop:broken"].failed == 2
    assert watched.counts.handlers["shop:outer"].failed == 0
    assert watched.heard.told == [(PipelineEventKind.HANDLER_FAILED, "shop", "shop:broken")] * 2
    assert watched.heard.events[0].detail == "KeyError: 'EUR'"


async def test_what_a_service_raises_is_no_failure_of_the_handlers_around_it() -> None:
    async def broken(request: Request, call: CallContext) -> Response:
        raise KeyError("EUR")

    watched = Watched(handler(HandlerKind.AROUND, "shop:outer", around_all), target=broken)
    assert await watched.get() == [500]
    assert watched.counts.handlers["shop:outer"].failed == 0
    assert watched.heard.events == []


async def test_to_refuse_a_body_is_an_answer_and_no_failure() -> None:
    def refuses(request: Request, call: CallContext) -> None:
        raise BodyTooLarge(10)

    watched = Watched(handler(HandlerKind.INBOUND, "shop:limit", refuses), target=hello)
    assert await watched.get() == [413]
    assert watched.counts.handlers["shop:limit"].failed == 0
    assert watched.heard.events == []


class Fragile(Service):
    """Ready when the test says so."""

    def __init__(self) -> None:
        self.well = True

    def ready(self) -> None:
        if not self.well:
            raise NotReady(3)

    async def __call__(self, request: Request, call: CallContext) -> Response:
        return Response.text("hello")


async def stand_around(request: Request, call_next: CallNext, call: CallContext) -> Response:
    return await call_next(request)


@pytest.mark.parametrize("handlers", [(), (handler(HandlerKind.AROUND, "shop:around", stand_around),)])
async def test_a_service_that_is_not_ready_is_told_when_it_begins_and_ends_and_counted_for_every_request(
    handlers: tuple[Handler, ...],
) -> None:
    service = Fragile()
    watched = Watched(*handlers, target=service)
    await watched.get()
    service.well = False
    assert await watched.get(3) == [503] * 3
    assert watched.counters.counts().services == {"shop:quote": ServiceCounts(3, 1)}
    service.well = True
    await watched.get(2)
    assert watched.counters.counts().services == {"shop:quote": ServiceCounts(3, 0)}
    assert watched.heard.told == [
        (PipelineEventKind.NOT_READY_BEGAN, "shop", "shop:quote"),
        (PipelineEventKind.NOT_READY_ENDED, "shop", "shop:quote"),
    ]


async def test_a_handler_notes_events_at_its_call_and_may_put_an_observer_in_front() -> None:
    own = Heard()

    def sheds(request: Request, call: CallContext) -> None:
        call.observer.note(PipelineEvent(PipelineEventKind.SHEDDING_BEGAN, call.route, "shop:shed"))
        call.observer = own
        call.observer.note(PipelineEvent(PipelineEventKind.SHEDDING_ENDED, call.route, "shop:shed"))

    watched = Watched(handler(HandlerKind.INBOUND, "shop:shed", sheds), target=hello)
    await watched.get()
    assert watched.heard.told == [(PipelineEventKind.SHEDDING_BEGAN, "shop", "shop:shed")]
    assert own.told == [(PipelineEventKind.SHEDDING_ENDED, "shop", "shop:shed")]
