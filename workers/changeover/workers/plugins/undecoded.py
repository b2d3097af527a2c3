"""Finds hooks that expect state as it was exported, where they are given its bytes."""

import builtins
from collections.abc import Iterator
from types import FunctionType

import msgspec

from changeover.workers.plugins.callable_with import signature_of


def undecoded(function: FunctionType) -> Iterator[str]:
    """Yield the parameters behind `self` and `old` that are annotated as a Struct or a dict.

    An annotation that is text is looked up in the function's module, where it is one name.
    """
    for parameter in tuple(signature_of(function).parameters.values())[2:]:
        expected = parameter.annotation
        if isinstance(expected, str):
            expected = function.__globals__.get(expected, vars(builtins).get(expected))
        if isinstance(expected, type) and issubclass(expected, (msgspec.Struct, dict)):
            yield f"{parameter.name}: {expected.__name__}"
