"""What operators hear of rolls in parts, and of the room that rolls and reliefs need; see `records`."""

from changeover.supervisor.core.record import EpochRecord, Record, WorkerRecord


class ScaleRefused(Record, frozen=True):
    """Another number of workers is wanted and cannot be had now: nothing changed.

    Attributes:
        slots: How many were wanted.
        reason: Why, and how many can be had where room is the reason.
    """

    slots: int
    reason: str


class ReliefWaits(WorkerRecord, frozen=True):
    """A worker is tired, or hangs, and no slot number is free for the one that would take its place."""

    reason: str


class PartBegan(EpochRecord, frozen=True):
    """A candidate that has its number is a part of a roll.

    Attributes:
        number: Which, from 1.
        of: How many there are.
        workers: How many workers serve it when it is committed, those of earlier parts included.
    """

    number: int
    of: int
    workers: int


class PartServes(EpochRecord, frozen=True):
    """Every worker of the parts up to this one serves `epoch`; all others serve on.

    Attributes:
        number: Which, from 1.
        of: How many there are.
        workers: How many workers serve it.
        others: The epoch that all others serve.
        slots: The slots of this part.
    """

    number: int
    of: int
    workers: int
    others: int
    slots: tuple[int, ...]


class PartsReverting(EpochRecord, frozen=True):
    """The parts that serve `epoch` go back to what all others serve: that is committed under a new number.

    Attributes:
        part: Up to which part it came (`part 1 of 4`).
        serving: The epoch that all others serve.
        reason: Why.
    """

    part: str
    serving: int
    reason: str


class PartsReverted(EpochRecord, frozen=True):
    """No worker serves `epoch` any more; all serve `serving`."""

    serving: int
