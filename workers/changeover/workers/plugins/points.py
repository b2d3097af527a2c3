"""Which extension points a plugin's code may ask through modules that are not its own.

A module that all share is run once, by whoever imports it first, so that only the first is seen
making its points. Everybody else is found by what the modules that they imported refer to.
"""

import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping
from types import FunctionType, ModuleType

_NEVER = sys.stdlib_module_names | {"changeover", "builtins"}
"""Top-level names of modules that make no extension point, and lead to nobody who does."""


def points_behind(imported: Iterable[str], points: Mapping[str, set[str]]) -> set[str]:
    """The extension points that some modules lead to: their own, and those of what they refer to, directly or not.

    Args:
        imported: Names of modules.
        points: Module -> the extension points that it made.
    """
    if not points:
        return set()
    found: set[str] = set()
    pending = {name for name in imported if _may_lead(name)}
    seen = set(pending)
    while pending:
        name = pending.pop()
        found |= points.get(name, set())
        further = {each for each in _referred(name) if _may_lead(each)} - seen
        seen |= further
        pending |= further
    return found


def _may_lead(name: str) -> bool:
    return name.partition(".")[0] not in _NEVER


def _referred(name: str) -> Iterator[str]:
    """The modules that one refers to: as such, and as where its functions, classes and objects are from."""
    module = sys.modules.get(name)
    if issubclass(type(module), ModuleType):
        for value in list(_globals(module).values()):
            yield _home(value)


def _home(value: object) -> str:
    """Where a value is from. Runs no code of lazy objects and proxies, as `getattr` and `isinstance` would."""
    kind = type(value)
    if issubclass(kind, ModuleType):
        name = _globals(value).get("__name__")
    elif kind is FunctionType:
        name = value.__module__
    else:
        name = inspect.getattr_static(value if issubclass(kind, type) else kind, "__module__", None)
    return name if isinstance(name, str) else ""


def _globals(module: object) -> dict[str, object]:
    """What a module has, without making a lazy one load."""
    space: dict[str, object] = object.__getattribute__(module, "__dict__")
    return space
