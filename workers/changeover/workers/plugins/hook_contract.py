"""Checks that the hooks of a plugin can be called as the plugin API calls them, before any of them runs."""

import inspect
import traceback
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from changeover.workers.plugins.api import Plugin
from changeover.workers.plugins.callable_with import misfit
from changeover.workers.plugins.refused import HookUnfit

_HOOKS = {
    name: tuple(inspect.signature(hook).parameters)[1:]
    for name, hook in vars(Plugin).items()
    if inspect.isfunction(hook) and not name.startswith("_")
}
"""Hook -> the names of what it is given, after the instance."""
_MANAGED = {contextmanager(iter).__code__, asynccontextmanager(iter).__code__}  # type: ignore[arg-type]
"""The code that makes a context manager of a generator: entered by nobody, it runs nothing either."""


def check_hooks(instance: Plugin[Any]) -> None:
    """Look at every hook that a plugin has of its own.

    Raises:
        HookUnfit: One takes something else than it is given, or is a generator, which would never run.
    """
    for name, given in _HOOKS.items():
        hook = getattr(instance, name)
        if getattr(hook, "__func__", hook) is not vars(Plugin)[name] and (why := _mistake(hook, given)):
            raise HookUnfit(f"{name} {why}; write `def {name}({', '.join(('self', *given))})`", _defined(hook))


def _mistake(hook: object, given: tuple[str, ...]) -> str:
    """What is wrong with a hook; empty when it can be called."""
    if not callable(hook):
        return f"is a hook, and no function but {type(hook).__name__}"
    if _is_generator(hook):
        return "has a `yield`: its code would never run, as nobody iterates over what a hook returns"
    error = misfit(hook, *given)
    return "" if error is None else f"does not take what it is given, {', '.join(given) or 'nothing'} ({error})"


def _is_generator(hook: object) -> bool:
    if inspect.isgeneratorfunction(hook) or inspect.isasyncgenfunction(hook):
        return True
    return getattr(hook, "__code__", None) in _MANAGED


def _defined(hook: object) -> traceback.StackSummary:
    """Where a hook is defined, as far as that is known."""
    code = getattr(inspect.unwrap(hook) if callable(hook) else hook, "__code__", None)
    frames = [] if code is None else [traceback.FrameSummary(code.co_filename, code.co_firstlineno, code.co_name)]
    return traceback.StackSummary.from_list(frames)
