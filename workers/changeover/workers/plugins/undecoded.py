"""Finds hooks that expect state as it was exported, where they are given its bytes."""

import builtins
from collections.abc import Iterator
from types import FunctionType

import msgspec


def undecoded(function: FunctionType) -> Iterator[str]:
    """Yield the parameters behind `self` and `old` that are annotated as a Struct or a dict.

    An annotation that is text is looked up in the function's module, where it is one name.
    """
    code = function.__code__
    for name in code.co_varnames[2 : code.co_argcount]:
        expected = function.__annotations__.get(name)
        if isinstance(expected, str):
            expected = function.__globals__.get(expected, vars(builtins).get(expected))
        if isinstance(expected, type) and issubclass(expected, (msgspec.Struct, dict)):
            yield f"{name}: {expected.__name__}"
