"""Every answer that a load saw, as rows, and what they say about a swap."""

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from benchmarks.load.record import KINDS, Kind, LoadReport


class Sample(NamedTuple):
    """One whole answer; times are CLOCK_MONOTONIC in nanoseconds.

    Attributes:
        kind: Of the client.
        since: When the request was due.
        done: When the last byte came.
        started: When the worker stamped the request.
        epoch: Which epoch answered.
        slot: Which slot answered.
    """

    kind: Kind
    since: int
    done: int
    started: int
    epoch: int
    slot: int

    @property
    def latency(self) -> float:
        """Milliseconds from being due to the last byte."""
        return (self.done - self.since) / 1e6


def samples(reports: Iterable[LoadReport]) -> Iterator[Sample]:
    """The rows of all reports."""
    for report in reports:
        columns = report.columns
        kinds = (KINDS[index] for index in columns.kinds)
        times = (array("q", column) for column in (columns.since, columns.done, columns.started))
        yield from map(Sample, kinds, *times, array("I", columns.epochs), array("H", columns.slots))


class Stores:
    """The committed epoch at any moment, from the times at which each one was stored.

    Args:
        stores: Epoch and when the store had been made, in nanoseconds, in order.
    """

    def __init__(self, stores: Sequence[tuple[int, int]]) -> None:
        self._epochs = [epoch for epoch, _ in stores]
        self._times = [at for _, at in stores]

    def committed(self, at: int) -> int:
        """The epoch whose store had been made by then, 0 before the first."""
        index = bisect_right(self._times, at)
        return self._epochs[index - 1] if index else 0

    def late(self, answers: Iterable[Sample]) -> list[Sample]:
        """Requests that were started on an epoch after a later one had been stored."""
        return [sample for sample in answers if sample.epoch < self.committed(sample.started)]
