"""What operators hear of the service as a whole: its terms, its journal, its end."""

from changeover.supervisor.core.records.record import EpochRecord, Record


class TermBegan(Record, frozen=True):
    """The supervisor works under `term`; `committed` is what the journal says is authoritative."""

    term: int
    committed: int


class ReadOnly(Record, frozen=True):
    """The journal cannot be written: workers are supervised, cutovers are refused. Needs somebody."""

    reason: str


class EpochRaised(EpochRecord, frozen=True):
    """A worker knew an epoch that the journal does not: the next one is given above `epoch`."""


class JournalUnwritable(Record, frozen=True):
    """An entry that is no decision could not be written; it is tried again."""

    entry: str
    reason: str


class PeerIgnored(Record, frozen=True):
    """Something a peer sent was without effect.

    Attributes:
        peer: Who sent it.
        what: The message's name.
        why: Stale, foreign, unlisted...
        count: How often this combination was seen, this time included.
    """

    peer: str
    what: str
    why: str
    count: int


class StopBegan(Record, frozen=True):
    """The service ends.

    Attributes:
        urgency: `graceful`, `quick` or `kill`.
        workers: How many workers are to leave.
    """

    urgency: str
    workers: int
