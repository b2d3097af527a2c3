"""Markers on functions and methods."""

from collections.abc import Callable
from typing import Any

import pytest

from changeover.workers.serving.contract import CallContext, CallNext, Request, Response
from changeover.workers.serving.handlers import (
    HandlerKind,
    NotAHandler,
    answers_preflights,
    around,
    inbound,
    kind_of,
    outbound,
    preflight,
    service,
    websocket,
)
from changeover.workers.serving.websocket import MessageHandler


class Speaking(MessageHandler): ...


class Marked:
    @inbound
    def arriving(self, request: Request, call: CallContext) -> None: ...

    @preflight
    def asking(self, request: Request, call: CallContext) -> None: ...

    @outbound
    async def leaving(self, request: Request, response: Response, call: CallContext) -> None: ...

    @around
    async def timed(self, request: Request, call_next: CallNext, call: CallContext) -> Response:
        return await call_next(request)

    @service
    async def quote(self, request: Request, call: CallContext) -> Response:
        return Response.text("3")


def test_methods_and_bound_methods_know_what_they_are() -> None:
    instance = Marked()
    assert kind_of(instance.arriving) is HandlerKind.INBOUND
    assert kind_of(Marked.leaving) is HandlerKind.OUTBOUND
    assert kind_of(instance.timed) is HandlerKind.AROUND
    assert kind_of(instance.quote) is HandlerKind.SERVICE
    assert kind_of(print) is None
    assert kind_of(instance.asking) is HandlerKind.INBOUND
    assert (answers_preflights(instance.asking), answers_preflights(instance.arriving)) == (True, False)


def test_a_marked_function_is_left_as_it_is() -> None:
    def plain(request: Request, call: CallContext) -> None: ...

    assert inbound(plain) is plain


def two(first: object, second: object) -> None: ...


def three(first: object, second: object, third: object) -> None: ...


def yielding(request: object, call: object) -> Any:
    yield request


@pytest.mark.parametrize(
    ("decorator", "function", "said"),
    [
        (inbound, three, "takes (first: object, second: object, third: object) -> None; write `def three(request"),
        (outbound, two, "write `def two(request: Request, response: Response, call: CallContext) -> None`"),
        (around, two, "write `async def two(request: Request, call_next: CallNext, call: CallContext)"),
        (service, yielding, "it yields, and a handler returns"),
        (inbound, staticmethod(two), "it is a staticmethod"),
        (service, Marked, "a subclass of Service needs no decorator"),
        (inbound, "text", "it is a str, not a function"),
        (websocket, two, "it is no coroutine function, and a WebSocket waits; write `async def two(socket: WebSocket"),
        (websocket, Speaking, "a subclass of MessageHandler needs no decorator"),
    ],
)
def test_what_cannot_be_called_so_is_refused_with_what_to_write(
    decorator: Callable[[Any], Any], function: object, said: str
) -> None:
    with pytest.raises(NotAHandler) as refused:
        decorator(function)
    assert said in str(refused.value)


def test_a_method_without_its_instance_is_refused() -> None:
    with pytest.raises(NotAHandler, match=r"write `def forgot\(self, request: Request"):

        class Forgetful:
            @inbound
            def forgot(request: Request, call: CallContext) -> None: ...  # type: ignore[misc]
