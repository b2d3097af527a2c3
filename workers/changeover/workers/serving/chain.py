"""Handlers as a request passes them, the around handlers folded into what answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from changeover.workers.serving.answering import Answerer, checked, waits
from changeover.workers.serving.bridge import Respond
from changeover.workers.serving.contract import CallContext, Request, Response
from changeover.workers.serving.handlers import Handler, HandlerKind

Failed = Callable[[Handler, BaseException], None]
"""Told of a handler that raised."""


@dataclass(frozen=True, slots=True)
class Chain:
    """The handlers of one pipeline.

    Attributes:
        inbound: The inbound chain.
        outbound: The outbound chain.
        answerer: What answers.
        failed: Told of a handler that raised.
    """

    inbound: tuple[Handler, ...]
    outbound: tuple[Handler, ...]
    answerer: Answerer
    failed: Failed

    async def show(self, request: Request, response: Response, call: CallContext) -> None:
        """Show a response to the outbound handlers."""
        for handler in self.outbound:
            try:
                waiting = handler.call(request, response, call)
                if waiting is not None and waits(waiting):
                    await waiting
            except BaseException as error:
                self.failed(handler, error)
                raise


def folded(name: str, handlers: Sequence[Handler], answerer: Answerer, failed: Failed) -> Chain:
    """The chain of handlers around what answers.

    Args:
        name: The pipeline's name.
        handlers: In request order.
        answerer: What answers.
        failed: Told of a handler that raised.
    """
    around = of_kind(handlers, HandlerKind.AROUND)
    if around:
        respond: Respond = answerer.respond
        for handler in reversed(around):
            respond = _wrapped(handler, respond, failed)
        answerer = Answerer(f"pipeline {name}", respond)
    return Chain(of_kind(handlers, HandlerKind.INBOUND), of_kind(handlers, HandlerKind.OUTBOUND), answerer, failed)


def of_kind(handlers: Sequence[Handler], kind: HandlerKind) -> tuple[Handler, ...]:
    """Those of a kind, in order."""
    return tuple(handler for handler in handlers if handler.kind is kind)


def _wrapped(handler: Handler, inner: Respond, failed: Failed) -> Respond:
    async def respond(request: Request, call: CallContext) -> Response:
        passed: BaseException | None = None

        async def call_next(request: Request) -> Response:
            nonlocal passed
            try:
                return await inner(request, call)
            except BaseException as error:
                passed = error
                raise

        try:
            return checked(await handler.call(request, call_next, call), f"around handler {handler.name}")
        except BaseException as error:
            if error is not passed:
                failed(handler, error)
            passed = None  # it refers to this frame
            raise

    return respond
