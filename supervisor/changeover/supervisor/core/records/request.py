"""What operators hear of requests that led to no cutover."""

from changeover.supervisor.core.entries import Origin, SlotRefusal
from changeover.supervisor.core.outcome import Action
from changeover.supervisor.core.records.record import Record


class RequestRefused(Record, frozen=True):
    """A cutover was asked for and ended before it had a number.

    Attributes:
        origin: Who asked.
        reason: One line.
        refusals: Every "no".
        summary: What would have changed, and what lies on disk and was not taken.
    """

    origin: Origin
    reason: str
    refusals: tuple[SlotRefusal, ...] = ()
    summary: tuple[str, ...] = ()


class NothingChanged(Record, frozen=True):
    """A cutover was asked for, and what it would bring is what is served.

    Attributes:
        origin: Who asked.
        serving: The epoch that serves.
        notes: What lies on disk and was not taken.
        action: Where the content would have come from.
    """

    origin: Origin
    serving: int
    notes: tuple[str, ...] = ()
    action: Action = Action.RELOAD


class RollNeeded(Record, frozen=True):
    """A cutover was asked for that only new processes can serve."""

    origin: Origin
    changed: tuple[str, ...]


class ChangePlanned(Record, frozen=True):
    """Somebody asked what a cutover would change; nothing did."""

    origin: Origin
    serving: int
    summary: tuple[str, ...]
