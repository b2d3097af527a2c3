"""Words for rolls in parts."""

from changeover.supervisor.core.records.part import PartBegan, PartServes, PartsReverted, PartsReverting
from changeover.supervisor.telemetry.amounts import workers
from changeover.supervisor.telemetry.worded import ERROR, INFO, Worded, word


@word.register
def _(record: PartBegan) -> Worded:
    line = f"epoch {record.epoch} is part {record.number} of {record.of}"
    return Worded(INFO, f"{line}: it is to serve in {workers(record.workers)}")


@word.register
def _(record: PartServes) -> Worded:
    line = f"part {record.number} of {record.of}: slots {', '.join(map(str, record.slots))}"
    serves = f"epoch {record.epoch} serves in {workers(record.workers)}, epoch {record.others} in all others"
    return Worded(INFO, f"{line}; {serves}")


@word.register
def _(record: PartsReverting) -> Worded:
    line = f"epoch {record.epoch} ({record.part}) goes back to what epoch {record.serving} is"
    return Worded(ERROR, f"{line}: {record.reason}")


@word.register
def _(record: PartsReverted) -> Worded:
    return Worded(INFO, f"epoch {record.epoch} is reverted: epoch {record.serving} serves in every worker that lives")
