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
        self._held = frozenset(self._epochs)

    def committed(self, at: int) -> int:
        """The epoch whose store had been made by then, 0 before the first."""
        index = bisect_right(self._times, at)
        return self._epochs[index - 1] if index else 0

    def superseded(self, epoch: int, at: int) -> bool:
        """Whether a later one had been stored by then."""
        return epoch < self.committed(at)

    def held(self, epoch: int) -> bool:
        """Whether this one was ever stored."""
        return epoch in self._held

    def late(self, answers: Iterable[Sample]) -> list[Sample]:
        """Requests that were started on an epoch after a later one had been stored."""
        return [sample for sample in answers if self.superseded(sample.epoch, sample.started)]


class PartStores:
    """The committed epochs of parts that serve beside each other, each of which reads a word of its own.

    Args:
        words: What was stored in each word, and when.
    """

    def __init__(self, words: Sequence[Stores]) -> None:
        self._words = words

    def superseded(self, epoch: int, at: int) -> bool:
        """Whether a later one had been stored by then, in every word in which `epoch` was seen, if in any."""
        read = [word for word in self._words if word.held(epoch)] or self._words
        return all(word.superseded(epoch, at) for word in read)
