"""`retry`: again while it is not ready, within the budget, and never with half a body."""

import asyncio
from typing import Any

import pytest

from changeover.workers.handlers.retry import Backoff
from changeover.workers.handlers.settings import Retry
from changeover.workers.serving.contract import CallContext, CallNext, NotReady, Request, Response, Service
from changeover.workers.serving.handlers import Handler, HandlerKind
from tests.exchange import MemoryExchange
from tests.ready_made import serve

RETRY = {"use": "retry", "attempts": 4, "first": "1ms", "budget": "5s"}


class Late(Service):
    """Ready from a certain attempt on.

    Attributes:
        asked: How often it was asked.
    """

    def __init__(self, ready_at: int, retry_after: int = 1) -> None:
        self.asked = 0
        self._ready_at = ready_at
        self._retry_after = retry_after

    def ready(self) -> None:
        self.asked += 1
        if self.asked < self._ready_at:
            raise NotReady(self._retry_after)

    async def __call__(self, request: Request, call: CallContext) -> Response:
        return Response(await request.body())


async def test_a_service_that_becomes_ready_answers_with_the_whole_body() -> None:
    service = Late(3)
    answer = await serve(service, RETRY).post("/", b"hello")
    assert (answer.status, answer.body, service.asked) == (200, b"hello", 3)


async def test_after_so_many_attempts_the_last_refusal_is_passed_on() -> None:
    service = Late(99)
    answer = await serve(service, RETRY).get()
    assert (answer.status, answer.headers["retry-after"], service.asked) == (503, "1", 4)


async def test_what_says_it_takes_longer_than_there_is_time_is_believed() -> None:
    service = Late(99, retry_after=60)
    assert (await serve(service, RETRY).get()).headers["retry-after"] == "60"
    assert service.asked == 1


async def test_the_deadline_of_the_request_is_the_budget() -> None:
    service = Late(99)
    await serve(service, {"use": "timeout", "after": "500ms"}, {**RETRY, "budget": "1h"}).get()
    assert service.asked == 1


async def test_a_body_that_was_begun_is_not_sent_twice_and_one_that_is_held_is() -> None:
    attempts: list[str] = []

    async def begins(request: Request, call: CallContext) -> Response:
        attempts.append("begins")
        await request.receive()
        raise NotReady

    async def holds(request: Request, call: CallContext) -> Response:
        body = await request.body()
        attempts.append("holds")
        if len(attempts) < 3:
            raise NotReady
        return Response(body)

    assert (await serve(begins, RETRY).post("/", b"hello")).status == 503
    assert attempts == ["begins"]
    assert (await serve(holds, RETRY).post("/", b"hello")).body == b"hello"
    assert attempts == ["begins", "holds", "holds"]


async def test_a_body_that_came_with_its_head_is_sent_again_unless_it_was_taken_in_pieces() -> None:
    attempts: list[bytes] = []

    async def takes(request: Request, call: CallContext) -> Response:
        attempts.append(b"".join([piece async for piece in request.stream()]))
        raise NotReady

    async def holds(request: Request, call: CallContext) -> Response:
        attempts.append(await request.body())
        if len(attempts) < 3:
            raise NotReady
        return Response(attempts[-1])

    assert (await serve(takes, RETRY).ask(MemoryExchange("POST", held=b"hello"))).status == 503
    assert attempts == [b"hello"]
    assert (await serve(holds, RETRY).ask(MemoryExchange("POST", held=b"hello"))).body == b"hello"
    assert attempts == [b"hello"] * 3


async def measure(request: Request, call_next: CallNext, call: CallContext) -> Response:
    request.watch_body(lambda piece: None)
    return await call_next(request)


WITH_ITS_HEAD, BEHIND_IT = {"held": b"hello"}, {"body": [b"hel", b"lo"]}


@pytest.mark.parametrize("body", [WITH_ITS_HEAD, BEHIND_IT], ids=["with its head", "behind it"])
@pytest.mark.parametrize("reads", [False, True])
async def test_a_body_that_somebody_behind_watches_is_sent_again_as_long_as_nobody_has_read_of_it(
    body: dict[str, Any], reads: bool
) -> None:
    attempts: list[bytes | None] = []

    async def shy(request: Request, call: CallContext) -> Response:
        if reads or len(attempts) == 2:
            attempts.append(await request.receive())
        else:
            attempts.append(None)
        if len(attempts) < 3:
            raise NotReady(0)
        return Response(attempts[-1] or b"")

    watching = Handler("test:measure", HandlerKind.AROUND, measure)
    answer = await serve(shy, RETRY, beside=(watching,)).ask(MemoryExchange("POST", **body))
    first = b"hello" if body is WITH_ITS_HEAD else b"hel"
    assert (answer.status, attempts) == ((503, [first]) if reads else (200, [None, None, first]))


async def test_other_errors_are_not_tried_again() -> None:
    tried: list[int] = []

    async def broken(request: Request, call: CallContext) -> Response:
        tried.append(1)
        raise RuntimeError

    assert (await serve(broken, RETRY).get()).status == 500
    assert tried == [1]


async def test_nobody_tries_on_for_a_client_that_left() -> None:
    service = Late(99)
    exchange = MemoryExchange()
    exchange.hang_up()
    await serve(service, RETRY).ask(exchange)
    assert service.asked == 1


async def test_a_place_that_comes_free_is_taken_by_who_tries_again() -> None:
    inside = asyncio.Event()

    async def slow(request: Request, call: CallContext) -> Response:
        inside.set()
        await asyncio.sleep(0.01)
        return Response.text("through")

    again = {"use": "retry", "attempts": 50, "first": "5ms", "longest": "5ms"}
    served = serve(slow, again, {"use": "concurrency-limit", "limit": 1})
    first, second = MemoryExchange(), MemoryExchange()
    assert served.dispatcher.dispatch(first)
    await inside.wait()
    await served.ask(second)
    assert (first.status, second.status) == (200, 200)


@pytest.mark.parametrize(("chance", "waits"), [(0.0, [0.05, 0.1, 0.2, 0.4, 0.5]), (1.0, [0.1, 0.2, 0.4, 0.8, 1.0])])
def test_waits_grow_up_to_a_bound_and_are_spread(chance: float, waits: list[float]) -> None:
    backoff = Backoff(Retry(attempts=6, first=0.1, longest=1.0), lambda: chance)
    assert [backoff.wait(failed, 10.0, 1) for failed in range(1, 6)] == pytest.approx(waits)
    assert backoff.wait(6, 10.0, 1) is None


def test_a_wait_that_does_not_fit_is_not_begun() -> None:
    backoff = Backoff(Retry(first=0.1), lambda: 1.0)
    assert backoff.wait(1, 0.1, 0) is None
    assert backoff.wait(1, 0.11, 0) == pytest.approx(0.1)
