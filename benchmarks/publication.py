"""What every command does with what it measured: a table, verdicts, a file and a chart."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.chart import Chart, draw
from benchmarks.machine import Machine

FIGURES = Path(__file__).parents[1] / "docs" / "figures"
"""Where the figures of full runs are kept."""
QUICK = Path(__file__).parents[1] / ".changeover" / "figures"
"""Where quick runs leave theirs: they show that a command works, and nothing more."""


class Verdict(msgspec.Struct, frozen=True):
    """A promise beside what was measured.

    Attributes:
        claim: What is promised.
        bound: What it must be.
        measured: What it is.
        holds: Whether the promise held.
    """

    claim: str
    bound: str
    measured: str
    holds: bool


class Result(msgspec.Struct, frozen=True):
    """One command's run; each command adds what it measured.

    Attributes:
        title: What was measured.
        machine: On what, when, and by which command.
        quick: Whether the parameters were those of a quick run.
        verdicts: The promises that were put to the test.
        rows: The table: what, and its figures.
        notes: What must be known to read the figures.
    """

    title: str
    machine: Machine
    quick: bool
    verdicts: tuple[Verdict, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def parser(module: str, description: str | None) -> argparse.ArgumentParser:
    """A parser with the options that all commands have: `--quick` and `--out`."""
    options = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    options.add_argument("--quick", action="store_true", help="a short run: shows that it works, proves nothing")
    options.add_argument("--out", type=Path, default=None, help="folder for the figures")
    return options


def publish(name: str, result: Result, chart: Chart, out: Path | None) -> int:
    """Print and write what was measured.

    Args:
        name: Of the files.
        result: What was measured.
        chart: Shows it.
        out: Folder for the files; None for the usual one.

    Returns:
        0 when every promise held, 1 otherwise.
    """
    folder = out or (QUICK if result.quick else FIGURES)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
    (folder / f"{name}.svg").write_text(draw(chart))
    show(result)
    return 0 if all(verdict.holds for verdict in result.verdicts) else 1


def show(result: Result) -> None:
    """Print the table and the verdicts."""
    console = Console(highlight=False, width=140)
    console.print(f"\n[bold]{result.title}[/bold]  {result.machine.processor}, {result.machine.cores} cores")
    console.print(_table(result.rows))
    for verdict in result.verdicts:
        word = "[green]holds[/green]" if verdict.holds else "[red]FAILS[/red]"
        console.print(f"{word}  {verdict.claim}: {verdict.measured} (must be {verdict.bound})")
    for note in result.notes:
        console.print(f"note   {note}", markup=False)


def _table(rows: Sequence[Sequence[str]]) -> Table:
    table = Table(*rows[0], show_edge=False, pad_edge=False) if rows else Table()
    for row in rows[1:]:
        table.add_row(*row)
    return table
