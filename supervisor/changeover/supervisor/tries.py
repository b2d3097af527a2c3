"""Rehearses a candidate again where what serves kept a rehearsal from it: first without the unit that did. Pure."""

import msgspec

from changeover.workers.protocol.rehearsal import RehearsalOrder, RehearsalReport

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
        order = _without(self.order, report.barred)
        if not report.skipped or order == self.order or len(self.before) + 1 == TRIES:
            return None
        settings = msgspec.structs.replace(order.settings, deadline=max(LEAST, round(self.until - now, 1)))
        return Try(msgspec.structs.replace(order, settings=settings), self.until, (*self.before, report.skipped))


def _without(order: RehearsalOrder, barred: str) -> RehearsalOrder:
    """Leave out the unit that is known to be in the way, and the next time all; where it is none, `after_fork` too."""
    serving = tuple(key.ref for key in order.serving())
    known = tuple(ref for ref in serving if str(ref) == barred)
    left_out = known if known and not order.left_out else serving
    return msgspec.structs.replace(order, left_out=left_out, after_fork=order.after_fork if known else "")
