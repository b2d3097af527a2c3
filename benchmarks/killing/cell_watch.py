"""When each epoch was stored, as an observer of the commit cell sees it: also while nobody supervises."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.looking import looking
from benchmarks.samples import Stores
from changeover.workers.generation.cell import CommitCell

LOOK = 0.001
"""Seconds between two looks."""


class CellWatch:
    """Looks at a commit cell, again and again.

    Args:
        cell: The cell.
    """

    def __init__(self, cell: CommitCell) -> None:
        self._cell = cell
        self._seen = [(cell.read(), time.monotonic_ns())]

    def look(self) -> None:
        """Look once: a new value was stored before now."""
        if (epoch := self._cell.read()) != self._seen[-1][0]:
            self._seen.append((epoch, time.monotonic_ns()))

    @property
    def stores(self) -> Stores:
        """What was stored, and when that had been seen."""
        return Stores(self._seen)


@contextmanager
def watching_cell(cell: CommitCell) -> Iterator[CellWatch]:
    """Look from a thread."""
    watch = CellWatch(cell)
    with looking(watch.look, LOOK, "cell watch"):
        yield watch
