"""What is left of a request to an application behind around handlers: nothing that only the collector would find."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from changeover.workers.serving.answering import Answering
from changeover.workers.serving.asgi import Application, Receive, Scope, Send
from changeover.workers.serving.contract import Around, CallContext, CallNext, Request, Response
from changeover.workers.serving.handlers import Handler, HandlerKind
from changeover.workers.serving.pipeline import Pipeline
from tests.cycles import cycles
from tests.exchange import MemoryExchange, Served
from tests.wsgi import OK, PLAIN, application

AGAIN = 3
"""How often everything happens."""
START = {"type": "http.response.start", "status": 200, "headers": []}
PIECE = {"type": "http.response.body", "body": b"piece", "more_body": True}


@pytest.fixture(autouse=True)
def unheard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody keeps the errors that are logged."""
    monkeypatch.setattr(logging.getLogger("changeover.request"), "disabled", True)


async def passes_on(request: Request, call_next: CallNext, call: CallContext) -> Response:
    return await call_next(request)


async def reads_nothing(request: Request, call_next: CallNext, call: CallContext) -> Response:
    await call_next(request)
    return Response(b"own")


async def waits_and_reads_nothing(request: Request, call_next: CallNext, call: CallContext) -> Response:
    await call_next(request)
    await asyncio.sleep(0)
    return Response(b"own")


async def fails(scope: Scope, receive: Receive, send: Send) -> None:
    raise RuntimeError


async def fails_behind_its_head(scope: Scope, receive: Receive, send: Send) -> None:
    await send(START)
    raise RuntimeError


async def fails_in_its_body(scope: Scope, receive: Receive, send: Send) -> None:
    await send(START)
    await send(PIECE)
    await asyncio.sleep(0)
    raise RuntimeError


async def streams(scope: Scope, receive: Receive, send: Send) -> None:
    await send(START)
    await send(PIECE)
    await asyncio.sleep(0)
    await send({"type": "http.response.body"})


def wsgi_fails(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    raise RuntimeError


def wsgi_fails_in_its_body(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
    start_response(OK, PLAIN)
    yield b"piece"
    raise RuntimeError


@asynccontextmanager
async def asgi(app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> AsyncIterator[Answering]:
    yield Application("app", app)


APPLICATIONS: dict[str, Callable[[], AbstractAsyncContextManager[Answering]]] = {
    "fails": lambda: asgi(fails),
    "fails behind its head": lambda: asgi(fails_behind_its_head),
    "fails in its body": lambda: asgi(fails_in_its_body),
    "streams": lambda: asgi(streams),
    "wsgi fails": lambda: application(wsgi_fails),
    "wsgi fails in its body": lambda: application(wsgi_fails_in_its_body),
}


@pytest.mark.parametrize("around", [passes_on, reads_nothing, waits_and_reads_nothing])
@pytest.mark.parametrize("app", APPLICATIONS)
async def test_nothing_is_left_of_a_request(app: str, around: Around) -> None:
    async with APPLICATIONS[app]() as target:
        served = Served(Pipeline("shop", (Handler("test:around", HandlerKind.AROUND, around),), target))

        async def left() -> Counter[str]:
            found = Counter[str]()
            with cycles(found):
                for _ in range(AGAIN):
                    await served.ask(MemoryExchange("POST", held=b"body"))
                for _ in range(3):
                    await asyncio.sleep(0)  # the loop lets go of what it called last
            return found

        await left()  # with what is made once and for all
        assert not await left()
