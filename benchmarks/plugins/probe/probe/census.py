"""Counts what is alive in this worker of every content of this plugin, the retired ones included."""

import gc
import types
from collections import Counter

from changeover.plugin import CallContext, Request, Response, service

OWN = ("probe", "probe.content", "probe.census")


@service
def census(request: Request, call: CallContext) -> Response:
    """Answer `{epoch, slot, alive: {what: count}}`: objects that belong to a content, by type, after a collection."""
    gc.collect()
    alive = Counter(kind for thing in gc.get_objects() if (kind := belongs(thing)))
    return Response.json({"epoch": call.epoch, "slot": call.worker, "alive": dict(alive)})


def belongs(thing: object) -> str:
    """What `thing` is of this plugin's, empty when it is not its own."""
    kind = type(thing)
    if kind is types.ModuleType:
        return f"module {_name(thing)}" if _ends(_name(thing)) else ""
    if kind is types.FunctionType:
        return "function" if _ends(getattr(thing, "__module__", "")) else ""
    if isinstance(thing, type):
        return f"class {thing.__qualname__}" if _ends(thing.__module__) else ""
    if _ends(kind.__module__):
        return f"instance of {kind.__qualname__}"
    return ""


def _name(module: object) -> str:
    name = getattr(module, "__name__", "")
    return name if isinstance(name, str) else ""


def _ends(module: object) -> bool:
    """Whether a module's name is one of ours, under whatever prefix isolation puts before it."""
    return isinstance(module, str) and any(module == own or module.endswith(f".{own}") for own in OWN)
