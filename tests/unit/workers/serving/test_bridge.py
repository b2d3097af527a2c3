"""Who writes for an around handler lets others have their turn, and is heard of, whether that reads or not."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from changeover.workers.serving.asgi import Application, Message, Receive, Scope, Send
from changeover.workers.serving.contract import CallContext, CallNext, Request, Response
from changeover.workers.serving.handlers import Handler, HandlerKind
from changeover.workers.serving.pipeline import Pipeline
from tests.exchange import MemoryExchange, Served
from tests.waits import until

START: Message = {"type": "http.response.start", "status": 200, "headers": []}
PIECE: Message = {"type": "http.response.body", "body": b"x", "more_body": True}
END: Message = {"type": "http.response.body", "body": b"done"}


async def test_who_listens_for_its_client_hears_that_its_response_is_dropped_though_it_writes_on() -> None:
    """Between the loop and who can stop the writer there are some turns: a framework's tasks."""
    heard = asyncio.Event()
    in_time = False

    async def replace(request: Request, call_next: CallNext, call: CallContext) -> Response:
        await call_next(request)
        return Response.text("instead")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal in_time

        async def listen() -> None:
            await receive()
            for _ in range(5):
                await asyncio.sleep(0)
            heard.set()

        await receive()
        listening = asyncio.ensure_future(listen())
        await asyncio.sleep(0)
        await send(START)
        for _ in range(100_000):
            await send(PIECE)
            if heard.is_set():
                break
        in_time = heard.is_set()
        await listening

    pipeline = Pipeline("shop", [Handler("test:replace", HandlerKind.AROUND, replace)], Application("app", app))
    answer = MemoryExchange()
    served = Served(pipeline)
    assert served.dispatcher.dispatch(answer)
    await until(lambda: answer.ended, "an answer")
    assert answer.body == b"instead"
    await until(lambda: not served.units.leases, "the application to end")
    assert in_time


async def test_short_pieces_for_an_around_handler_leave_it_its_turns() -> None:
    written = most = read = 0

    async def count(request: Request, call_next: CallNext, call: CallContext) -> Response:
        response = await call_next(request)
        assert not isinstance(response.body, bytes)
        body = response.body

        async def pieces() -> AsyncIterator[bytes]:
            nonlocal most, read
            async for each in body:
                read += 1
                most = max(most, written - read)
                yield each

        return Response(pieces())

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal written
        await send(START)
        for _ in range(10_000):
            await send(PIECE)
            written += 1
        await send(END)

    pipeline = Pipeline("shop", [Handler("test:count", HandlerKind.AROUND, count)], Application("app", app))
    assert (await Served(pipeline).get()).body == b"x" * 10_000 + b"done"
    assert 0 < most <= 1100


async def reads_nothing(response: Response) -> Response:
    return Response.text("instead")


async def reads_the_first_piece(response: Response) -> Response:
    assert not isinstance(response.body, bytes)
    return Response.text((await anext(aiter(response.body))).decode())


async def reads_all(response: Response) -> Response:
    return response


@pytest.mark.parametrize("reads", [reads_nothing, reads_the_first_piece, reads_all])
async def test_what_an_application_raises_is_logged_once_whether_its_response_is_read_or_not(
    reads: Callable[[Response], Awaitable[Response]], caplog: pytest.LogCaptureFixture
) -> None:
    async def replace(request: Request, call_next: CallNext, call: CallContext) -> Response:
        return await reads(await call_next(request))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(PIECE)
        raise RuntimeError("out of stock")

    served = Served(Pipeline("shop", [Handler("test:replace", HandlerKind.AROUND, replace)], Application("app", app)))
    with caplog.at_level(logging.INFO, "changeover.request"):
        await served.ask(MemoryExchange())
    [told] = caplog.records
    assert told.exc_info is not None
    assert str(told.exc_info[1]) == "out of stock"
