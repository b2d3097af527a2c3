"""Rehearses a candidate again where what serves kept a rehearsal from it: first without the unit that did. Pure."""

import msgspec

from changeover.workers.protocol.refusal import Fault
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
        passed: What the one before reported, which passed, where this one loads the candidate alone.
    """

    order: RehearsalOrder
    until: float
    before: tuple[str, ...] = ()
    passed: RehearsalReport | None = None

    @property
    def number(self) -> int:
        """Tells it from every other one, those of the same candidate that have just ended included."""
        return self.order.candidate.epoch * (TRIES + 1) + (TRIES if self.passed else len(self.before))

    def after(self, report: RehearsalReport, now: float) -> "Try | None":
        """The next one, within the time of the first; None when this one is the last.

        Args:
            report: What this one came to.
            now: By the clock of `until`.
        """
        if self.passed is not None:
            return None
        if report.unproved and report.refusal is None:
            return Try(_within(self.order.alone(), self.until - now), self.until, self.before, report)
        order = _without(self.order, report)
        if not report.skipped or order == self.order or len(self.before) + 1 == TRIES:
            return None
        return Try(_within(order, self.until - now), self.until, (*self.before, report.skipped))

    def outcome(self, report: RehearsalReport) -> RehearsalReport:
        """What all of them came to, with the report of this one, which is the last."""
        if self.passed is None or report.refusal is not None:
            return report
        told = (f"not loaded alone: {report.skipped}",) if report.skipped else ()
        return msgspec.structs.replace(self.passed, warnings=(*self.passed.warnings, *told))


def _within(order: RehearsalOrder, left: float) -> RehearsalOrder:
    settings = msgspec.structs.replace(order.settings, deadline=max(LEAST, round(left, 1)))
    return msgspec.structs.replace(order, settings=settings)


def _without(order: RehearsalOrder, report: RehearsalReport) -> RehearsalOrder:
    """Leave out the unit that is known to be in the way, and the next time all; where it is none, `after_fork` too."""
    serving = tuple(key.ref for key in order.serving())
    known = tuple(ref for ref in serving if str(ref) == report.barred)
    left_out = known if known and not order.left_out else serving
    passing = _passing(order, left_out, known, report.fault)
    after_fork = order.after_fork if known else ""
    return msgspec.structs.replace(order, left_out=left_out, passing=passing, after_fork=after_fork)


def _passing(
    order: RehearsalOrder, left_out: tuple[UnitRef, ...], known: tuple[UnitRef, ...], fault: Fault
) -> tuple[tuple[UnitRef, Fault], ...]:
    """What of it may load another time: all but what is itself in the way for good, where anything may be out of it."""
    faults = dict(order.passing) | (dict.fromkeys(known, fault) if fault.transient else {})
    reasons = [fault] if fault.transient else [*faults.values()]
    for_good = {*order.left_out, *known} - faults.keys()
    return tuple((ref, faults.get(ref, reasons[0])) for ref in left_out if reasons and ref not in for_good)
