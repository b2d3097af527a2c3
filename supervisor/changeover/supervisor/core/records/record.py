"""What every record has."""

import msgspec

from changeover.workers.protocol.identity import WorkerId


class Record(msgspec.Struct, frozen=True, tag=True):
    """A fact worth telling."""


class WorkerRecord(Record, frozen=True):
    """A fact about one worker.

    Attributes:
        worker: Cohort, slot and incarnation.
        pid: For people; 0 while unknown.
    """

    worker: WorkerId
    pid: int


class EpochRecord(Record, frozen=True):
    """A fact about one epoch."""

    epoch: int
