"""What operators hear of workers that are not well, beside the records of everybody's life."""

from changeover.supervisor.core.entries import SlotRefusal
from changeover.supervisor.core.record import EpochRecord, WorkerRecord
from changeover.workers.protocol.messages import OwedResponse


class WorkerHangs(WorkerRecord, frozen=True):
    """A worker owes a response for longer than `deadlines.request`; it is replaced, its other connections go over.

    Attributes:
        request: What it owes a response to.
        stacks: What all its threads were doing; empty when that could not be had.
    """

    request: OwedResponse
    stacks: str = ""


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
