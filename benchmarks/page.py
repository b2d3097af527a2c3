"""Rewrites the figures part of `docs/benchmarks.md` from what the commands left in `docs/figures/`."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from benchmarks.machine import Machine
from benchmarks.publication import FIGURES, Result, Verdict

PAGE = FIGURES.parent / "benchmarks.md"
BEGIN, END = "<!-- figures: written by `python -m benchmarks` -->", "<!-- end of figures -->"


class Transcript(msgspec.Struct, frozen=True):
    """What a command printed that words its own figures.

    Attributes:
        machine: On what, when, and by which command.
        status: Its exit status.
        output: What it printed.
    """

    machine: Machine
    status: int
    output: str


def rewrite(measured: tuple[str, ...], told: tuple[str, ...], page: Path = PAGE, folder: Path = FIGURES) -> None:
    """Put the figures of these commands, where there are any, between the page's two marks.

    Args:
        measured: Commands that leave a `Result`.
        told: Commands that leave a `Transcript`.
        page: The page.
        folder: Where the figures are.
    """
    head, _, rest = page.read_text().partition(BEGIN)
    _, _, tail = rest.partition(END)
    parts = [*_parts(measured, folder, _result), *_parts(told, folder, _transcript)]
    page.write_text("\n".join([f"{head}{BEGIN}\n", *parts, f"{END}{tail}"]))


def _parts(names: tuple[str, ...], folder: Path, write: Callable[[str, bytes], Iterator[str]]) -> Iterator[str]:
    for name in names:
        file = folder / f"{name}.json"
        if file.exists():
            yield from write(name, file.read_bytes())


def _result(name: str, content: bytes) -> Iterator[str]:
    result = msgspec.json.decode(content, type=Result)
    yield f"### {result.title}\n"
    yield from _provenance(result.machine)
    yield from _table(result.rows)
    yield f"\n![{result.title}](figures/{name}.svg)\n"
    yield from _table((("promise", "must be", "is", ""), *map(_row, result.verdicts)))
    yield ""
    if result.notes:
        yield "\n".join(f"- {note}" for note in result.notes) + "\n"


def _transcript(name: str, content: bytes) -> Iterator[str]:
    transcript = msgspec.json.decode(content, type=Transcript)
    yield f"### `{transcript.machine.command}`: exit status {transcript.status}\n"
    yield from _provenance(transcript.machine)
    yield f"```\n{transcript.output.rstrip()}\n```\n"


def _row(verdict: Verdict) -> tuple[str, ...]:
    return verdict.claim, verdict.bound, verdict.measured, "holds" if verdict.holds else "**fails**"


def _provenance(machine: Machine) -> Iterator[str]:
    libraries = ", ".join(f"{name} {version}" for name, version in machine.libraries.items())
    yield (
        f"`{machine.command}`, {machine.date}; {machine.processor}, {machine.cores} cores, "
        f"{machine.memory / 2**30:.0f} GiB, Linux {machine.kernel}, {machine.python}, {libraries}; "
        f"load average before: {machine.load:.2f}\n"
    )


def _table(rows: tuple[tuple[str, ...], ...]) -> Iterator[str]:
    head, *body = rows
    yield _cells(head)
    yield _cells(["---"] * len(head))
    yield from map(_cells, body)


def _cells(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
