"""A journal that survives its supervisor, and fails in every way a disk can."""

import enum
from collections.abc import Callable
from random import Random

from changeover.supervisor.core.entries import (
    Aborted,
    Committed,
    Decision,
    EpochGiven,
    EpochRaised,
    JournalEntry,
    Recovered,
    Retired,
    TermBegun,
)
from changeover.workers.protocol.snapshot import Snapshot

JOURNAL = "journal"


class Mood(enum.Enum):
    """How the next write goes."""

    WELL = "well"
    FAILS = "fails, and nothing is on disk"
    FAILS_WRITTEN = "fails, and yet it is on disk"
    SLOW = "well, and much too late"
    MUTE = "is on disk, and nobody says so"


class SecondDecision(Exception):
    """An epoch has its decision already: this is refused, and nothing is written."""


class Journal:
    """What is on disk.

    Attributes:
        entries: In the order in which they were written.
        decisions: By epoch.
        given: Candidates by epoch.
        committed: The latest committed epoch, 0 before the first.
        committed_epochs: All of them, in order.
        mood: How the next writes go.
    """

    __slots__ = ("committed", "committed_epochs", "decisions", "entries", "given", "mood", "retired", "term", "watch")

    def __init__(self) -> None:
        self.entries: list[JournalEntry] = []
        self.decisions: dict[int, Decision] = {}
        self.given: dict[int, EpochGiven] = {}
        self.committed = 0
        self.committed_epochs: list[int] = []
        self.retired: set[int] = set()
        self.term = 0
        self.mood: Callable[[Random], Mood] = lambda _: Mood.WELL
        self.watch: Callable[[JournalEntry], None] = lambda _: None

    def write(self, entry: JournalEntry) -> None:
        """Put an entry on disk."""
        if isinstance(entry, Committed | Aborted):
            known = self.decisions.get(entry.epoch)
            if known is not None and type(known) is not type(entry):
                raise SecondDecision(entry.epoch)
            self._decide(entry)
        elif isinstance(entry, EpochGiven):
            self.given[entry.epoch] = entry
        elif isinstance(entry, Retired):
            self.retired.add(entry.epoch)
        elif isinstance(entry, TermBegun):
            self.term = max(self.term, entry.term)
        self.watch(entry)
        self.entries.append(entry)

    def _decide(self, entry: Committed | Aborted) -> None:
        if isinstance(entry, Committed) and entry.epoch not in self.decisions:
            self.committed = entry.epoch if self.whole(entry.epoch) else self.committed
            self.committed_epochs.append(entry.epoch)
        self.decisions[entry.epoch] = entry

    def snapshot(self, epoch: int) -> Snapshot:
        """The content of an epoch."""
        return self.given[epoch].candidate

    def successor(self, epoch: int) -> int | None:
        """The epoch that superseded a committed one: of all workers one of all workers, of a part any."""
        later = [
            other for other in self.committed_epochs if other > epoch and (self.whole(other) or not self.whole(epoch))
        ]
        return later[0] if later else None

    def whole(self, epoch: int) -> bool:
        """Whether all workers serve a committed epoch, and not only those of some parts."""
        given = self.given.get(epoch)
        return given is None or given.part is None or given.part.last

    def parted(self) -> EpochGiven | None:
        """The last of a roll's committed parts, when neither all workers followed nor it is retired."""
        parts = [epoch for epoch in self.committed_epochs if not self.whole(epoch)]
        if not parts or parts[-1] in self.retired:
            return None
        last = self.given[parts[-1]]
        rolled = [self.snapshot(epoch).rolled for epoch in self.committed_epochs if self.whole(epoch)]
        return last if last.candidate.rolled > max(rolled, default=0) else None

    def recover(self) -> Recovered:
        """What a starting supervisor is told."""
        raised = [entry.epoch for entry in self.entries if isinstance(entry, EpochRaised)]
        undecided = [epoch for epoch in self.given if epoch not in self.decisions]
        parted = self.parted()
        living = {self.committed, 0 if parted is None else parted.epoch}
        return Recovered(
            JOURNAL,
            term=self.term,
            epoch=max([0, *self.given, *self.decisions, *raised]),
            committed=self.given[self.committed].candidate if self.committed else None,
            undecided=undecided[-1] if undecided else None,
            unretired=tuple(e for e in self.committed_epochs if e not in living and e not in self.retired),
            held=frozenset(self.given[self.committed].held) if self.committed else frozenset(),
            parted=None if parted is None else parted.candidate,
            part=None if parted is None else parted.part,
        )
