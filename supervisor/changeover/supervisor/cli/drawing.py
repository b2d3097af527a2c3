"""Where progress goes: a block that is redrawn on a terminal, plain lines elsewhere."""

import time
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

import click

from changeover.supervisor.cli.progress import Progress
from changeover.supervisor.telemetry.stream import Told

if TYPE_CHECKING:
    from rich.text import Text


class Display(Protocol):
    """Shows one command's progress while it is entered."""

    def __enter__(self) -> Self: ...

    def __exit__(self, type: type[BaseException] | None, value: object, traceback: TracebackType | None) -> None: ...

    def show(self, told: Told) -> None:
        """Take what the server tells."""
        ...


def display(progress: Progress, terminal: bool) -> Display:
    """Choose the display."""
    return Redrawn(progress) if terminal else Lines(progress)


class Lines:
    """Prints each line once it is final."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def __enter__(self) -> Self:
        return self

    def __exit__(self, type: type[BaseException] | None, value: object, traceback: TracebackType | None) -> None:
        return None

    def show(self, told: Told) -> None:
        """Print what became final."""
        for line in self._progress.take(told):
            click.echo(line)


class Redrawn:
    """Redraws the whole block, ten times a second, and leaves it standing at the end."""

    def __init__(self, progress: Progress) -> None:
        from rich.live import Live

        self._progress = progress
        self._live = Live(get_renderable=self._drawing, refresh_per_second=10)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, type: type[BaseException] | None, value: object, traceback: TracebackType | None) -> None:
        self._live.stop()

    def show(self, told: Told) -> None:
        """Take it; the next redrawing shows it."""
        self._progress.take(told)

    def _drawing(self) -> "Text":
        from rich.text import Text

        return Text("\n".join(self._progress.drawing(time.time())), no_wrap=True, overflow="ellipsis")
