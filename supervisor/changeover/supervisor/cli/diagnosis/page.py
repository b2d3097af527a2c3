"""The findings as a page of text, or as a document. Pure."""

from collections.abc import Iterator

import click
import msgspec

from changeover.supervisor.cli.diagnosis.growth import Growth, growths
from changeover.supervisor.cli.diagnosis.judgement import Check, Verdict
from changeover.supervisor.cli.diagnosis.measurements import Look, Measured
from changeover.supervisor.cli.overview import table

COLOURS = {Verdict.OK: "green", Verdict.FOUND: "red", Verdict.UNKNOWN: "yellow"}


class Report(msgspec.Struct, frozen=True):
    """Everything that was found, and what it rests on.

    Attributes:
        well: Whether nothing was found.
        checks: Every question and its answer.
        measured: What was measured.
    """

    well: bool
    checks: tuple[Check, ...]
    measured: Measured

    @classmethod
    def of(cls, checks: tuple[Check, ...], measured: Measured) -> "Report":
        """Put both together."""
        return cls(all(check.verdict is not Verdict.FOUND for check in checks), checks, measured)


def page(report: Report) -> Iterator[str]:
    """Lay it out: answers first, then the amounts."""
    measured = report.measured
    width = max(len(check.title) for check in report.checks)
    for check in report.checks:
        yield from _answer(check, width)
    yield ""
    yield from _amounts(measured.swaps_looks, ("workers",), "swaps", len(measured.swaps))
    yield from _amounts(measured.rolls_looks, ("workers", "supervisor", "zygote"), "rolls", len(measured.rolls))
    found = sum(check.verdict is Verdict.FOUND for check in report.checks)
    title = measured.plan.title
    if report.well:
        yield click.style(f"nothing was found against {title}", "green", bold=True)
    else:
        yield click.style(f"{title}: {found} of {len(report.checks)} questions have a finding", "red", bold=True)


def _answer(check: Check, width: int) -> Iterator[str]:
    word = click.style(check.verdict.value.ljust(7), COLOURS[check.verdict])
    yield f"{word}  {check.title.ljust(width)}  {check.figure}"
    yield from (f"         {line}" for line in check.details)
    if check.advice:
        yield f"         next: {check.advice}"


def _amounts(looks: tuple[Look, ...], groups: tuple[str, ...], what: str, count: int) -> Iterator[str]:
    """A table of what there was at each look."""
    if not looks:
        return
    headings = _headings(len(looks), what, count)
    rows = [row for who in groups for growth in growths(who, looks) for row in _rows(growth)]
    yield from table((("", "", *headings), *rows))
    yield ""


def _rows(growth: Growth) -> Iterator[tuple[str, ...]]:
    if not growth.pss:
        yield (growth.who, growth.what, *growth.shown())
        return
    yield (growth.who, "memory (rss)", *growth.shown())
    yield (growth.who, "memory (pss)", *msgspec.structs.replace(growth, values=growth.pss).shown())


def _headings(looks: int, what: str, count: int) -> tuple[str, ...]:
    first = f"before {what}" if what == "swaps" else "after the first"
    return (first, *["at half"] * (looks - 2), *([f"after {count} {what}"] if looks > 1 else []))
