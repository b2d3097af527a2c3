"""Ready-made handlers in front of a WSGI application, whose threads nobody can stop."""

import asyncio
import gzip
import threading
from collections.abc import Iterable
from typing import Any

import pytest

from changeover.workers.serving import threads
from changeover.workers.serving.assignment import owing
from changeover.workers.serving.counters import Counters
from changeover.workers.serving.pipeline import Pipeline
from tests.exchange import MemoryExchange, Served
from tests.ready_made import Listener, parts, serve
from tests.waits import until
from tests.wsgi import OK, PLAIN, answering, application

TEXT = b"the same words again and again; " * 200


class Gate:
    """An application that answers once it is let.

    Attributes:
        entered: How many requests came to it.
    """

    def __init__(self) -> None:
        self.entered = 0
        self._open = threading.Event()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.entered += 1
        assert self._open.wait(10)
        start_response(OK, PLAIN)
        return [b"late"]

    def open(self) -> None:
        self._open.set()


def paths_owing() -> list[str]:
    return [each.lease.path for each in owing()]


async def test_a_timeout_answers_while_the_thread_holds_its_units_until_it_has_left() -> None:
    gate = Gate()
    async with application(gate) as app:
        served = serve(app, {"use": "timeout", "after": "50ms"})
        exchange = MemoryExchange(target="/hangs")
        served.dispatcher.dispatch(exchange)
        await until(lambda: exchange.ended, "an answer")
        assert exchange.status == 504
        assert served.units.leases
        assert "/hangs" in paths_owing(), "whoever answered in its place, it may hang"
        gate.open()
        await until(lambda: not served.units.leases, "the thread to leave")
        assert "/hangs" not in paths_owing()
        assert served.units.counters.counts().responses == {"5xx": 1}


async def test_a_concurrency_limit_turns_away_before_a_thread_is_taken() -> None:
    gate = Gate()
    async with application(gate) as app:
        served = serve(app, {"use": "concurrency-limit", "limit": 1})
        first, second = MemoryExchange(), MemoryExchange()
        served.dispatcher.dispatch(first)
        await until(lambda: gate.entered == 1, "the first request")
        served.dispatcher.dispatch(second)
        await until(lambda: second.ended, "an answer")
        gate.open()
        await until(lambda: first.ended, "an answer")
        assert (first.status, second.status, gate.entered) == (200, 503, 1)
        assert (await served.get()).status == 200


async def test_a_body_limit_holds_while_a_body_comes_for_which_no_thread_is_taken_yet() -> None:
    gate = Gate()
    async with application(gate) as app:
        served = serve(app, {"use": "body-limit", "limit": 150_000})
        exchange = MemoryExchange("POST", body=[b"x" * 70_000] * 3, complete=False)
        assert (await served.ask(exchange)).status == 413
        assert gate.entered == 0
        await until(lambda: not app.room.held, "its file to be gone")


LIMIT = {"use": "concurrency-limit", "limit": 1}
SHORT = {"use": "timeout", "after": "50ms"}


@pytest.mark.parametrize("handlers", [(SHORT, LIMIT), (LIMIT, SHORT)], ids=["timeout first", "limit first"])
async def test_a_thread_that_nobody_waits_for_any_more_keeps_its_place(handlers: tuple[dict[str, Any], ...]) -> None:
    gate = Gate()
    async with application(gate) as app:
        served = serve(app, *handlers)
        assert (await served.try_one()).status == 504
        assert [(await served.try_one()).status for _ in range(2)] == [503, 503]
        assert gate.entered == 1
        gate.open()
        await until(lambda: not served.units.leases, "the thread to leave")
        assert [(await served.get()).status for _ in range(2)] == [200, 200]


async def test_what_a_thread_raises_that_nobody_waits_for_any_more_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate()

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        gate(environ, lambda *_: None)
        raise LookupError("on its way out")

    async with application(app) as behind:
        served = serve(behind, SHORT)
        assert (await served.try_one()).status == 504
        gate.open()
        await until(lambda: not served.units.leases, "the thread to leave")
    assert "LookupError: on its way out" in caplog.text


async def test_a_thread_whose_client_left_keeps_its_place() -> None:
    gate = Gate()

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response(OK, PLAIN)
        yield b"first"
        yield from gate(environ, lambda *_: None)

    async with application(app) as behind:
        served = serve(behind, LIMIT)
        exchange = MemoryExchange()
        served.dispatcher.dispatch(exchange)
        await until(lambda: exchange.pieces == [b"first"] and gate.entered, "the first piece")
        exchange.hang_up()
        assert [(await served.try_one()).status for _ in range(3)] == [503, 503, 503]
        gate.open()
        await until(lambda: not served.units.leases, "the thread to leave")
        assert (await served.get()).status == 200


async def test_a_pool_with_no_room_is_not_ready_to_shed_and_to_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "WAITING", 0)
    gate = Gate()
    shed = {"use": "load-shed", "not_ready": 2, "window": "10s", "rest": "1100ms"}
    async with application(gate, threads=1) as app:
        served = serve(app, shed)
        first = MemoryExchange()
        served.dispatcher.dispatch(first)
        await until(lambda: gate.entered == 1, "the first request")
        assert [(await served.try_one()).headers["retry-after"] for _ in range(3)] == ["1", "1", "2"]
        again = serve(app, {"use": "retry", "attempts": 1000, "first": "1ms", "longest": "1ms", "budget": "9s"})
        patient = [MemoryExchange("POST", body=[b"kept"]), MemoryExchange()]
        for exchange in patient:
            again.dispatcher.dispatch(exchange)
        await asyncio.sleep(0)
        gate.open()
        await until(lambda: all(exchange.ended for exchange in (first, *patient)), "all answers")
        assert [exchange.status for exchange in (first, *patient)] == [200, 200, 200]
        await until(lambda: not again.units.leases, "the end")
        while (await served.get()).status != 200:
            await asyncio.sleep(0.005)


async def test_requests_that_wait_for_a_thread_start_shedding_and_it_stops_when_they_do_not() -> None:
    gate = Gate()
    shed = {"use": "load-shed", "not_ready": 0, "waiting": 2, "rest": "20ms"}
    async with application(gate, threads=1) as app:
        served = serve(app, shed)
        exchanges = [MemoryExchange() for _ in range(3)]
        for exchange in exchanges:
            served.dispatcher.dispatch(exchange)
        await until(lambda: app.pool.waiting == 2, "two that wait")
        assert (await served.try_one()).status == 503
        gate.open()
        await until(lambda: not served.units.leases, "all answers")
        assert [exchange.status for exchange in exchanges] == [200] * 3
        while (await served.get()).status != 200:
            await asyncio.sleep(0.005)
        assert [(await served.get()).status for _ in range(3)] == [200] * 3


async def test_where_load_shed_listens_the_observer_hears_of_each_request_that_waits_for_a_thread() -> None:
    gate, heard = Gate(), Listener()
    shed = parts({"use": "load-shed", "waiting": 10})
    async with application(gate, threads=1) as app:
        served = Served(Pipeline("shop", shed, app, counters=Counters(heard)))
        for _ in range(4):
            served.dispatcher.dispatch(MemoryExchange())
        await until(lambda: app.pool.waiting == 3, "three that wait")
        gate.open()
        await until(lambda: not served.units.leases, "all answers")
    assert sorted(event.kind.value for event in heard.events) == ["wait began"] * 3 + ["wait ended"] * 3


async def test_who_gives_up_waiting_for_a_thread_waits_no_more() -> None:
    gate = Gate()
    shed = {"use": "load-shed", "not_ready": 0, "waiting": 1, "rest": "10ms"}
    async with application(gate, threads=1) as app:
        served = serve(app, {"use": "timeout", "after": "80ms"}, shed)
        exchanges = [MemoryExchange() for _ in range(2)]
        for exchange in exchanges:
            served.dispatcher.dispatch(exchange)
        await until(lambda: all(exchange.ended for exchange in exchanges), "both answers")
        assert [exchange.status for exchange in exchanges] == [504, 504]
        assert (await served.try_one()).status == 504
        gate.open()


@pytest.mark.parametrize("pieces", [(TEXT,), (TEXT, TEXT, b"the end")], ids=["one piece", "pieces"])
async def test_compression_takes_what_the_application_gives_piece_by_piece(pieces: tuple[bytes, ...]) -> None:
    async with application(answering(*pieces)) as app:
        answer = await serve(app, "compression").get(accept_encoding="gzip")
    assert answer.headers["content-encoding"] == "gzip"
    assert gzip.decompress(answer.body) == b"".join(pieces)


async def test_handlers_see_the_response_that_words_an_error_of_the_application() -> None:
    def broken(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        raise KeyError("EUR")

    async with application(broken) as app:
        answer = await serve(app, "request-id").get(x_request_id="r7")
    assert (answer.status, answer.headers["x-request-id"]) == (500, "r7")
