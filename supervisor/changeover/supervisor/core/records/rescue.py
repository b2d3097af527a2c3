"""What operators hear of rescues."""

from changeover.supervisor.core.entries import SlotRefusal
from changeover.supervisor.core.records.record import EpochRecord


class RescueBegan(EpochRecord, frozen=True):
    """All workers of the roll to `epoch` crashed, again and again: what served before is taken back. Needs somebody.

    Attributes:
        before: The epoch whose content is to serve again.
        reason: How one of them ended.
    """

    before: int
    reason: str


class RescueFailed(EpochRecord, frozen=True):
    """All workers of the roll to `epoch` crash, and what served before cannot be had: there is no second try.

    Attributes:
        reason: Why.
        refusals: Every "no".
    """

    reason: str
    refusals: tuple[SlotRefusal, ...] = ()
