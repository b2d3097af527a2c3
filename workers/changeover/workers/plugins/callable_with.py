"""Tells what a function takes, and whether it can be called with certain arguments, without calling it."""

import inspect
import sys
from collections.abc import Callable
from typing import Any

# As the call itself goes: to the function that is there, and not to one that it wraps; without evaluating annotations.
_HOW: dict[str, Any] = {"follow_wrapped": False}
if sys.version_info >= (3, 14):
    from annotationlib import Format

    _HOW["annotation_format"] = Format.FORWARDREF


def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """What a function itself takes; annotations that cannot be evaluated stand as they were written.

    Raises:
        ValueError: It is written in C and does not say.
        TypeError: It cannot be called.
    """
    return inspect.signature(function, **_HOW)


def misfit(function: Callable[..., Any], *given: object) -> TypeError | None:
    """Why a function cannot be called with these positional arguments.

    Returns:
        What the call would raise; None when it can be called, or is written in C and does not say what it takes.
    """
    try:
        signature_of(function).bind(*given)
    except TypeError as error:
        return error
    except ValueError:
        return None
    return None
