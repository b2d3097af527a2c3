"""What is counted and told of a WSGI application: the same as of any other."""

import pytest

from changeover.workers.serving.contract import CallContext, CallNext, Request, Response
from changeover.workers.serving.counters import Counters
from changeover.workers.serving.handlers import Handler, HandlerKind
from changeover.workers.serving.observation import PipelineEventKind
from changeover.workers.serving.pipeline import Pipeline
from tests.exchange import MemoryExchange, Served
from tests.ready_made import Listener
from tests.waits import until
from tests.wsgi import answering, application


async def pass_on(request: Request, call_next: CallNext, call: CallContext) -> Response:
    return await call_next(request)


def look(request: Request, response: Response, call: CallContext) -> None:
    """See a response."""


WAYS = {
    "alone": (),
    "behind an outbound": (Handler("test:look", HandlerKind.OUTBOUND, look),),
    "through an around": (Handler("test:pass_on", HandlerKind.AROUND, pass_on),),
}
every_way = pytest.mark.parametrize("handlers", WAYS.values(), ids=WAYS)


@every_way
async def test_a_response_is_counted_once_also_one_that_words_an_error(handlers: tuple[Handler, ...]) -> None:
    async with application(answering(b"hello", status="201 Created")) as app:
        served = Served(Pipeline("shop", handlers, app))
        await served.get()
        await served.get()
    assert served.units.counters.counts().responses == {"2xx": 2}
    async with application(answering(b"hello", status="none")) as app:
        served = Served(Pipeline("shop", handlers, app))
        await served.get()
    assert served.units.counters.counts().responses == {"5xx": 1}


@every_way
async def test_a_client_that_does_not_take_its_response_is_told_of(handlers: tuple[Handler, ...]) -> None:
    heard = Listener()
    exchange = MemoryExchange(window=10)
    async with application(answering(*[b"x" * 40_000] * 4)) as app:
        served = Served(Pipeline("shop", handlers, app, counters=Counters(heard)))
        served.dispatcher.dispatch(exchange)
        await until(lambda: heard.kinds[-1:] == [PipelineEventKind.BACKPRESSURE_BEGAN], "backpressure")
        while not exchange.ended:
            exchange.take()
            await until(lambda: exchange.ended or exchange.backed_up(), "more")
    assert heard.kinds.count(PipelineEventKind.BACKPRESSURE_ENDED) == heard.kinds.count(
        PipelineEventKind.BACKPRESSURE_BEGAN
    )
