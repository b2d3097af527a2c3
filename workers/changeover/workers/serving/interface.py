"""Tells by its shape how something wants to be called: ASGI 3, ASGI 2, WSGI, or not at all."""

import enum
import inspect
from collections.abc import Callable
from typing import Any


class Shape(enum.Enum):
    """How something wants to be called."""

    ASGI3 = "(scope, receive, send)"
    ASGI2 = "(scope)"
    WSGI = "(environ, start_response)"
    FACTORY = "()"
    CLASS = "a class"
    NOT_CALLABLE = "not callable"
    UNKNOWN = "otherwise"


_BY_ARITY = ((3, Shape.ASGI3), (2, Shape.WSGI), (1, Shape.ASGI2), (0, Shape.FACTORY))


def shape_of(value: Any) -> Shape:
    """How `value` wants to be called; what has no signature is taken for ASGI 3."""
    if not callable(value):
        return Shape.NOT_CALLABLE
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return Shape.ASGI3
    if isinstance(value, type):
        return _shape_of_class(value, signature)
    return _shape(signature)


def _shape_of_class(value: type, signature: inspect.Signature) -> Shape:
    if hasattr(value, "__await__"):
        return _shape(signature)
    if _takes(signature, 1) and _called_with(value, 2):
        return Shape.ASGI2
    return Shape.CLASS


def _called_with(value: type, arguments: int) -> bool:
    call: Callable[..., Any] | None = value.__dict__.get("__call__")
    return call is not None and _takes(inspect.signature(call), arguments + 1)


def _shape(signature: inspect.Signature) -> Shape:
    return next((shape for arguments, shape in _BY_ARITY if _takes(signature, arguments)), Shape.UNKNOWN)


def _takes(signature: inspect.Signature, arguments: int) -> bool:
    try:
        signature.bind(*range(arguments))
    except TypeError:
        return False
    return True
