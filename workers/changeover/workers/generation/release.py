"""Ends units in reverse build order, each exactly once, and keeps account of what outlives them."""

import asyncio
import gc
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from changeover.workers.generation.units import Unit
from changeover.workers.plugins.modules import Remains
from changeover.workers.plugins.refused import Site, refusal_of
from changeover.workers.protocol.refusal import Refusal, Stage

OnDegraded = Callable[[Refusal], None]

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


async def end(units: Iterable[Unit], on_degraded: OnDegraded) -> None:
    """End units in the reverse of the order given; no failure keeps the others from their end."""
    for unit in reversed(list(units)):
        try:
            told = await unit.end()
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - the others must end all the same, and the failure is reported
            told = refusal_of(error, Site(Stage.COMMIT, str(unit.key.ref)))
        if told is not None:
            on_degraded(told)


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
    """Name what holds a module's globals, as far as one step shows it."""
    for space in gc.get_referrers(loader):
        if isinstance(space, dict) and space.get("__loader__") is loader:
            holders = {
                _label(each) for each in gc.get_referrers(space) if each is not globals() and _outside(each, space)
            }
            return f", held by {', '.join(sorted(holders)[:5])}" if holders else ""
    return ""


def _outside(holder: object, space: dict[str, Any]) -> bool:
    return not isinstance(holder, list | dict) or holder is not space


def _label(holder: object) -> str:
    name = getattr(holder, "__qualname__", None) or getattr(holder, "__name__", None)
    return f"{type(holder).__name__} {name}" if name else type(holder).__name__
