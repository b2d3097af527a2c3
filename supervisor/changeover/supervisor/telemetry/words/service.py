"""Words for the service as a whole."""

from changeover.supervisor.core.records.service import (
    EpochRaised,
    JournalUnwritable,
    PeerIgnored,
    ReadOnly,
    StopBegan,
    TermBegan,
)
from changeover.supervisor.telemetry.amounts import workers
from changeover.supervisor.telemetry.worded import DEBUG, ERROR, INFO, WARNING, Worded, word


@word.register
def _(record: TermBegan) -> Worded:
    content = f"epoch {record.committed} is committed" if record.committed else "nothing was committed yet"
    return Worded(INFO, f"term {record.term} began; {content}")


@word.register
def _(record: ReadOnly) -> Worded:
    line = f"the journal cannot be written, so cutovers are refused; workers are supervised on: {record.reason}"
    return Worded(ERROR, line)


@word.register
def _(record: EpochRaised) -> Worded:
    return Worded(WARNING, f"a worker knew epoch {record.epoch}, which the journal does not; numbers go on above it")


@word.register
def _(record: JournalUnwritable) -> Worded:
    return Worded(ERROR, f"{record.entry} could not be written into the journal and is tried again: {record.reason}")


@word.register
def _(record: PeerIgnored) -> Worded:
    return Worded(DEBUG, f"{record.what} from {record.peer} was without effect: {record.why} ({record.count} times)")


@word.register
def _(record: StopBegan) -> Worded:
    return Worded(INFO, f"stopping ({record.urgency}): {workers(record.workers)} to leave")
