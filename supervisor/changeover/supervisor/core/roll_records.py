"""What operators hear of the room that rolls and reliefs need; see `records`."""

from changeover.supervisor.core.record import Record, WorkerRecord


class ScaleRefused(Record, frozen=True):
    """More workers are wanted than there are slot numbers for: nothing changed.

    Attributes:
        slots: How many were wanted.
        reason: How many can be had, and why no more.
    """

    slots: int
    reason: str


class ReliefWaits(WorkerRecord, frozen=True):
    """A worker did all it may do, and no slot number is free for the one that would take its place."""

    reason: str
