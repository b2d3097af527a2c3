"""The tour's result as a table."""

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from changeover.supervisor.cli.tour.result import Result
from changeover.supervisor.telemetry.amounts import seconds


def draw(result: Result, console: Console) -> None:
    """Print counts, windows and latencies, and what did not go as it should."""
    console.print(Group(_counts(result), _windows(result), _latencies(result)))
    for failure in result.failures[:5]:
        console.print(Text(f"! {failure}", style="red"))
    for finding in result.findings:
        if not finding.holds:
            console.print(Text(f"! not so: {finding.claim} (found: {finding.found})", style="red"))
    verdict = "everything went as it should" if result.well else "something did not go as it should"
    console.print(Text(verdict, style="bold green" if result.well else "bold red"))


def _counts(result: Result) -> Table:
    table = Table(title="under load, over all cutovers", title_justify="left")
    for heading in ("requests", "failures", "closes not asked for", "answered by epoch"):
        table.add_column(heading)
    epochs = ", ".join(f"{epoch}: {count:,}" for epoch, count in result.epochs().items())
    table.add_row(f"{len(result.samples):,}", str(len(result.failures)), str(result.closes), epochs)
    return table


def _windows(result: Result) -> Table:
    table = Table()
    for heading in ("cutover", "prepare", "commit", "request to outcome"):
        table.add_column(heading)
    for window in result.windows:
        phases = ("-" if took is None else seconds(took) for took in (window.prepare, window.commit))
        table.add_row(window.title, *phases, seconds(window.ended - window.began))
    return table


def _latencies(result: Result) -> Table:
    table = Table()
    for heading in ("latency", "p50", "p99", "requests"):
        table.add_column(heading)
    for title, p50, p99, count in result.latencies():
        table.add_row(title, seconds(p50), seconds(p99), f"{count:,}")
    return table
