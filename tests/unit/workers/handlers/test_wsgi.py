"""Ready-made handlers in front of a WSGI application, whose threads nobody can stop."""

import gzip
import threading
from collections.abc import Iterable
from typing import Any

import pytest

from tests.exchange import MemoryExchange
from tests.ready_made import serve
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


async def test_a_timeout_answers_while_the_thread_holds_its_units_until_it_has_left() -> None:
    gate = Gate()
    async with application(gate) as app:
        served = serve(app, {"use": "timeout", "after": "50ms"})
        exchange = MemoryExchange()
        served.dispatcher.dispatch(exchange)
        await until(lambda: exchange.ended, "an answer")
        assert exchange.status == 504
        assert served.units.leases
        gate.open()
        await until(lambda: not served.units.leases, "the thread to leave")
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
