"""Words for rescues."""

from changeover.supervisor.core.records.rescue import RescueBegan, RescueFailed
from changeover.supervisor.telemetry.worded import ERROR, Worded, word


@word.register
def _(record: RescueBegan) -> Worded:
    crash = f"all workers of epoch {record.epoch} crash, again and again ({record.reason})"
    return Worded(ERROR, f"{crash}: going back to what epoch {record.before} served")


@word.register
def _(record: RescueFailed) -> Worded:
    line = f"all workers of epoch {record.epoch} crash, and what served before cannot be had: {record.reason}"
    return Worded(ERROR, line)
