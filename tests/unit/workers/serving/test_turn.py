"""A request that waits for a thread says so in its lease, and when it got one."""

import threading
from collections.abc import Iterable
from typing import Any

import pytest

from changeover.workers.serving.contract import CallContext, CallNext, Request, Response
from changeover.workers.serving.handlers import Handler, HandlerKind
from changeover.workers.serving.lease import Lease
from changeover.workers.serving.pipeline import Pipeline
from tests.exchange import MemoryExchange, Served
from tests.waits import until
from tests.wsgi import OK, PLAIN, application


async def pass_on(request: Request, call_next: CallNext, call: CallContext) -> Response:
    return await call_next(request)


every_way = pytest.mark.parametrize(
    "handlers",
    [(), (Handler("test:pass_on", HandlerKind.AROUND, pass_on),)],
    ids=["alone", "through an around"],
)


class Doors:
    """An application that answers each path once that is opened."""

    def __init__(self) -> None:
        self.entered: list[str] = []
        self.opened = {path: threading.Event() for path in ("/first", "/second")}

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        self.entered.append(path)
        assert self.opened[path].wait(10), "the test never opened it"
        start_response(OK, PLAIN)
        return [b"in"]


def asked(served: Served, path: str) -> tuple[MemoryExchange, Lease]:
    """A request that was taken, and its hold."""
    exchange, before = MemoryExchange(target=path), set(served.units.leases)
    assert served.dispatcher.dispatch(exchange)
    [lease] = served.units.leases - before
    return exchange, lease


@every_way
async def test_only_who_waits_for_a_thread_says_so_and_when_that_came(handlers: tuple[Handler, ...]) -> None:
    doors = Doors()
    async with application(doors, threads=1) as app:
        served = Served(Pipeline("shop", handlers, app))
        first, has = asked(served, "/first")
        await until(lambda: doors.entered == ["/first"])
        second, waits = asked(served, "/second")
        await until(lambda: app.pool.waiting == 1, "the second to wait")
        assert (has.waits, waits.waits, waits.owes) == (False, True, False)
        doors.opened["/first"].set()
        await until(lambda: first.settled and not waits.waits, "the second to have a thread")
        assert waits.owes
        assert has.resumed < waits.resumed
        assert waits.owes_since == waits.resumed > waits.since
        doors.opened["/second"].set()
        await until(lambda: second.settled and not served.units.leases, "both answers")


@every_way
async def test_who_is_ended_while_it_waits_waits_no_more(handlers: tuple[Handler, ...]) -> None:
    doors = Doors()
    async with application(doors, threads=1) as app:
        served = Served(Pipeline("shop", handlers, app))
        asked(served, "/first")
        await until(lambda: doors.entered == ["/first"])
        second, waits = asked(served, "/second")
        await until(lambda: waits.waits, "the second to wait")
        assert waits.end("its deadline passed")
        await until(lambda: second.settled and not app.waiting, "an answer, and nobody to wait")
        assert (second.status, waits.waits) == (503, False)
        for door in doors.opened.values():
            door.set()
        await until(lambda: not served.units.leases, "all to be over")
