"""Counts what is alive in this worker of every content of this plugin, the retired ones included."""

import asyncio
import gc
import threading
import types
from collections import Counter
from typing import Any, TypeGuard

from changeover.plugin import CallContext, Request, Response, service

OWN = ("probe", "probe.content", "probe.census", *(f"probe.part_{number:02}" for number in range(1, 18)))
SERVERS = "changeover.supervisor."
"""The server has modules of such names too."""
HOLDER = "changeover_plugins.probe"
"""What holds the contents of this plugin is part of none."""


@service
def census(request: Request, call: CallContext) -> Response:
    """Answer `{epoch, slot, alive: {what: count}}`: objects that belong to a content, by type, after a collection."""
    gc.collect()
    alive = Counter(kind for thing in gc.get_objects() if (kind := belongs(thing)))
    return Response.json({"epoch": call.epoch, "slot": call.worker, "alive": dict(alive)})


def belongs(thing: Any) -> str:
    """What `thing` is of this plugin's, empty when it is not its own."""
    kind = type(thing)
    if kind is types.ModuleType:
        name = own(getattr(thing, "__name__", ""))
        return f"module {name}" if name else ""
    if kind is types.FunctionType:
        return "function" if own(getattr(thing, "__module__", "")) else ""
    if issubclass(kind, asyncio.Task) and _runs_ours(thing):
        return f"task {thing.get_name()}"
    if issubclass(kind, threading.Thread) and own(getattr(vars(thing).get("_target"), "__module__", "")):
        return f"thread {thing.name}"
    if _is_class(thing):
        return f"class {thing.__qualname__}" if own(thing.__module__) else ""
    return f"instance of {kind.__qualname__}" if own(kind.__module__) else ""


def _runs_ours(task: "asyncio.Task[object]") -> bool:
    """Whether a task has not ended and is in code of ours."""
    frame = getattr(task.get_coro(), "cr_frame", None)
    return frame is not None and bool(own(frame.f_globals.get("__name__")))


def _is_class(thing: object) -> TypeGuard[type]:
    """As `isinstance`, which asks a thing for its `__class__` and so runs code of proxies and lazy objects."""
    return issubclass(type(thing), type)


def own(module: object) -> str:
    """The name that a module of ours has under whatever prefix isolation puts before it; empty for another's."""
    if not isinstance(module, str) or "probe" not in module or module.startswith(SERVERS) or module == HOLDER:
        return ""
    return next((name for name in OWN if module == name or module.endswith(f".{name}")), "")
