"""Rehearses a candidate again where what serves kept a rehearsal from it: first without the unit that did. Pure."""

import msgspec

from changeover.workers.protocol.rehearsal import RehearsalOrder, RehearsalReport
from changeover.workers.protocol.snapshot import UnitRef

TRIES = 3
"""How often a candidate is rehearsed at the most: beside what serves, without one unit of that, without any."""
LEAST = 0.1
"""Seconds that each of them has."""


class Try(msgspec.Struct, frozen=True):
    """One rehearsal of a candidate, and what those before it came to.

    Attributes:
        order: What it is told.
        until: When the time for all of them is over.
        before: Why each of those before did not come to the candidate.
    """

    order: RehearsalOrder
    until: float
    before: tuple[str, ...] = ()

    @property
    def number(self) -> int:
        """Tells it from every other one, those of the same candidate that have just ended included."""
        return self.order.candidate.epoch * TRIES + len(self.before)

    def after(self, report: RehearsalReport, now: float) -> "Try | None":
        """The next one, within the time of the first; None when this one is the last.

        Args:
            report: What this one came to.
            now: By the clock of `until`.
        """
        left_out = _in_the_way(self.order, report)
        if not report.skipped or left_out == self.order.left_out or len(self.before) + 1 == TRIES:
            return None
        settings = msgspec.structs.replace(self.order.settings, deadline=max(LEAST, round(self.until - now, 1)))
        order = msgspec.structs.replace(self.order, settings=settings, left_out=left_out)
        return Try(order, self.until, (*self.before, report.skipped))


def _in_the_way(order: RehearsalOrder, report: RehearsalReport) -> tuple[UnitRef, ...]:
    """What of what serves is to be left out: the unit that is known to be in the way, and the next time everything."""
    serving = tuple(unit.key.ref for unit in order.current.units) if order.current is not None else ()
    known = () if order.left_out else tuple(ref for ref in serving if str(ref) == report.barred)
    return known or serving
