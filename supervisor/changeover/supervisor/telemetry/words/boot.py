"""Words for a start that makes no cutover of what lies on disk."""

from changeover.supervisor.core.records.boot import BootFellBack, StartCompleted
from changeover.supervisor.telemetry.amounts import in_all
from changeover.supervisor.telemetry.worded import ERROR, INFO, Worded, word


@word.register
def _(record: BootFellBack) -> Worded:
    return Worded(
        ERROR, f"what is on disk is not served: {record.reason}; epoch {record.serving}, the last committed, serves"
    )


@word.register
def _(record: StartCompleted) -> Worded:
    return Worded(INFO, f"epoch {record.epoch} serves {in_all(record.workers)}, as before")
