"""Remembers what was released without holding it, and names what of it is still there."""

import gc
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from changeover.workers.generation import holders
from changeover.workers.generation.units import Unit
from changeover.workers.plugins.remains import Remains, look_for_classes
from changeover.workers.protocol.snapshot import UnitKey, UnitRef
from changeover.workers.serving.attribution import UnitWork

REMEMBERED = 256
"""Most released units of which something is left that are told by name; those before are only counted."""
UNPROVED = 2 * REMEMBERED
"""Most that are remembered at all, until something that served is released and all are looked for."""
LONGEST = 1.0
"""Seconds of the processor that one look at all that is left may take: the loop stands still meanwhile."""
CUT = f", and what holds it was not found out: looking is bounded to {LONGEST:g} s"
NAMED = 3
"""Most modules, or classes, of one unit that are named."""


@dataclass(frozen=True, slots=True)
class Leak:
    """Something of a released unit that is still alive.

    Attributes:
        unit: The unit, as its key reads.
        what: What is alive, by kind and name.
        chain: What holds it, each held by the one before, from a root on; empty where that cannot be told.
    """

    unit: str
    what: str
    chain: tuple[str, ...] = ()

    def __str__(self) -> str:
        held = f", held by {' -> '.join(self.chain)}" if self.chain else ""
        return f"{self.unit}: {self.what}{held}"


class _Remnant:
    """What can tell of one released unit whether it is gone."""

    __slots__ = ("_chain", "_work", "key", "remains", "reviewed")

    def __init__(self, key: UnitKey, work: UnitWork, remains: Remains | None) -> None:
        self.key = key
        self.reviewed = False
        self._work = work
        self.remains = remains
        self._chain: tuple[str, ...] | None = None

    @property
    def gone(self) -> bool:
        """Whether nothing is left, as far as the collector knows."""
        return not self._work.alive() and (self.remains is None or self.remains.gone)

    def leaks(self, until: float) -> list[Leak]:
        """What is left; what holds its modules is looked for once. Code of what is looked at may run, and raise.

        Args:
            until: Reading of `time.thread_time` after which only what costs nothing is said.
        """
        unit = str(self.key)
        try:
            return list(self._found(unit, until))
        except Exception as error:  # noqa: BLE001 - that of one unit keeps nobody from looking at the others
            return [Leak(unit, f"something is alive that raised {type(error).__name__} when it was looked at")]

    def _found(self, unit: str, until: float) -> Iterator[Leak]:
        yield from (Leak(unit, f"{each} still runs") for each in self._work.alive())
        if self.remains is None or self.remains.gone:
            return
        chain = self._held(self.remains, until)
        yield Leak(unit, f"{_words(self.remains)} alive{CUT if chain is None else ''}", chain or ())
        if time.thread_time() < until:
            yield from (Leak(unit, each) for each in holders.registered(self.remains.package))

    def _held(self, remains: Remains, until: float) -> tuple[str, ...] | None:
        """What holds the modules; None where there was no time to find that out."""
        if self._chain is None and time.thread_time() < until:
            self._chain = ()
            found = holders.chain(holders.spaces(remains.alive()) or remains.classes(), remains.package, until)
            self._chain = found if found or time.thread_time() < until else None
        return self._chain


class Remnants:
    """Released units, until they are seen to be gone.

    Attributes:
        forgotten: How many units of which something was left are told no more, because there were too many.
    """

    def __init__(self) -> None:
        self._remembered: list[_Remnant] = []
        self.forgotten = 0

    def remember(self, units: Iterable[Unit]) -> None:
        """Note what could outlive units that have ended."""
        for unit in units:
            work, remains = unit.remains()
            if remains is not None or work.alive():
                self._remembered.append(_Remnant(unit.key, work, remains))
        if len(self._remembered) > UNPROVED:
            self._remembered = [each for each in self._remembered if not each.gone]
            self._forget(UNPROVED)

    @property
    def unproved(self) -> bool:
        """Whether a unit was not looked for since it ended."""
        return any(not each.reviewed for each in self._remembered)

    def collect(self) -> None:
        """Collect garbage, look which classes of what was released since are there, and collect once more if any is.

        A class goes after its instances, where these hold nothing that the collector would follow.
        """
        gc.collect()
        look_for_classes([each.remains for each in self._remembered if each.remains and not each.reviewed])
        if not all(each.gone for each in self._remembered):
            gc.collect()

    def review(self) -> list[Leak]:
        """Forget what is gone; what is left of units that were not looked for before. Garbage has to be collected."""
        self._remembered = [each for each in self._remembered if not each.gone]
        fresh = [each for each in self._remembered if not each.reviewed]
        for each in fresh:
            each.reviewed = True
        self._forget(REMEMBERED)
        return _looked_at(fresh[-REMEMBERED:])

    def _forget(self, most: int) -> None:
        """Keep the latest; those that were not looked for may well be gone, and are not counted."""
        surplus = max(0, len(self._remembered) - most)
        self.forgotten += sum(each.reviewed for each in self._remembered[:surplus])
        del self._remembered[:surplus]

    def known(self) -> list[Leak]:
        """What is left of all that was looked for, as far as the collector knows."""
        return _looked_at(self._left())

    def leaks(self) -> list[Leak]:
        """What is left of all. Collects garbage first, so it takes as long as that does."""
        self.collect()
        self.review()
        return self.known()

    def copies(self) -> Counter[UnitRef]:
        """Unit -> how many copies were released and are not gone."""
        return Counter(each.key.ref for each in self._left())

    @property
    def count(self) -> int:
        """How many copies of units were looked for and are not gone."""
        return len(self._left()) + self.forgotten

    def _left(self) -> list[_Remnant]:
        return [each for each in self._remembered if each.reviewed and not each.gone]


def _looked_at(remnants: Iterable[_Remnant]) -> list[Leak]:
    until = time.thread_time() + LONGEST
    return [leak for each in remnants for leak in each.leaks(until)]


def _words(remains: Remains) -> str:
    """Name the modules that are alive, or the classes when only those are."""
    kind, plural = "module", "modules"
    names = [str(getattr(each, "path", "") or each).rpartition("/")[2] for each in remains.alive()]
    if not names:
        kind, plural = "class", "classes"
        names = [each.__qualname__ for each in remains.classes()]
    if len(names) == 1:
        return f"{kind} {names[0]} is"
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{plural} {', '.join(names[:NAMED])}{more} are"
