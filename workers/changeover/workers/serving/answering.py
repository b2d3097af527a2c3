"""What stands at the end of a pipeline, as its requests come to it: directly, or by way of around handlers."""

import inspect
from collections.abc import Awaitable, Callable
from types import CoroutineType
from typing import Any, TypeGuard

from changeover.workers.serving import bridge
from changeover.workers.serving.asgi import Application
from changeover.workers.serving.contract import CallContext, NotReady, Request, Response, Service
from changeover.workers.serving.counters import ServiceCounter
from changeover.workers.serving.gauge import ReadinessGauge
from changeover.workers.serving.handlers import ServiceFunction
from changeover.workers.serving.websocket import MessageService, WebSocketService
from changeover.workers.serving.wsgi import WsgiApplication

Answering = Service | ServiceFunction | Application | WsgiApplication | WebSocketService | MessageService | None
"""What stands at the end of a pipeline; None is a pipeline that was emptied by removal and answers 503."""


class Answerer:
    """What answers.

    Args:
        name: For messages.
        call: Answers; what it returns may have to be awaited.
        counter: Its own; None where nobody follows whether it is ready.

    Attributes:
        call: As above.
        counter: Says whether it was not ready when it was asked last.
    """

    __slots__ = ("_name", "call", "counter")

    def __init__(self, name: str, call: ServiceFunction, counter: ServiceCounter | None = None) -> None:
        self._name = name
        self.call = call
        self.counter = counter or ServiceCounter()

    def given(self, response: Any) -> Response:
        """What came of a call.

        Raises:
            TypeError: It is no response.
        """
        return checked(response, self._name)

    def failed(self, error: BaseException) -> None:
        """A call raised."""

    async def respond(self, request: Request, call: CallContext) -> Response:
        """Call it, for an around handler."""
        try:
            response = self.call(request, call)
            return self.given(await response if waits(response) else response)
        except BaseException as error:
            self.failed(error)
            raise


class _ServiceAnswerer(Answerer):
    """A service, which is counted where it is not ready."""

    __slots__ = ("_gauge",)

    def __init__(self, service: Service | ServiceFunction, gauge: ReadinessGauge) -> None:
        call = _asked(service) if isinstance(service, Service) else service
        super().__init__(f"service {name_of(service)}", call, gauge.counter)
        self._gauge = gauge

    def given(self, response: Any) -> Response:
        if self._gauge.counter.unready:
            self._gauge.ready()
        return response if type(response) is Response else checked(response, self._name)

    def failed(self, error: BaseException) -> None:
        if isinstance(error, NotReady):
            self._gauge.refused(error)


def answerer(target: Answering, gauge: Callable[[], ReadinessGauge]) -> Answerer:
    """What answers with that.

    Args:
        target: What stands at the end.
        gauge: Makes what follows whether it takes requests.
    """
    if target is None:
        return Answerer("an emptied pipeline", _emptied)
    if isinstance(target, Application):
        return Answerer(f"application {target.name}", bridge.asgi(target))
    if isinstance(target, WsgiApplication):
        return Answerer(f"application {target.name}", bridge.wsgi(target, gauge()))
    if isinstance(target, WebSocketService | MessageService):
        return Answerer("a WebSocket", _unasked)
    return _ServiceAnswerer(target, gauge())


def name_of(target: Answering) -> str:
    """How what answers is called; empty for nothing."""
    return "" if target is None else getattr(target, "__qualname__", type(target).__qualname__)


def _asked(service: Service) -> ServiceFunction:
    """The service, asked before each call whether it is ready, where it may not be; bound, which is called faster."""
    if type(service).ready is Service.ready:
        return service.__call__
    ready = service.ready

    def call(request: Request, call: CallContext) -> Awaitable[Response]:
        ready()
        return service(request, call)

    return call


async def _emptied(request: Request, call: CallContext) -> Response:
    return Response.problem(503, "Nothing answers here", f"pipeline {call.route} has no service in epoch {call.epoch}")


async def _unasked(request: Request, call: CallContext) -> Response:
    response = Response.problem(426, "Upgrade required", "a WebSocket is served here")
    response.headers["upgrade"] = "websocket"
    return response


def waits(result: object) -> TypeGuard[Awaitable[Any]]:
    """Whether what was called wants to be awaited; what it mostly returns is told from that at once."""
    kind = type(result)
    return kind is CoroutineType or (kind is not Response and inspect.isawaitable(result))


def checked(response: Any, name: str) -> Response:
    """The response that `name` returned.

    Raises:
        TypeError: It is none.
    """
    if isinstance(response, Response):
        return response
    raise TypeError(f"{name} returned {type(response).__name__}; return a Response, such as Response.text(...)")
