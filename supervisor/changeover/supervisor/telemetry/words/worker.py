"""Words for one worker's life."""

from changeover.supervisor.core.records.worker import (
    FarewellsSaid,
    MemoryLimitLow,
    ReliefWaits,
    WorkerAdopted,
    WorkerExited,
    WorkerForked,
    WorkerHangs,
    WorkerHeard,
    WorkerKilled,
    WorkerServing,
    WorkerSilent,
    WorkerStopping,
    WorkerTired,
    WorkerYields,
)
from changeover.supervisor.telemetry.amounts import age, seconds, size
from changeover.supervisor.telemetry.phrases import exit_status, member
from changeover.supervisor.telemetry.worded import DEBUG, ERROR, INFO, WARNING, Worded, word
from changeover.workers.protocol.messages import Farewell


@word.register
def _(record: WorkerForked) -> Worded:
    return Worded(DEBUG, f"{member(record)} was forked")


@word.register
def _(record: WorkerAdopted) -> Worded:
    return Worded(INFO, f"{member(record)} of the supervisor before is adopted at epoch {record.epoch}")


@word.register
def _(record: WorkerServing) -> Worded:
    return Worded(INFO, f"{member(record)} serves epoch {record.epoch}")


@word.register
def _(record: WorkerSilent) -> Worded:
    return Worded(WARNING, f"{member(record)} has been silent for {seconds(record.seconds)}")


@word.register
def _(record: WorkerHeard) -> Worded:
    return Worded(INFO, f"{member(record)} spoke again after {seconds(record.seconds)}")


@word.register
def _(record: WorkerHangs) -> Worded:
    owes = f"{member(record)} owes a response for {age(record.request.age)}: {record.request.path}"
    return Worded(ERROR, f"{owes} on epoch {record.request.epoch}; the worker is to be replaced")


@word.register
def _(record: WorkerTired) -> Worded:
    return Worded(INFO, f"{member(record)} is to be replaced: {record.reason}")


@word.register
def _(record: MemoryLimitLow) -> Worded:
    holds = f"{member(record)} holds {size(record.rss)} {seconds(record.lived)} after its birth"
    allowed = f"more than recycle.memory allows ({size(record.limit)}), and so would the next one"
    return Worded(WARNING, f"{holds}, {allowed}: raise it, or set it to 0; replaced less and less often until then")


@word.register
def _(record: ReliefWaits) -> Worded:
    return Worded(WARNING, f"{member(record)} is not replaced yet: {record.reason}")


@word.register
def _(record: WorkerStopping) -> Worded:
    return Worded(INFO, f"{member(record)} is to leave: {record.reason}")


@word.register
def _(record: WorkerYields) -> Worded:
    return Worded(INFO, f"{member(record)} hands its connections over and leaves")


FAREWELLS = {
    Farewell.OVERDUE: "that outlived the drain deadline",
    Farewell.UNTAKEN: "that no successor took in time",
    Farewell.FIXED: "that cannot go on in another process",
}


@word.register
def _(record: FarewellsSaid) -> Worded:
    ended = f"{record.count} of class {record.kind} {FAREWELLS[record.why]}"
    return Worded(WARNING, f"{member(record)} leaves and ended {ended}; the oldest was {age(record.oldest)} old")


@word.register
def _(record: WorkerKilled) -> Worded:
    no_stacks = f"; no stacks: {record.no_stacks}" if record.no_stacks else ""
    return Worded(WARNING, f"{member(record)} is killed: {record.reason}{no_stacks}")


@word.register
def _(record: WorkerExited) -> Worded:
    if record.expected:
        return Worded(INFO, f"{member(record)} left with {exit_status(record.status)}")
    return Worded(WARNING, f"{member(record)} died with {exit_status(record.status)}")
