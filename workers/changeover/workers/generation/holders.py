"""Says what holds something alive: the shortest chain from a root, by names that people know.

Upwards first, from what is held to its holders: that sees everything but what was frozen before the
fork (`gc.freeze`), which is what the application preloaded. So what ends without a root is looked for
downwards from the modules as well. Both are bounded: the loop stands still meanwhile.
"""

import asyncio
import atexit
import functools
import gc
import logging
import math
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from types import (
    AsyncGeneratorType,
    BuiltinFunctionType,
    CellType,
    CoroutineType,
    FrameType,
    FunctionType,
    GeneratorType,
    MethodType,
    ModuleType,
)
from typing import Any, TypeGuard, TypeVar, overload

T = TypeVar("T")

LONGEST = 0.25
"""Seconds of the processor that each search may take."""
BREADTH = 512
"""Most objects whose holders are looked for in one step: each costs a comparison for every reference that there is."""

_TIMER = "TimerHandle"
"""Of asyncio and of uvloop, which have no class in common."""
_ROOTS = (asyncio.AbstractEventLoop, asyncio.Task, threading.Thread)
_UNNAMED = (CellType, tuple)


@overload
def _is_a(thing: object, kind: type[T]) -> TypeGuard[T]: ...
@overload
def _is_a(thing: object, kind: tuple[type[Any], ...]) -> TypeGuard[Any]: ...
def _is_a(thing: object, kind: type[Any] | tuple[type[Any], ...]) -> bool:
    """As `isinstance`, which asks a thing for its `__class__` and so runs code of proxies and lazy objects."""
    return issubclass(type(thing), kind)


def spaces(loaders: Sequence[object]) -> list[object]:
    """The globals of modules, by their loaders; the loader itself where only that is left."""
    if not loaders:
        return []
    held = {id(loader): loader for loader in loaders}
    refer = gc.get_referrers(*loaders)
    found = [each for each in refer if type(each) is dict and id(each.get("__loader__")) in held]
    seen = {id(each["__loader__"]) for each in found}
    return [*found, *(loader for key, loader in held.items() if key not in seen)]


def registered(package: str) -> Iterator[str]:
    """What of a package's code is still registered where no module holds it: signal handlers, atexit, timers."""
    for name, call in _tables():
        if _is_of(call, package):
            yield f"{name} {_name(_unwrapped(call))} is registered"
    for timer in [each for each in gc.get_objects() if type(each).__name__ == _TIMER]:
        for call in gc.get_referents(timer):
            if callable(call) and _is_of(call, package):
                yield f"timer {_name(_unwrapped(call))} is set"


def _tables() -> Iterator[tuple[str, object]]:
    for number in signal.valid_signals():
        yield f"handler of {_signal(number)}", signal.getsignal(number)
    asked = _Asked()
    atexit.unregister(asked)
    yield from (("atexit handler", call) for call in asked.seen)


def _signal(number: int) -> str:
    return number.name if isinstance(number, signal.Signals) else f"signal {number}"


class _Asked:
    """Equal to nothing, and remembers what it was compared with: `atexit` lists its handlers in no other way."""

    def __init__(self) -> None:
        self.seen: list[object] = []

    def __eq__(self, other: object) -> bool:
        self.seen.append(other)
        return False

    __hash__ = None  # type: ignore[assignment]

    def __call__(self) -> None:
        """Never; `unregister` takes what can be called."""


def _is_of(call: object, package: str) -> bool:
    call = _unwrapped(call)
    module: object = call.__module__ if _is_a(call, (FunctionType, type)) else type(call).__module__
    return isinstance(module, str) and f"{module}.".startswith(f"{package}.")


def _unwrapped(call: object) -> object:
    while _is_a(call, (functools.partial, MethodType)):
        call = call.func if _is_a(call, functools.partial) else call.__func__
    return call


def chain(targets: Sequence[object], package: str, most: float = math.inf) -> tuple[str, ...]:
    """The shortest chain that keeps one of `targets` alive, from a root on; empty where none was found in time.

    Args:
        targets: What is alive and should not be: globals of modules, or classes.
        package: Private package of whose code they are.
        most: Reading of `time.thread_time` at which all searches end.
    """
    if running := _running(targets):
        return running
    search = _Upwards(targets, package)
    if path := search.path(min(time.thread_time() + LONGEST, most)):
        return _words(path, search.roots)
    until = min(time.thread_time() + LONGEST, most)
    imported: list[object] = list(sys.modules.values())
    modules = [vars(each) for each in imported if _is_a(each, ModuleType)]
    if path := _downwards(modules, search.known, until):
        logger = max((place for place, each in enumerate(path) if _is_known_logger(each)), default=0)
        return _words([*path[logger:], *search.way(path[-1])], search.roots)
    if search.complete and (path := _downwards(targets, search.known, until)):
        frozen = next(place for place, each in enumerate(path) if id(each) not in search.known)
        root, *rest = _words([*path[frozen:], *search.way(path[-1])], search.roots)
        return (f"preloaded {root}", *rest)
    return ()


def _running(targets: Sequence[object]) -> tuple[str, ...]:
    """A thread that executes code of the modules; the collector does not see what its frames hold."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    ids = set(map(id, targets))
    for ident, top in sys._current_frames().items():
        frame: FrameType | None = top
        while frame is not None:
            if id(frame.f_globals) in ids:
                return (f"thread {names.get(ident, ident)}", f"function {frame.f_code.co_qualname}")
            frame = frame.f_back
    return ()


class _Upwards:
    """Holders of the targets, their holders, and so on, until one is a root.

    Attributes:
        roots: What cannot be seen to be held, and holds: id -> what it is.
        known: Everything that leads to a target: id -> it.
        complete: Whether all holders were found that the collector shows.
    """

    def __init__(self, targets: Sequence[object], package: str) -> None:
        self.roots = {id(call): name for name, call in _tables() if _is_of(call, package)}
        self.known: dict[int, object] = {id(each): each for each in targets}
        self.complete = False
        self._held: dict[int, object] = {}
        self._own = {id(targets), id(self.known), id(self._held), id(self.__dict__)}

    def path(self, until: float) -> list[object]:
        """The shortest way from a root to a target; empty when there is none that the collector shows."""
        frontier = list(self.known.values())
        while frontier and time.thread_time() < until:
            found: list[object] = []
            self._own |= {id(frontier), id(found)}
            for holder, held in self._holders(frontier):
                self.known[id(holder)], self._held[id(holder)] = holder, held
                if self._is_root(holder):
                    return [holder, *self.way(holder)]
                found.append(holder)
            frontier = found[:BREADTH]
        self.complete = not frontier
        return []

    def way(self, holder: object) -> list[object]:
        """What `holder` holds, and so on to a target."""
        way = []
        while (held := self._held.get(id(holder))) is not None:
            way.append(held)
            holder = held
        return way

    def _holders(self, frontier: list[object]) -> list[tuple[object, object]]:
        ids = set(map(id, frontier))
        holders = gc.get_referrers(*frontier)
        self._own.add(id(holders))
        found = []
        for holder in holders:
            if id(holder) in self.known or id(holder) in self._own or _is_a(holder, FrameType):
                continue
            held = next((each for each in gc.get_referents(holder) if id(each) in ids), None)
            if held is not None:
                found.append((holder, held))
        return found

    def _is_root(self, holder: object) -> bool:
        if id(holder) in self.roots or _is_a(holder, _ROOTS) or _is_known_logger(holder):
            return True
        return _is_namespace(holder) or type(holder).__name__ == _TIMER


def _downwards(starts: Sequence[object], goals: Mapping[int, object], until: float) -> list[object]:
    """The shortest way from one of `starts` to one of `goals`, over nothing that is a goal itself."""
    before: dict[int, tuple[object, object]] = {}
    queue: deque[object] = deque(starts)
    seen = set(map(id, starts))
    while queue and time.thread_time() < until:
        holder = queue.popleft()
        for held in gc.get_referents(holder):
            if id(held) in goals and id(holder) not in goals:
                return _back(before, holder, held)
            if id(held) not in seen and gc.is_tracked(held) and not _is_a(held, ModuleType):
                seen.add(id(held))
                before[id(held)] = (holder, held)
                queue.append(held)
    return []


def _back(before: Mapping[int, tuple[object, object]], holder: object, held: object) -> list[object]:
    path = [held, holder]
    while (step := before.get(id(path[-1]))) is not None:
        path.append(step[0])
    return path[::-1]


def _words(path: Sequence[object], roots: Mapping[int, str]) -> tuple[str, ...]:
    """Name each holder of a path, from the root to what holds the target."""
    words = [f"{roots[id(path[0])]}"] if id(path[0]) in roots else []
    place = 0
    while place < len(path) - 1:
        holder, held, *rest = path[place:]
        if rest and _is_a(held, dict) and _is_attributes(holder, held):
            words.append(f"{_label(holder)}{_key(held, rest[0])}")
            place += 2
            continue
        if not _is_a(holder, _UNNAMED):
            words.append(_step(holder, held))
        place += 1
    return tuple(words)


def _step(holder: object, held: object) -> str:
    if _is_a(holder, dict):
        return f"{_label(holder)}{_key(holder, held) if _is_namespace(holder) else _item(holder, held)}"
    if _is_a(holder, (*_NAMED, ModuleType)):
        return _label(holder)
    attributes = _attributes(holder)
    return f"{_label(holder)}{_key(attributes, held)}"


def _attributes(holder: object) -> dict[str, object]:
    try:
        found = object.__getattribute__(holder, "__dict__")
    except AttributeError:
        return {}
    return found if _is_a(found, dict) else {}


def _is_attributes(holder: object, held: dict[str, object]) -> bool:
    return _is_a(holder, type) or _attributes(holder) is held


def _key(attributes: Mapping[str, object], held: object) -> str:
    return next((f".{key}" for key, each in list(attributes.items()) if each is held and type(key) is str), "")


def _item(holder: Mapping[object, object], held: object) -> str:
    return next((f"[{key!r}]" for key, each in list(holder.items()) if each is held and type(key) is str), "")


def _is_namespace(holder: object) -> bool:
    """Whether it holds the globals of a module that is imported."""
    if type(holder) is not dict or "__spec__" not in holder:
        return False
    module = sys.modules.get(str(holder.get("__name__")))
    return _is_a(module, ModuleType) and vars(module) is holder


def _is_known_logger(holder: object) -> bool:
    """Whether `logging` holds it: a way leads there through every module that logs, and none of them is to blame."""
    if not _is_a(holder, logging.Logger):
        return False
    return holder is logging.root or logging.root.manager.loggerDict.get(holder.name) is holder


_NAMED = (FunctionType, BuiltinFunctionType, MethodType, type, CoroutineType, GeneratorType, AsyncGeneratorType)


def _label(holder: object) -> str:
    if _is_namespace(holder):
        assert _is_a(holder, dict)
        return f"module {holder['__name__']}"
    if _is_a(holder, asyncio.Task):
        return f"task {holder.get_name()}"
    if _is_a(holder, threading.Thread):
        return f"thread {holder.name}"
    if _is_a(holder, logging.Logger):
        return f"logger {holder.name!r}"
    if _is_a(holder, (asyncio.AbstractEventLoop,)):
        return "loop"
    if _is_a(holder, ModuleType):
        return f"module {holder.__name__.rpartition('.')[2]}"
    if type(holder).__name__ == _TIMER:
        return "timer"
    if _is_a(holder, type):
        return f"class {holder.__qualname__}"
    if _is_a(holder, _NAMED):
        return f"{_kind(holder)} {_name(holder)}"
    return type(holder).__qualname__


def _kind(holder: object) -> str:
    return "method" if _is_a(holder, BuiltinFunctionType) else type(holder).__name__


def _name(thing: object) -> str:
    name: object = thing.__qualname__ if _is_a(thing, _NAMED) else None
    return name if isinstance(name, str) else type(thing).__qualname__
