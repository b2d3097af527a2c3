"""What operators hear of a start that makes no cutover of what lies on disk."""

from changeover.supervisor.core.entries import SlotRefusal
from changeover.supervisor.core.records.record import EpochRecord, Record


class BootFellBack(Record, frozen=True):
    """What is on disk was refused or is held at start: the last committed content serves instead. Needs somebody.

    Attributes:
        serving: The epoch that serves.
        reason: Why not what is on disk.
        refusals: Every "no".
        summary: What would have changed, and what lies on disk and was not taken.
    """

    serving: int
    reason: str
    refusals: tuple[SlotRefusal, ...] = ()
    summary: tuple[str, ...] = ()


class StartCompleted(EpochRecord, frozen=True):
    """What was committed before this start serves everywhere again. A start with other content is a cutover instead.

    Attributes:
        workers: How many workers serve it.
    """

    workers: int
