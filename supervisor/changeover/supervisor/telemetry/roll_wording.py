"""Words for rolls in parts, and for the room that workers need."""

from changeover.supervisor.core import roll_records
from changeover.supervisor.telemetry.amounts import workers
from changeover.supervisor.telemetry.stream import Level
from changeover.supervisor.telemetry.worded import Worded


def scale_refused(record: roll_records.ScaleRefused) -> Worded:
    """How many workers can be had."""
    return Worded(Level.WARNING, f"not scaled: {record.reason}")


def part_began(record: roll_records.PartBegan) -> Worded:
    """Which part of a roll a number is."""
    line = f"epoch {record.epoch} is part {record.number} of {record.of}"
    return Worded(Level.INFO, f"{line}: it is to serve in {workers(record.workers)}")


def part_serves(record: roll_records.PartServes) -> Worded:
    """How far a roll in parts has come."""
    line = f"part {record.number} of {record.of}: slots {', '.join(map(str, record.slots))}"
    serves = f"epoch {record.epoch} serves in {workers(record.workers)}, epoch {record.others} in all others"
    return Worded(Level.INFO, f"{line}; {serves}")


def parts_reverting(record: roll_records.PartsReverting) -> Worded:
    """Why a roll in parts goes back."""
    line = f"epoch {record.epoch} ({record.part}) goes back to what epoch {record.serving} is"
    return Worded(Level.ERROR, f"{line}: {record.reason}")


def parts_reverted(record: roll_records.PartsReverted) -> Worded:
    """That a roll in parts has gone back."""
    return Worded(Level.INFO, f"epoch {record.epoch} is reverted: epoch {record.serving} serves in all workers")


WORDS = (scale_refused, part_began, part_serves, parts_reverting, parts_reverted)
"""One for each record."""
