"""Remembers what was released without holding it, and names what keeps it alive."""

import gc
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from types import CellType, FrameType, FunctionType, MethodType
from typing import Any

from changeover.workers.generation.units import Unit
from changeover.workers.plugins.modules import Remains

SEARCHED = 64
"""Most objects whose holders are looked for to name what holds a leaked module; each costs a walk over all objects."""
REMEMBERED = 256
"""Most released units that are looked at for leaks."""


@dataclass(frozen=True, slots=True)
class Leak:
    """Something of a released unit that is still alive.

    Attributes:
        unit: The unit, as its key reads.
        what: What is alive, and what holds it where that can be told.
    """

    unit: str
    what: str

    def __str__(self) -> str:
        return f"{self.unit}: {self.what}"


class Remnants:
    """Remembers released units without holding them, to say what keeps them alive."""

    def __init__(self) -> None:
        self._remembered: deque[tuple[str, tuple[str, ...], Remains | None]] = deque(maxlen=REMEMBERED)

    def remember(self, units: Iterable[Unit]) -> None:
        """Note what could outlive units that have ended."""
        for unit in units:
            left, remains = unit.remains()
            if left or remains is not None:
                self._remembered.append((str(unit.key), left, remains))

    def leaks(self) -> list[Leak]:
        """What is alive of them. Collects garbage first, so it takes as long as that does."""
        gc.collect()
        found = []
        for name, left, remains in self._remembered:
            found += [Leak(name, f"{each} still runs") for each in left]
            if remains is not None:
                found += [Leak(name, f"module {_named(each)} is alive{_held(each)}") for each in remains.alive()]
        return found


def _named(loader: Any) -> str:
    return str(getattr(loader, "path", "") or loader).rpartition("/")[2]


def _held(loader: Any) -> str:
    """Name what holds a module's globals from outside, as far as the collector's references show it."""
    spaces = [each for each in gc.get_referrers(loader) if isinstance(each, dict) and each.get("__loader__") is loader]
    found: set[str] = set()
    pending: list[tuple[object, str]] = [(space, "") for space in spaces]
    seen = {id(spaces), id(pending), id(loader)}
    while pending and len(seen) < SEARCHED:
        held, through = pending.pop()
        if id(held) in seen:
            continue
        seen.add(id(held))
        for holder in gc.get_referrers(held):
            if isinstance(holder, FrameType) or id(holder) in seen or holder is pending:
                continue
            name = _label(holder) if _is_own(holder, spaces) else ""
            if name or (isinstance(holder, _CARRIERS) and not _is_namespace(holder)):
                pending.append((holder, name or through))
            else:
                found.add(f"{_label(holder)} -> {through}" if through else _label(holder))
    return f", held by {'; '.join(sorted(found)[:3])}" if found else ""


def _is_own(holder: object, spaces: list[dict[str, Any]]) -> bool:
    """Whether it is a function or class of the modules, an instance of one, or something that belongs to them."""
    if isinstance(holder, FunctionType):
        return any(holder.__globals__ is space for space in spaces)
    made = holder if isinstance(holder, type) else type(holder)
    return any(made.__module__ == space.get("__name__") for space in spaces)


_CARRIERS = (dict, list, tuple, set, frozenset, CellType, MethodType, classmethod, staticmethod, property)


def _is_namespace(holder: object) -> bool:
    return isinstance(holder, dict) and "__name__" in holder and "__spec__" in holder


def _label(holder: object) -> str:
    if isinstance(holder, dict) and _is_namespace(holder):
        return f"module {holder['__name__']}"
    name = getattr(holder, "__qualname__", None) or getattr(holder, "__name__", None)
    return f"{type(holder).__name__} {name}" if name else type(holder).__name__
