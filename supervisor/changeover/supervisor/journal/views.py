"""What the journal tells: entries with their sequence and time, gathered by epoch."""

import msgspec

from changeover.supervisor.core.entries import Aborted, Committed, EpochGiven, JournalEntry


class Line(msgspec.Struct, frozen=True):
    """One entry as it lies in the journal.

    Attributes:
        seq: Its place.
        at: When it was written, seconds since 1970.
        entry: What it says.
    """

    seq: int
    at: float
    entry: JournalEntry


class EpochStory(msgspec.Struct, frozen=True):
    """Everything that the journal keeps of one epoch.

    Attributes:
        given: Its candidate, and who asked for it.
        given_at: When, seconds since 1970.
        decision: What it was decided as; None while it is not.
        decided_at: When; None while it is not.
        retired_at: When it was released everywhere; None while it is not.
    """

    given: EpochGiven
    given_at: float
    decision: Committed | Aborted | None = None
    decided_at: float | None = None
    retired_at: float | None = None

    @property
    def epoch(self) -> int:
        """Its number."""
        return self.given.epoch

    @property
    def is_committed(self) -> bool:
        """Whether some workers serve it, or did."""
        return isinstance(self.decision, Committed)

    @property
    def is_whole(self) -> bool:
        """Whether all workers serve it, or did: it is no part of a roll, or the last one."""
        return self.is_committed and (self.given.part is None or self.given.part.last)


class Totals(msgspec.Struct, frozen=True):
    """Counted since the journal was made; pruning does not change them.

    Attributes:
        committed: Epochs that were committed, rollbacks and boots included.
        rollbacks: Committed epochs that brought earlier content back.
        aborted: Epochs that were not committed.
        refusals: Stage -> aborted epochs whose first refusal came there.
        last_duration: Seconds between giving and committing the latest committed epoch; None before one.
    """

    committed: int = 0
    rollbacks: int = 0
    aborted: int = 0
    refusals: dict[str, int] = {}
    last_duration: float | None = None
