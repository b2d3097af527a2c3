"""The read path: admission, routes, leases, context."""

import asyncio
from contextvars import ContextVar

import pytest

from changeover.workers.protocol.snapshot import Route
from changeover.workers.serving.answering import Answering
from changeover.workers.serving.asgi import Application, Receive, Scope, Send
from changeover.workers.serving.contract import CallContext, Request, Response
from changeover.workers.serving.dispatch import LiveDispatcher
from changeover.workers.serving.exchange import RawHeaders
from changeover.workers.serving.lease import LeaseKind, UnitSet, current_lease
from changeover.workers.serving.pipeline import Pipeline
from changeover.workers.serving.router import EMPTY_ROUTER, ApplicationRouter, Target
from tests.exchange import FixedAdmission, FixedGeneration, MemoryExchange, Served
from tests.waits import until


async def hello(request: Request, call: CallContext) -> Response:
    return Response.text(f"{call.epoch} {call.route} {call.worker} {request.path}")


async def test_without_admission_nothing_is_touched_and_the_exchange_is_held() -> None:
    served = Served(Pipeline("shop", (), hello))
    generation, served.admission.generation = served.admission.generation, None
    exchange = MemoryExchange()
    assert served.dispatcher.dispatch(exchange) is False
    assert (exchange.status, served.units.leases) == (0, set())
    served.admission.generation = generation
    assert (await served.ask(exchange)).status == 200


async def test_a_request_carries_epoch_route_and_worker() -> None:
    answer = await Served(Pipeline("shop", (), hello), epoch=9).get("/a")
    assert answer.body == b"9 shop 2 /a"


async def test_no_routes_answer_503_and_no_match_404() -> None:
    empty = LiveDispatcher(FixedAdmission(FixedGeneration(0, EMPTY_ROUTER)), worker=0, epoch_header=True)
    exchange = MemoryExchange()
    assert empty.dispatch(exchange)
    await until(lambda: exchange.ended, "an answer")
    assert (exchange.status, exchange.ended, exchange.headers["x-changeover-epoch"]) == (503, True, "0")
    served = Served(Pipeline("shop", (), hello), route=Route("shop", "/shop"))
    assert (await served.get("/other")).status == 404
    assert (await served.get("/shop/x")).status == 200


async def test_a_method_that_is_not_taken_answers_405_with_those_that_are_and_a_foreign_host_421() -> None:
    route = Route("shop", "/shop", "shop.example", methods=("GET", "POST"))
    served = Served(Pipeline("shop", (), hello), route=route, stamp=True)
    at_home = [(b"host", b"shop.example")]
    refused = await served.ask(MemoryExchange("DELETE", "/shop", headers=at_home))
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD, POST")
    assert (await served.ask(MemoryExchange("POST", "/shop", headers=at_home))).status == 200
    elsewhere = await served.ask(MemoryExchange("GET", "/shop", headers=[(b"host", b"other.example")]))
    assert (elsewhere.status, "allow" in elsewhere.headers) == (421, False)
    assert served.units.leases == set()


async def test_a_request_is_under_its_own_lease_and_what_dispatches_it_is_not() -> None:
    seen: list[tuple[object, bool]] = []

    async def look(request: Request, call: CallContext) -> Response:
        seen.append((current_lease.get(), call.lease in call.lease.units.leases))
        seen.append((call.lease, call.lease.holder is asyncio.current_task()))
        return Response.text("")

    served = Served(Pipeline("shop", (), look))
    await served.get("/where")
    assert seen[0][0] is seen[1][0]
    assert [was for _, was in seen] == [True, True]
    assert current_lease.get() is None


async def test_two_requests_never_see_each_others_lease() -> None:
    async def look(request: Request, call: CallContext) -> Response:
        await asyncio.sleep(0)
        lease = current_lease.get()
        assert lease is call.lease
        return Response.text(lease.path)

    served = Served(Pipeline("shop", (), look))
    exchanges = [MemoryExchange(target=f"/{number}") for number in range(20)]
    for exchange in exchanges:
        served.dispatcher.dispatch(exchange)
    await until(lambda: all(exchange.ended for exchange in exchanges))
    assert [exchange.body for exchange in exchanges] == [b"/%d" % number for number in range(20)]


async def test_a_request_in_flight_stays_on_its_generation_while_the_next_one_is_on_the_new() -> None:
    go = asyncio.Event()

    async def slow(request: Request, call: CallContext) -> Response:
        await go.wait()
        return Response.text(str(call.epoch))

    served = Served(Pipeline("shop", (), slow), epoch=7)
    old = MemoryExchange()
    served.dispatcher.dispatch(old)
    new_units = UnitSet(())
    target = Target(Route("shop"), Pipeline("shop", (), hello), new_units)
    served.admission.generation = FixedGeneration(8, ApplicationRouter([target]))
    new = MemoryExchange()
    served.dispatcher.dispatch(new)
    await until(lambda: new.ended)
    assert new.body.startswith(b"8 ")
    assert [lease.epoch for lease in served.units.live_leases()] == [7]
    go.set()
    await until(lambda: old.ended and not served.units.leases)
    assert old.body == b"7"


async def test_whoever_watches_a_unit_set_is_told_when_its_last_lease_goes() -> None:
    units = UnitSet(())
    idle: list[UnitSet] = []
    first = units.lease(LeaseKind.HTTP, 1, "/", 2)
    second = first.share(LeaseKind.TASK)
    units.watch(idle.append)
    assert units.live_leases() == [first, second]
    first.release()
    first.release()
    assert idle == []
    second.release()
    assert idle == [units]
    second.release()
    assert idle == [units]


async def test_a_request_that_is_dispatched_inside_another_inherits_none_of_its_context() -> None:
    user: ContextVar[str] = ContextVar("user", default="nobody")
    pipelined = MemoryExchange("GET", "/second")

    async def whose(request: Request, call: CallContext) -> Response:
        found = user.get()
        if request.path == "/first":
            user.set("ada")
            assert served.dispatcher.dispatch(pipelined)
        return Response.text(found)

    served = Served(Pipeline("shop", (), whose))
    assert (await served.get("/first")).body == b"nobody"
    await until(lambda: pipelined.settled)
    assert pipelined.body == b"nobody"


async def test_a_lease_that_is_ended_before_its_request_has_begun_is_released_and_answered() -> None:
    served = Served(Pipeline("shop", (), hello))
    exchange = MemoryExchange()
    assert served.dispatcher.dispatch(exchange)
    for lease in served.units.live_leases():
        assert lease.end("too many resident copies")
    await until(lambda: not served.units.leases)
    assert exchange.settled


class Noting(MemoryExchange):
    """Notes whether its answer is sent under a lease."""

    leased = False

    def start(self, status: int, headers: RawHeaders) -> None:
        self.leased = current_lease.get() is not None
        super().start(status, headers)


async def test_what_no_route_takes_is_nothing_of_the_request_before_it_on_the_connection() -> None:
    missed, routed = Noting(target="/nothing"), Noting(target="/shop")

    async def pipelined(request: Request, call: CallContext) -> Response:
        assert served.dispatcher.dispatch(missed)
        return Response()

    served = Served(Pipeline("shop", (), pipelined), route=Route("shop", "/shop"))
    await served.ask(routed)
    assert [(each.status, each.leased) for each in (routed, missed)] == [(200, True), (404, False)]


async def reading(request: Request, call: CallContext) -> Response:
    return Response(await request.body())


async def reading_asgi(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive())["more_body"]:
        """Goes on."""
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"read"})


@pytest.mark.parametrize("target", [reading, Application("app", reading_asgi)], ids=["native", "asgi"])
async def test_a_request_owes_nothing_while_its_client_owes_the_body(target: Answering) -> None:
    served = Served(Pipeline("shop", (), target))
    exchange = MemoryExchange("POST", body=[b"some"], complete=False)
    assert served.dispatcher.dispatch(exchange)
    [lease] = served.units.leases
    since = lease.since
    assert lease.owes
    await until(lambda: not lease.owes, "the application to wait for its client")
    resumed = lease.resumed
    assert resumed > since, "a piece has come"
    exchange.arrive(b"more")
    await until(lambda: lease.resumed > resumed, "another to have come")
    assert lease.since == since
    exchange.arrive(None)
    await until(lambda: exchange.ended, "an answer")
