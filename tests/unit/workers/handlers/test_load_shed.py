"""`load-shed`: shedding starts, turns requests away before they cost anything, and stops."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from changeover.workers.serving.contract import CallContext, CallNext, NotReady, Request, Response, Service
from changeover.workers.serving.handlers import Handler, HandlerKind
from changeover.workers.serving.observation import PipelineEventKind
from changeover.workers.serving.pipeline import Pipeline
from tests.exchange import MemoryExchange, Served
from tests.ready_made import KINDS, Listener, answering, parts, serve
from tests.waits import DEADLINE, until

SHED = {"use": "load-shed", "not_ready": 2, "window": "10s", "rest": "50ms"}
BEGAN, ENDED = PipelineEventKind.SHEDDING_BEGAN, PipelineEventKind.SHEDDING_ENDED


class Moody(Service):
    """Ready or not, as the test says.

    Attributes:
        asked: How often it was asked.
    """

    def __init__(self) -> None:
        self.is_ready = False
        self.asked = 0

    def ready(self) -> None:
        self.asked += 1
        if not self.is_ready:
            raise NotReady(7)

    async def __call__(self, request: Request, call: CallContext) -> Response:
        return Response.text("ready")


async def asked_until(ask: Callable[[], Awaitable[MemoryExchange]], wanted: int) -> list[int]:
    """Ask again and again until that status is answered; all that were."""
    answers: list[int] = []
    async with asyncio.timeout(DEADLINE):
        while wanted not in answers:
            answers.append((await ask()).status)
    return answers


def heard(listener: Listener) -> Handler:
    async def listen(request: Request, call_next: CallNext, call: CallContext) -> Response:
        call.observer = listener
        return await call_next(request)

    return Handler("test:listen", HandlerKind.AROUND, listen)


async def test_shedding_starts_and_stops_with_the_service() -> None:
    service, listener = Moody(), Listener()
    served = Served(Pipeline("shop", [heard(listener), *parts(SHED)], service))
    told = [(await served.get()).headers["retry-after"] for _ in range(4)]
    assert told == ["7", "7", "1", "1"]
    assert service.asked == 2
    assert [(event.kind, event.pipeline, event.subject) for event in listener.events] == [(BEGAN, "shop", "load-shed")]
    service.is_ready = True
    assert set(await asked_until(served.try_one, 200)) <= {503, 200}
    assert listener.kinds == [BEGAN, ENDED]
    assert service.asked == 3
    assert [(await served.get()).status for _ in range(3)] == [200] * 3


@pytest.mark.parametrize("kind", KINDS)
async def test_an_application_says_with_a_503_that_it_is_not_ready(kind: str) -> None:
    served = serve(answering(kind, b"full", status=503), SHED)
    assert [(await served.get()).body[:4] for _ in range(2)] == [b"full", b"full"]
    assert (await served.get()).json == {
        "status": 503,
        "title": "Not ready",
        "detail": "not ready, worth trying again in 1 s",
    }


@pytest.mark.parametrize("kind", KINDS)
async def test_clients_that_take_nothing_start_it_and_it_stops_when_they_do(kind: str) -> None:
    first = b"x" * 70_000
    shed = {"use": "load-shed", "not_ready": 0, "clogged": 1, "rest": "30ms"}
    listener = Listener()
    pipeline = Pipeline("shop", [heard(listener), *parts(shed)], answering(kind, first, b"y", whole=False))
    served = Served(pipeline)
    slow = MemoryExchange(window=10)
    assert served.dispatcher.dispatch(slow)
    await until(lambda: BEGAN in listener.kinds, "shedding")
    assert listener.kinds == [PipelineEventKind.BACKPRESSURE_BEGAN, BEGAN]
    turned_away = MemoryExchange()
    assert served.dispatcher.dispatch(turned_away)
    await until(lambda: turned_away.settled, "an answer")
    assert turned_away.status == 503
    slow.take()
    await until(lambda: not served.units.leases, "the end of the slow one")
    assert PipelineEventKind.BACKPRESSURE_ENDED in listener.kinds
    await asked_until(served.try_one, 200)
    assert listener.kinds[-1] is ENDED


class Breaking(Moody):
    """Fails once it is ready, until it is mended."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.mended = asyncio.Event()
        self._error = error

    async def __call__(self, request: Request, call: CallContext) -> Response:
        await asyncio.sleep(0)
        if not self.mended.is_set():
            raise self._error
        return Response.text("mended")


@pytest.mark.parametrize("error", [RuntimeError(), SystemExit()], ids=repr)
async def test_a_request_that_fails_was_taken_and_ends_shedding(error: BaseException) -> None:
    service = Breaking(error)
    served = serve(service, SHED)
    for _ in range(2):
        await served.get()
    service.is_ready = True
    await asked_until(served.try_one, 500)
    service.mended.set()
    together = [MemoryExchange() for _ in range(5)]
    for exchange in together:
        assert served.dispatcher.dispatch(exchange)
    await until(lambda: all(exchange.settled for exchange in together), "all answers")
    assert [exchange.status for exchange in together] == [200] * 5


async def test_a_request_of_which_nothing_is_heard_does_not_keep_others_away_for_ever() -> None:
    class Hanging(Moody):
        async def __call__(self, request: Request, call: CallContext) -> Response:
            if self.asked == 3:
                await call.client_left()
            return Response.text("ready")

    service = Hanging()
    served = serve(service, SHED)
    for _ in range(2):
        await served.get()
    service.is_ready = True
    hung = MemoryExchange()
    async with asyncio.timeout(DEADLINE):
        while service.asked < 3:
            hung = MemoryExchange()
            assert served.dispatcher.dispatch(hung)
            await until(lambda hung=hung: service.asked == 3 or hung.settled, "the one that decides")  # type: ignore[misc]
    await asked_until(served.try_one, 200)
    assert not hung.settled
    hung.hang_up()
    await until(lambda: not served.units.leases, "its end")
    assert (await served.get()).status == 200


async def test_a_client_that_leaves_and_a_body_that_is_too_long_say_nothing_of_the_service() -> None:
    service = Moody()
    served = serve(service, SHED, {"use": "body-limit", "limit": 1})
    for _ in range(2):
        await served.get()
    await asked_until(lambda: served.post("/", b"long"), 413)
    assert (await served.post("/", b"long")).status == 413
    assert service.asked == 2
    assert (await served.get()).headers["retry-after"] == "7"
    assert (await served.get()).headers["retry-after"] == "1"
