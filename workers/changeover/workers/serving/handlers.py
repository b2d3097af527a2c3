"""Handler markers: what makes a function or method of a plugin a handler or a service.

Public: the decorators are re-exported by `changeover.plugin`.
"""

import enum
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from changeover.workers.errors import ChangeoverError
from changeover.workers.serving.contract import CallContext, Request, Response
from changeover.workers.serving.websocket import MessageHandler

F = TypeVar("F", bound=Callable[..., Any])
ServiceFunction = Callable[[Request, CallContext], Response | Awaitable[Response]]

_MARK = "__changeover_handler__"
_PREFLIGHT = "__changeover_preflight__"


class HandlerKind(enum.Enum):
    """What a marked function is in a pipeline; the value is the word that manifests use."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    AROUND = "around"
    SERVICE = "service"
    WEBSOCKET = "websocket"


_WRITE = {
    HandlerKind.INBOUND: "def {name}({self}request: Request, call: CallContext) -> Response | None",
    HandlerKind.OUTBOUND: "def {name}({self}request: Request, response: Response, call: CallContext) -> None",
    HandlerKind.AROUND: "async def {name}({self}request: Request, call_next: CallNext, call: CallContext) -> Response",
    HandlerKind.SERVICE: "async def {name}({self}request: Request, call: CallContext) -> Response",
    HandlerKind.WEBSOCKET: "async def {name}({self}socket: WebSocket, call: CallContext) -> None",
}
_PARAMETERS = {
    HandlerKind.INBOUND: 2,
    HandlerKind.OUTBOUND: 3,
    HandlerKind.AROUND: 3,
    HandlerKind.SERVICE: 2,
    HandlerKind.WEBSOCKET: 2,
}


class NotAHandler(ChangeoverError):
    """A decorator was put on something that cannot be called as that kind of handler.

    Attributes:
        kind: The decorator.
        name: What it was put on.
        fact: What is wrong with it.
    """

    def __init__(self, kind: HandlerKind, name: str, fact: str, write: str) -> None:
        self.kind = kind
        self.name = name
        self.fact = fact
        super().__init__(f"@{kind.value} on {name}: {fact}; write `{write}`")


@dataclass(frozen=True, slots=True)
class Handler:
    """A handler bound to its plugin's instance, ready to be put into a pipeline.

    Attributes:
        name: `<plugin id>:<handler name>`.
        kind: INBOUND, OUTBOUND or AROUND.
        call: The function or bound method.
        phase: Where in a pipeline it belongs, as it declares; empty where nothing is declared.
    """

    name: str
    kind: HandlerKind
    call: Callable[..., Any]
    phase: str = ""


def inbound(function: F) -> F:
    """Mark a handler that sees a request before the service; None goes on, a Response answers at once.

    Raises:
        NotAHandler: It cannot be called with `(request, call)`.
    """
    return _mark(HandlerKind.INBOUND, function)


def preflight(function: F) -> F:
    """Mark an inbound handler that answers CORS preflights: it sees those for its route's methods, too.

    Without it, a preflight ends before the pipeline where the route takes no OPTIONS.

    Raises:
        NotAHandler: It cannot be called with `(request, call)`.
    """
    setattr(inbound(function), _PREFLIGHT, True)
    return function


def outbound(function: F) -> F:
    """Mark a handler that sees every response before it is sent, and may edit its status and headers.

    Raises:
        NotAHandler: It cannot be called with `(request, response, call)`.
    """
    return _mark(HandlerKind.OUTBOUND, function)


def around(function: F) -> F:
    """Mark a handler that is on both sides: it awaits `call_next(request)` and returns a Response.

    Raises:
        NotAHandler: It cannot be called with `(request, call_next, call)`.
    """
    return _mark(HandlerKind.AROUND, function)


def service(function: F) -> F:
    """Mark a function that answers requests.

    Raises:
        NotAHandler: It cannot be called with `(request, call)`.
    """
    return _mark(HandlerKind.SERVICE, function)


def websocket(function: F) -> F:
    """Mark a coroutine function that speaks over a WebSocket until it returns, which closes it.

    Raises:
        NotAHandler: It is no coroutine function, or cannot be called with `(socket, call)`.
    """
    return _mark(HandlerKind.WEBSOCKET, function)


def kind_of(value: object) -> HandlerKind | None:
    """What a function, method or bound method was marked as; None when it was not."""
    kind = getattr(value, _MARK, None)
    return kind if isinstance(kind, HandlerKind) else None


def answers_preflights(function: object) -> bool:
    """Whether a function, method or bound method was marked as `preflight`."""
    return getattr(function, _PREFLIGHT, False) is True


def check(kind: HandlerKind, function: object, *, method: bool) -> None:
    """Refuse what cannot be called as `kind`.

    Args:
        kind: How it is to be called.
        function: What is to be called.
        method: Whether its first parameter is the instance, still to be bound.

    Raises:
        NotAHandler: It cannot be called so.
    """
    name = getattr(function, "__name__", None) or type(function).__name__
    write = _WRITE[kind].format(name=name, self="self, " if method else "")
    fact = _unfit(kind, function, _PARAMETERS[kind] + method)
    if fact:
        raise NotAHandler(kind, getattr(function, "__qualname__", name), fact, write)


def _mark(kind: HandlerKind, function: F) -> F:
    check(kind, function, method=_in_class_body(function))
    setattr(function, _MARK, kind)
    return function


def _in_class_body(function: object) -> bool:
    enclosing, _, _ = str(getattr(function, "__qualname__", "")).rpartition(".")
    return bool(enclosing) and not enclosing.endswith("<locals>")


def _unfit(kind: HandlerKind, function: object, arguments: int) -> str:
    if isinstance(function, staticmethod | classmethod):
        return f"it is a {type(function).__name__}, and the instance is needed"
    if isinstance(function, type):
        if issubclass(function, MessageHandler):
            return "it is a class, and a subclass of MessageHandler needs no decorator"
        return "it is a class, and a subclass of Service needs no decorator"
    if not callable(function):
        return f"it is a {type(function).__name__}, not a function"
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        return "it yields, and a handler returns"
    if kind is HandlerKind.WEBSOCKET and not inspect.iscoroutinefunction(function):
        return "it is no coroutine function, and a WebSocket waits"
    return _arity(function, arguments)


def _arity(function: Callable[..., Any], arguments: int) -> str:
    signature = inspect.signature(function)
    try:
        signature.bind(*range(arguments))
    except TypeError:
        return f"it is called with {arguments} positional arguments and takes {signature}"
    return ""
