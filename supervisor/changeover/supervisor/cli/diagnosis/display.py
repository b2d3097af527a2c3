"""Shows how far an examination is: a bar on a terminal, a line for what is over elsewhere."""

import contextlib
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Protocol

import click

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Display(Protocol):
    """Shows one phase after the other."""

    def begin(self, phase: str, steps: int) -> None:
        """A phase of so many steps begins."""
        ...

    def step(self) -> None:
        """One of its steps is done."""
        ...

    def end(self, words: str) -> None:
        """The phase is over; `words` say what came of it."""
        ...


class Lines:
    """Prints a line for each phase that is over."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._phase = ""

    def begin(self, phase: str, steps: int) -> None:
        self._phase = phase

    def step(self) -> None:
        return None

    def end(self, words: str) -> None:
        click.echo(_line(self._phase, words), file=self._file)


class Bars:
    """Draws a bar for the phase under way, below the lines of those that are over."""

    def __init__(self, progress: "Progress") -> None:
        self._progress = progress
        self._phase = ""
        self._steps = 0
        self._done = 0
        self._task: TaskID | None = None

    def begin(self, phase: str, steps: int) -> None:
        self._phase, self._steps, self._done = phase, steps, 0
        self._task = self._progress.add_task(phase, total=steps if steps > 1 else None, count="")

    def step(self) -> None:
        self._done += 1
        if self._task is not None:
            self._progress.update(self._task, completed=self._done, count=f"{self._done}/{self._steps}")

    def end(self, words: str) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = None
        self._progress.console.print(_line(self._phase, words), markup=False)


@contextlib.contextmanager
def display(file: IO[str]) -> Iterator[Display]:
    """Choose the display, and end it."""
    if not file.isatty():
        yield Lines(file)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("  {task.description:<10}"),
        BarColumn(),
        TextColumn("{task.fields[count]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(file=file, highlight=False), transient=True) as progress:
        yield Bars(progress)


def _line(phase: str, words: str) -> str:
    return f"  {phase:<10} {words}"
