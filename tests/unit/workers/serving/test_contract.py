"""What travels with a request: a budget, whether anybody waits, typed values, and who hears of it."""

import asyncio

import pytest

from changeover.workers.serving.contract import CallContext, CallNext, Request, Response
from changeover.workers.serving.extensions import Extension
from changeover.workers.serving.handlers import Handler, HandlerKind
from changeover.workers.serving.handshake import NO_HANDSHAKE
from changeover.workers.serving.lease import Lease, LeaseKind, UnitSet
from changeover.workers.serving.observation import NOBODY
from changeover.workers.serving.pipeline import Pipeline
from tests.exchange import MemoryExchange, Served
from tests.waits import until


def outside() -> CallContext:
    """A call without a server."""
    return CallContext(1, "shop", 0, 0, Lease(UnitSet(()), LeaseKind.HTTP, 1, "/", 0))


async def test_outside_a_server_nobody_leaves_and_nothing_is_due() -> None:
    call = outside()
    assert (call.connected, call.cancelled, call.deadline, call.remaining()) == (True, False, None, None)
    assert call.connection is NO_HANDSHAKE
    assert call.observer is NOBODY
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(call.client_left(), 0.01)


async def test_a_deadline_only_moves_closer() -> None:
    call = outside()
    now = asyncio.get_running_loop().time()
    call.deadline = now + 5
    call.deadline = now + 50
    assert call.deadline == now + 5
    call.deadline = now - 1
    left = call.remaining()
    assert left is not None
    assert left < 0


async def test_a_service_can_wait_for_the_client_to_leave() -> None:
    seen: list[bool] = []

    async def watch(request: Request, call: CallContext) -> Response:
        seen.append(call.cancelled)
        await call.client_left()
        seen.append(call.cancelled)
        return Response()

    served, exchange = Served(Pipeline("shop", (), watch)), MemoryExchange()
    assert served.dispatcher.dispatch(exchange)
    await until(lambda: seen == [False], "the service")
    exchange.hang_up()
    await until(lambda: not served.units.leases, "the end")
    assert seen == [False, True]


async def test_a_request_that_the_server_ends_is_cancelled() -> None:
    seen: list[bool] = []

    async def watch(request: Request, call: CallContext) -> Response:
        try:
            await asyncio.sleep(60)
        finally:
            seen.append(call.cancelled)
        return Response()

    served, exchange = Served(Pipeline("shop", (), watch)), MemoryExchange()
    assert served.dispatcher.dispatch(exchange)
    [lease] = served.units.leases
    assert lease.end("drain")
    await until(lambda: not served.units.leases, "the end")
    assert (seen, exchange.status) == ([True], 503)


@pytest.mark.parametrize("fails", [False, True])
async def test_who_waits_for_the_answer_is_called_once_the_latest_first(fails: bool) -> None:
    told: list[str] = []
    exchange = MemoryExchange()

    async def own(request: Request, call_next: CallNext, call: CallContext) -> Response:
        call.when_answered(lambda: told.append(f"first {exchange.ended}"))
        call.when_answered(lambda: told.append("second"))
        return await call_next(request)

    async def answer(request: Request, call: CallContext) -> Response:
        if fails:
            raise RuntimeError
        return Response()

    await Served(Pipeline("shop", [Handler("x:own", HandlerKind.AROUND, own)], answer)).ask(exchange)
    assert told == ["second", "first True"]


async def test_who_waits_until_nothing_works_on_the_answer_is_called_behind_the_last_of_it() -> None:
    call, told = outside(), list[str]()
    call.when_idle(lambda: told.append("at once"))
    assert told == ["at once"]
    loop = asyncio.get_running_loop()
    first, second = loop.create_future(), loop.create_future()
    for work in (first, second):
        call.works(work)
    call.when_idle(lambda: told.append("behind both"))
    second.cancel()
    await asyncio.sleep(0)
    assert told == ["at once"]
    first.set_result(None)
    await until(lambda: told == ["at once", "behind both"], "the second")


async def test_a_deadline_that_was_met_is_none() -> None:
    call = outside()
    call.deadline = 1.0
    call.meet_deadline()
    assert (call.deadline, call.remaining()) == (None, None)


def test_an_extension_is_typed_at_both_ends() -> None:
    call, theirs, mine = outside(), Extension("tenant", str), Extension("tenant", int)
    assert theirs.get(call) is None
    theirs.set(call, "acme")
    assert (theirs.get(call), call.extensions) == ("acme", {"tenant": "acme"})
    with pytest.raises(TypeError, match="extension 'tenant' is a str here, not a int"):
        mine.get(call)
    with pytest.raises(TypeError, match="extension 'tenant' is a int here, not a str"):
        theirs.set(call, 7)  # type: ignore[arg-type]


async def test_a_body_can_be_watched_and_stopped() -> None:
    seen: list[bytes] = []

    def see(piece: bytes) -> None:
        seen.append(piece)
        if piece == b"c":
            raise ValueError("enough")

    exchange = MemoryExchange("POST", body=[b"a", b"b", b"c"])
    exchange.request.watch_body(see)
    with pytest.raises(ValueError, match="enough"):
        await exchange.request.body()
    assert seen == [b"a", b"b", b"c"]
    empty = Request("GET", "/")
    empty.watch_body(see)
    assert await empty.body() == b""


async def test_bodies_pass_a_chain_as_the_same_bytes() -> None:
    sent = b"x" * 70_000
    got: list[object] = []

    async def pass_on(request: Request, call_next: CallNext, call: CallContext) -> Response:
        return await call_next(request)

    async def echo(request: Request, call: CallContext) -> Response:
        body = await request.body()
        got.append(body)
        return Response(body)

    def look(request: Request, response: Response, call: CallContext) -> None:
        got.append(response.body)

    handlers = [Handler("x:a", HandlerKind.AROUND, pass_on), Handler("x:o", HandlerKind.OUTBOUND, look)]
    answer = await Served(Pipeline("shop", handlers, echo)).ask(MemoryExchange("POST", body=[sent]))
    assert got[0] is sent
    assert got[1] is sent
    assert answer.pieces[0] is sent
