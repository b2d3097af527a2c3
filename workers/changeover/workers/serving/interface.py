"""Tells by its shape how something wants to be called: ASGI 3, ASGI 2, WSGI, as a service, or not at all."""

import enum
import inspect
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from changeover.workers.serving.contract import Service
from changeover.workers.serving.handlers import HandlerKind, kind_of


class Shape(enum.Enum):
    """How something wants to be called."""

    ASGI3 = "(scope, receive, send)"
    ASGI2 = "(scope)"
    WSGI = "(environ, start_response)"
    NATIVE = "(request, call)"
    """Marked with `@service`, or an instance of a Service."""
    FACTORY = "()"
    ANYTHING = "(*args)"
    """Anything at all, and it is no coroutine: WSGI and ASGI behind a wrapper that passes on what it gets."""
    CLASS = "a class"
    NOT_CALLABLE = "not callable"
    UNKNOWN = "otherwise"


_ENVIRON = frozenset({"environ", "env"})
"""What the first parameter of a WSGI application is called, where it may take more than two."""
_BY_ARITY = ((3, Shape.ASGI3), (2, Shape.WSGI), (1, Shape.ASGI2))


def shape_of(value: Any) -> Shape:
    """How `value` wants to be called; what has no signature is taken for ASGI 3."""
    if not callable(value):
        return Shape.NOT_CALLABLE
    if isinstance(value, Service) or kind_of(value) is HandlerKind.SERVICE:
        return Shape.NATIVE
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return Shape.ASGI3
    if isinstance(value, type):
        return _shape_of_class(value, signature)
    if _takes_anything(signature) and not _is_asynchronous(value):
        return Shape.ANYTHING
    return _shape(signature)


def _shape_of_class(value: type, signature: inspect.Signature) -> Shape:
    if hasattr(value, "__await__"):
        return _shape(signature)
    if takes(signature, 1) and _called_with(value, 2):
        return Shape.ASGI2
    return Shape.CLASS


def _called_with(value: type, arguments: int) -> bool:
    call: Callable[..., Any] | None = value.__dict__.get("__call__")
    return call is not None and takes(inspect.signature(call), arguments + 1)


def _shape(signature: inspect.Signature) -> Shape:
    if takes(signature, 0) and not any(each.kind is each.VAR_POSITIONAL for each in signature.parameters.values()):
        return Shape.FACTORY
    if next(iter(signature.parameters)) in _ENVIRON and takes(signature, 2):
        return Shape.WSGI
    return next((shape for arguments, shape in _BY_ARITY if takes(signature, arguments)), Shape.UNKNOWN)


def _takes_anything(signature: inspect.Signature) -> bool:
    first = next(iter(signature.parameters.values()), None)
    return first is not None and first.kind is first.VAR_POSITIONAL


def _is_asynchronous(value: Any) -> bool:
    return inspect.iscoroutinefunction(value) or inspect.iscoroutinefunction(type(value).__call__)


def takes(signature: inspect.Signature, arguments: int) -> bool:
    """Whether something with that signature can be called with so many positional arguments."""
    try:
        signature.bind(*range(arguments))
    except TypeError:
        return False
    return True


def is_callable_with(value: Any, arguments: int) -> bool:
    """Whether `value` can be called with so many positional arguments; what has no signature can."""
    try:
        return takes(inspect.signature(value), arguments)
    except (TypeError, ValueError):
        return callable(value)


def asgi3_of(asgi2: Callable[[MutableMapping[str, Any]], Callable[..., Awaitable[None]]]) -> Callable[..., Any]:
    """An ASGI 2 application as an ASGI 3 callable."""

    async def call(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        await asgi2(scope)(receive, send)

    return call
