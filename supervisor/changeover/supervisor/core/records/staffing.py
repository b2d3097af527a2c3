"""What operators hear of slots, of how many there are, and of the zygotes that fill them."""

from changeover.supervisor.core.records.record import Record
from changeover.workers.protocol.refusal import Refusal


class SlotWaits(Record, frozen=True):
    """The next worker of `slot` comes after `seconds`; `exits` within the period."""

    slot: int
    seconds: float
    exits: int


class SlotParked(Record, frozen=True):
    """The workers of `slot` exited again and again. Needs somebody.

    Attributes:
        slot: The place.
        reason: How many exits, and the last one's cause.
        seconds: Until it is tried again.
    """

    slot: int
    reason: str
    seconds: float


class LastSlotWaits(Record, frozen=True):
    """The workers of `slot` exited again and again, and every other slot is parked: it is tried on. Needs somebody.

    Attributes:
        slot: The place.
        reason: How many exits, and the last one's cause.
        seconds: Until its next worker.
    """

    slot: int
    reason: str
    seconds: float


class Scaled(Record, frozen=True):
    """So many workers are wanted from here on."""

    previous: int
    slots: int


class ScaleRefused(Record, frozen=True):
    """Another number of workers is wanted and cannot be had now: nothing changed.

    Attributes:
        slots: How many were wanted.
        reason: Why, and how many can be had where room is the reason.
    """

    slots: int
    reason: str


class ZygoteStarted(Record, frozen=True):
    """A cohort's zygote is ready; `adopted` when a former supervisor had started it."""

    cohort: int
    adopted: bool
    threads: tuple[str, ...] = ()


class ZygoteLost(Record, frozen=True):
    """A cohort's zygote is gone; its workers serve on.

    Attributes:
        cohort: Its cohort.
        reason: Why.
        expected: Whether it had been told to leave.
        refusal: Why what it preloads cannot be loaded, or where preloading was when it ended; null otherwise.
        refuses: Whether a cutover is refused for that: then its own record tells it to people, with the traceback.
    """

    cohort: int
    reason: str
    expected: bool = False
    refusal: Refusal | None = None
    refuses: bool = False
