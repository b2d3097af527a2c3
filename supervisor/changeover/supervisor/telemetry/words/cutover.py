"""Words for a cutover."""

from changeover.supervisor.core.entries import Trigger
from changeover.supervisor.core.records.cutover import (
    CommitDecided,
    CutoverAborted,
    CutoverBegan,
    CutoverCompleted,
    DoubtSettled,
    HookDegraded,
    InDoubt,
    PhaseBegan,
    WorkerActivated,
    WorkerAgreed,
    WorkerPrepared,
    WorkerRefused,
)
from changeover.supervisor.telemetry.amounts import changes, in_all, seconds
from changeover.supervisor.telemetry.phrases import by, by_strategy, extra_memory, member, succession
from changeover.supervisor.telemetry.worded import DEBUG, ERROR, INFO, WARNING, Worded, word


@word.register
def _(record: CutoverBegan) -> Worded:
    label = f' "{record.origin.label}"' if record.origin.label else ""
    where = f"  {by_strategy(record)}" if record.workers and record.previous else ""
    who = by(record.origin)
    line = f"epoch {succession(record)}{label} by {who}{where}   {changes(record.summary)}"
    short = record.memory is not None and record.memory.is_short
    level = WARNING if short or record.origin.trigger is Trigger.RESCUE else INFO
    return Worded(level, line if record.memory is None else f"{line}; needs {extra_memory(record.memory)}")


@word.register
def _(record: PhaseBegan) -> Worded:
    return Worded(DEBUG, f"epoch {record.epoch} is {record.phase}")


@word.register
def _(record: WorkerPrepared) -> Worded:
    return Worded(DEBUG, f"{member(record)} prepared epoch {record.epoch} in {seconds(record.took)}")


@word.register
def _(record: WorkerAgreed) -> Worded:
    return Worded(DEBUG, f"{member(record)} can hand over to the workers of epoch {record.epoch}")


@word.register
def _(record: WorkerRefused) -> Worded:
    return Worded(WARNING, f"{member(record)} refused epoch {record.epoch}: {record.refusal.line}")


@word.register
def _(record: CommitDecided) -> Worded:
    return Worded(
        DEBUG, f"epoch {record.epoch} is committed; there is no way back to {record.previous} but a new epoch"
    )


@word.register
def _(record: WorkerActivated) -> Worded:
    return Worded(DEBUG, f"{member(record)} serves epoch {record.epoch}")


@word.register
def _(record: HookDegraded) -> Worded:
    return Worded(ERROR, f"{member(record)} degraded, epoch {record.epoch} stays: {record.refusal.line}")


@word.register
def _(record: CutoverCompleted) -> Worded:
    rehearsal = f"preflight {seconds(record.preflight)}, " if record.preflight else ""
    serves = (
        f"serves {in_all(record.workers, map(str, record.missing))}"
        if record.workers
        else "is committed, and no worker serves it"
    )
    return Worded(
        INFO if record.workers else ERROR,
        f"epoch {record.epoch} {serves}   {changes(record.summary)}   "
        f"({rehearsal}prepare {seconds(record.prepare)}, commit {seconds(record.commit)}, "
        f"{seconds(record.total)} in all)",
    )


@word.register
def _(record: CutoverAborted) -> Worded:
    refused = f"epoch {record.epoch} refused: {record.reason}"
    if not record.serving:
        return Worded(ERROR, f"{refused}; nothing serves yet")
    rest = f"nothing changed, epoch {record.serving} serves on"
    return Worded(ERROR, f"{refused}; {rest}   (see: changeover explain {record.epoch})")


@word.register
def _(record: InDoubt) -> Worded:
    return Worded(
        ERROR,
        f"the journal is in doubt about epoch {record.epoch}; no other cutover until that is settled: {record.reason}",
    )


@word.register
def _(record: DoubtSettled) -> Worded:
    known = "committed" if record.committed else "not committed"
    return Worded(WARNING, f"the doubt about epoch {record.epoch} is settled: it is {known}")
