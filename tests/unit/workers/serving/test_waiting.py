"""What a request waits for of its client: it owes nothing meanwhile, and its time begins anew with what has come."""

import asyncio
import gc
import weakref

from changeover.workers.serving.asgi import Application, Receive, Scope, Send
from changeover.workers.serving.contract import CallContext, Request, Response
from changeover.workers.serving.exchange import Disconnected
from changeover.workers.serving.pipeline import Pipeline
from tests.exchange import MemoryExchange, Served
from tests.waits import until


async def test_who_asks_for_a_body_and_gives_up_has_got_nothing_and_owes_since_before() -> None:
    asked = 0

    async def asks(scope: Scope, receive: Receive, send: Send) -> None:
        """As Starlette's `is_disconnected` does: again and again, and gives up at once."""
        nonlocal asked
        await receive()
        while True:
            piece = asyncio.ensure_future(receive())
            await asyncio.sleep(0)
            piece.cancel()
            await asyncio.wait([piece])
            asked += 1

    served = Served(Pipeline("shop", (), Application("app", asks)))
    assert served.dispatcher.dispatch(MemoryExchange("POST", body=[b"some"], complete=False))
    [lease] = served.units.leases
    await until(lambda: lease.resumed, "the first piece")
    since, before = lease.owes_since, asked
    await until(lambda: asked > before + 3, "it to have asked some more times")
    assert lease.owes_since == since
    lease.end("of a test")
    await until(lambda: not served.units.leases)


async def test_a_body_that_breaks_off_is_waited_for_no_more_and_has_not_come() -> None:
    told = asyncio.Event()

    async def hangs(request: Request, call: CallContext) -> Response:
        await request.receive()
        try:
            await request.receive()
        except Disconnected:
            await told.wait()
        return Response()

    served = Served(Pipeline("shop", (), hangs))
    exchange = MemoryExchange("POST", body=[b"some"], complete=False)
    assert served.dispatcher.dispatch(exchange)
    [lease] = served.units.leases
    await until(lambda: lease.resumed and lease.reads, "the first piece, and the wait for the second")
    resumed = lease.resumed
    exchange.hang_up()
    await until(lambda: lease.owes, "it to wait for something else")
    assert lease.resumed == resumed
    told.set()
    await until(lambda: not served.units.leases)


async def test_of_two_who_wait_for_a_body_one_goes_on_when_the_other_gives_up() -> None:
    readers: list[asyncio.Future[bytes | None]] = []

    async def reads_twice(request: Request, call: CallContext) -> Response:
        readers.extend(asyncio.ensure_future(request.receive()) for _ in range(2))
        await asyncio.wait(readers)
        return Response()

    served = Served(Pipeline("shop", (), reads_twice))
    exchange = MemoryExchange("POST", complete=False)
    assert served.dispatcher.dispatch(exchange)
    [lease] = served.units.leases
    await until(lambda: lease.reads, "both to wait")
    readers[0].cancel()
    await until(readers[0].done)
    assert (lease.owes, lease.resumed) == (False, 0)
    exchange.arrive(b"some")
    await until(lambda: exchange.ended)
    assert not lease.reads
    assert lease.resumed > lease.since


async def test_who_keeps_a_request_keeps_nothing_of_the_units_that_answered_it() -> None:
    kept: list[Request] = []

    async def keeps(request: Request, call: CallContext) -> Response:
        kept.append(request)
        return Response(await request.body())

    class Offered:
        """What a plugin offers at an extension point."""

    served, offered = Served(Pipeline("shop", (), keeps)), Offered()
    served.units.extensions = {"prices": (offered,)}
    assert (await served.ask(MemoryExchange("POST", body=[b"some"]))).body == b"some"
    remembered = weakref.ref(offered)
    del served, offered
    gc.collect()
    assert kept[0].held_body == b"some"
    assert remembered() is None
