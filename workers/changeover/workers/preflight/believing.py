"""How much of what a rehearsal reports is believed: code that nobody knows ran where it was written."""

from collections.abc import Iterable

import msgspec

from changeover.workers.plugins.refused import MAX_TRACEBACK
from changeover.workers.preflight.confining import STEPS
from changeover.workers.protocol.refusal import Refusal, Stage
from changeover.workers.protocol.rehearsal import RehearsalOrder, RehearsalReport, decode_report

LONGEST = 1024 * 1024
"""Bytes of a report that are read."""
LINE = 4 * 1024
"""Characters of one line."""
REASON = 200
"""Characters that say what of the confinement could not be had."""
WARNINGS = 20
"""Most warnings."""


def bounded(report: RehearsalReport) -> RehearsalReport:
    """A report as short as it may be."""
    return msgspec.structs.replace(
        report,
        refusal=None if report.refusal is None else short(report.refusal),
        warnings=tuple(line[:LINE] for line in report.warnings[:WARNINGS]),
    )


def short(refusal: Refusal) -> Refusal:
    """A refusal as long as it may be at the most."""
    lines = {name: getattr(refusal, name)[:LINE] for name in ("summary", "unit", "hook", "where", "source")}
    return msgspec.structs.replace(refusal, traceback=refusal.traceback[-MAX_TRACEBACK:], **lines)


def believed(data: bytes, order: RehearsalOrder) -> RehearsalReport:
    """What a rehearsal reported: whether it refuses, why, and some numbers.

    Args:
        data: What it wrote.
        order: What it was to rehearse: it can accuse nobody else.

    Raises:
        MalformedFrame: It is no report.
    """
    report = bounded(decode_report(data))
    return RehearsalReport(
        refusal=None if report.refusal is None else of_candidate(report.refusal, order),
        modules=max(0, report.modules),
        tests_passed=max(0, report.tests_passed),
        tests=max(0, report.tests),
        warnings=report.warnings,
        unproved=report.unproved,
    )


def lacking(missing: Iterable[str]) -> tuple[str, ...]:
    """What a rehearsal says of how it is confined: steps that there are, each once, and some words why.

    Args:
        missing: As it stands on the page, where the candidate may have written.
    """
    steps = {line.partition(" (")[0]: line[:REASON] for line in missing}
    return tuple(steps[step] for step in STEPS if step in steps)


def of_candidate(refusal: Refusal, order: RehearsalOrder) -> Refusal:
    """Why a rehearsal refuses, accusing nobody but who is in the candidate."""
    unit = refusal.unit if refusal.unit in units_of(order) else ""
    return msgspec.structs.replace(refusal, stage=Stage.PREFLIGHT, unit=unit)


def units_of(order: RehearsalOrder) -> frozenset[str]:
    """The candidate's units, as their `UnitRef`s read."""
    return frozenset(str(unit.key.ref) for unit in order.candidate.units)
