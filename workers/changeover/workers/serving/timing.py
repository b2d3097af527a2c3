"""Handlers that tell how long they took: folded into a pipeline's second chain, which one request in `EVERY` takes."""

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import replace
from time import monotonic_ns
from typing import Any

from changeover.workers.serving.contract import CallContext, CallNext, Inbound, Outbound, Request, Response
from changeover.workers.serving.counters import HandlerCounter
from changeover.workers.serving.handlers import Handler, HandlerKind

EVERY = 64
"""Of so many requests of a pipeline one is timed, the first to begin with: two looks at the clock per handler would
cost a native request more than what they are to find out."""


def timed(handler: Handler, counter: HandlerCounter) -> Handler:
    """The same handler, which tells `counter` how long each call took."""
    return replace(handler, call=_WRAP[handler.kind](handler.call, counter))


def _inbound(function: Inbound, counter: HandlerCounter) -> Inbound:
    def call(request: Request, context: CallContext) -> Any:
        began = monotonic_ns()
        return _told(function(request, context), began, counter)

    return call


def _outbound(function: Outbound, counter: HandlerCounter) -> Outbound:
    def call(request: Request, response: Response, context: CallContext) -> Any:
        began = monotonic_ns()
        return _told(function(request, response, context), began, counter)

    return call


def _told(result: Any, began: int, counter: HandlerCounter) -> Any:
    if result is not None and inspect.isawaitable(result):
        return _awaited(result, began, counter)
    counter.took(monotonic_ns() - began)
    return result


async def _awaited(waiting: Awaitable[Any], began: int, counter: HandlerCounter) -> Any:
    try:
        return await waiting
    finally:
        counter.took(monotonic_ns() - began)


def _around(function: Callable[..., Any], counter: HandlerCounter) -> Callable[..., Any]:
    async def call(request: Request, call_next: CallNext, context: CallContext) -> Response:
        inner = 0

        async def timed_next(request: Request) -> Response:
            nonlocal inner
            began = monotonic_ns()
            try:
                return await call_next(request)
            finally:
                inner += monotonic_ns() - began

        began = monotonic_ns()
        try:
            response: Response = await function(request, timed_next, context)
            return response
        finally:
            counter.took(max(0, monotonic_ns() - began - inner))

    return call


_WRAP: dict[HandlerKind, Callable[..., Callable[..., Any]]] = {
    HandlerKind.INBOUND: _inbound,
    HandlerKind.OUTBOUND: _outbound,
    HandlerKind.AROUND: _around,
}
