"""What operators hear of rolls in parts."""

from changeover.supervisor.core.records.record import EpochRecord


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
