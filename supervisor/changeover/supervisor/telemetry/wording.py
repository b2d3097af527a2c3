"""The one place that puts records into words: one line for people, and how much it asks of them.

What the shell tells has its words in `shell_wording`.

A refusal's traceback is no part of the line: `details` gives it, and the log prints it below.
"""

import signal
from functools import singledispatch

from changeover.supervisor.core import ailments, departures, records, roll_records
from changeover.supervisor.core.entries import Origin, SlotRefusal, Trigger
from changeover.supervisor.core.outcome import ExtraMemory, Strategy
from changeover.supervisor.core.record import Record, WorkerRecord
from changeover.supervisor.telemetry import pipeline_wording, roll_wording, unasked, upgrading
from changeover.supervisor.telemetry.amounts import MOST_NAMED, age, changes, in_all, named, seconds, size, workers
from changeover.supervisor.telemetry.stream import Level
from changeover.supervisor.telemetry.worded import Worded
from changeover.workers.protocol.messages import Farewell, LeaseView
from changeover.workers.protocol.refusal import Refusal

DEBUG, INFO, WARNING, ERROR = Level.DEBUG, Level.INFO, Level.WARNING, Level.ERROR


class Unworded(TypeError):
    """A record has no words: a mistake of ours, caught by a test."""


@singledispatch
def word(record: Record) -> Worded:
    """Put a record into words.

    Raises:
        Unworded: Nobody wrote words for its type.
    """
    raise Unworded(f"{type(record).__name__} has no words")


def by(origin: Origin) -> str:
    """Who asked: `HUP`, or `deploy (uid 1001)`."""
    if origin.trigger not in (Trigger.COMMAND, Trigger.API):
        return str(origin.trigger.value)
    if origin.uid < 0:
        return origin.user or origin.trigger.value
    return f"{origin.user} (uid {origin.uid})" if origin.user else f"uid {origin.uid}"


def by_strategy(record: records.CutoverBegan) -> str:
    """How a candidate comes to be served: `swap in 4 workers`, `roll to 4 workers`."""
    how = "roll to" if record.strategy is Strategy.ROLL else "swap in"
    return f"{how} {workers(record.workers)}"


def extra_memory(needs: ExtraMemory) -> str:
    """What a roll needs: `about 340 M beside what is there, for 4 workers of 85 M; 2.1 G available`."""
    about = "about" if needs.exact else "at most about"
    amount = f"{about} {size(needs.needed)} beside what is there, for {workers(needs.workers)} of {size(needs.each)}"
    if needs.available < 0:
        return amount
    short = "warning: only " if needs.is_short else ""
    return f"{amount}; {short}{size(needs.available)} available"


def cause(refusal: Refusal) -> str:
    """A refusal in one line: `plugin pricing on_load: TimeoutError: ... (plugins/pricing.py:41)`."""
    subject = " ".join(part for part in (refusal.unit, refusal.hook) if part) or refusal.stage.value
    return f"{subject}: {refusal.summary}" + (f" ({refusal.where})" if refusal.where else "")


def refused_by(refusal: SlotRefusal) -> str:
    """Who refused: `slot 2 (pid 4127)`, or the stage when no worker was asked."""
    if refusal.slot < 0:
        return refusal.refusal.stage.value
    return f"slot {refusal.slot} (pid {refusal.pid})" if refusal.pid else f"slot {refusal.slot}"


def exit_status(status: int | None) -> str:
    """How a process ended: `status 3`, `SIGSEGV`."""
    if status is None:
        return "unknown status"
    if status >= 0:
        return f"status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"


def _of(record: WorkerRecord) -> str:
    pid = f" (pid {record.pid})" if record.pid else ""
    return f"slot {record.worker.slot}{pid}"


def lease(view: LeaseView) -> str:
    """A lease in words: `http /prices on epoch 6, 12 s old`."""
    return f"{view.kind} {view.path} on epoch {view.epoch}, {age(view.age)} old"


def _leases(views: tuple[LeaseView, ...]) -> str:
    """Some leases in words; `details` has all of them."""
    more = f" and {len(views) - MOST_NAMED} more" if len(views) > MOST_NAMED else ""
    return "; ".join(map(lease, views[:MOST_NAMED])) + more


@word.register
def _(record: records.TermBegan) -> Worded:
    content = f"epoch {record.committed} is committed" if record.committed else "nothing was committed yet"
    return Worded(INFO, f"term {record.term} began; {content}")


@word.register
def _(record: records.ReadOnly) -> Worded:
    line = f"the journal cannot be written, so cutovers are refused; workers are supervised on: {record.reason}"
    return Worded(ERROR, line)


@word.register
def _(record: records.EpochRaised) -> Worded:
    return Worded(WARNING, f"a worker knew epoch {record.epoch}, which the journal does not; numbers go on above it")


@word.register
def _(record: records.CutoverBegan) -> Worded:
    label = f' "{record.origin.label}"' if record.origin.label else ""
    where = f"  {by_strategy(record)}" if record.workers and record.previous else ""
    who = by(record.origin)
    line = f"epoch {record.previous} -> {record.epoch}{label} by {who}{where}   {changes(record.summary)}"
    if record.memory is None:
        return Worded(INFO, line)
    return Worded(WARNING if record.memory.is_short else INFO, f"{line}; needs {extra_memory(record.memory)}")


@word.register
def _(record: records.PhaseBegan) -> Worded:
    return Worded(DEBUG, f"epoch {record.epoch} is {record.phase}")


@word.register
def _(record: records.WorkerPrepared) -> Worded:
    return Worded(DEBUG, f"{_of(record)} prepared epoch {record.epoch} in {seconds(record.took)}")


@word.register
def _(record: records.WorkerAgreed) -> Worded:
    return Worded(DEBUG, f"{_of(record)} can hand over to the workers of epoch {record.epoch}")


@word.register
def _(record: records.WorkerTired) -> Worded:
    return Worded(INFO, f"{_of(record)} is to be replaced: {record.reason}")


@word.register
def _(record: roll_records.ReliefWaits) -> Worded:
    return Worded(WARNING, f"{_of(record)} is not replaced yet: {record.reason}")


@word.register
def _(record: records.WorkerYields) -> Worded:
    return Worded(INFO, f"{_of(record)} hands its connections over and leaves")


@word.register
def _(record: records.WorkerRefused) -> Worded:
    return Worded(WARNING, f"{_of(record)} refused epoch {record.epoch}: {cause(record.refusal)}")


@word.register
def _(record: records.WorkerActivated) -> Worded:
    return Worded(DEBUG, f"{_of(record)} serves epoch {record.epoch}")


@word.register
def _(record: records.CommitDecided) -> Worded:
    return Worded(
        DEBUG, f"epoch {record.epoch} is committed; there is no way back to {record.previous} but a new epoch"
    )


@word.register
def _(record: records.CutoverCompleted) -> Worded:
    return Worded(
        INFO,
        f"epoch {record.epoch} serves {in_all(record.workers)}   {changes(record.summary)}   "
        f"(prepare {seconds(record.prepare)}, commit {seconds(record.commit)}, {seconds(record.total)} in all)",
    )


@word.register
def _(record: records.CutoverAborted) -> Worded:
    return Worded(
        ERROR,
        f"epoch {record.epoch} refused: {record.reason}; nothing changed, epoch {record.serving} serves on   "
        f"(see: changeover explain {record.epoch})",
    )


@word.register
def _(record: records.RequestRefused) -> Worded:
    return Worded(ERROR, f"refused, asked for by {by(record.origin)}: {record.reason}; nothing changed")


@word.register
def _(record: records.ChangePlanned) -> Worded:
    return Worded(INFO, f"asked by {by(record.origin)}, a reload would change: {changes(record.summary)}; nothing did")


@word.register
def _(record: records.InDoubt) -> Worded:
    return Worded(
        ERROR,
        f"the journal is in doubt about epoch {record.epoch}; no other cutover until that is settled: {record.reason}",
    )


@word.register
def _(record: records.DoubtSettled) -> Worded:
    known = "committed" if record.committed else "not committed"
    return Worded(WARNING, f"the doubt about epoch {record.epoch} is settled: it is {known}")


@word.register
def _(record: records.JournalUnwritable) -> Worded:
    return Worded(ERROR, f"{record.entry} could not be written into the journal and is tried again: {record.reason}")


@word.register
def _(record: records.BootFellBack) -> Worded:
    return Worded(
        ERROR, f"what is on disk is not served: {record.reason}; epoch {record.serving}, the last committed, serves"
    )


@word.register
def _(record: ailments.WorkerHangs) -> Worded:
    owes = f"{_of(record)} owes a response for {age(record.request.age)}: {record.request.path}"
    return Worded(ERROR, f"{owes} on epoch {record.request.epoch}; the worker is to be replaced")


@word.register
def _(record: ailments.RescueBegan) -> Worded:
    crash = f"all workers of epoch {record.epoch} crash, again and again ({record.reason})"
    return Worded(ERROR, f"{crash}: going back to what epoch {record.before} served")


@word.register
def _(record: ailments.RescueFailed) -> Worded:
    line = f"all workers of epoch {record.epoch} crash, and what served before cannot be had: {record.reason}"
    return Worded(ERROR, line)


@word.register
def _(record: records.WorkerForked) -> Worded:
    return Worded(DEBUG, f"{_of(record)} was forked")


@word.register
def _(record: records.WorkerAdopted) -> Worded:
    return Worded(INFO, f"{_of(record)} of the supervisor before is adopted at epoch {record.epoch}")


@word.register
def _(record: records.WorkerServing) -> Worded:
    return Worded(INFO, f"{_of(record)} serves epoch {record.epoch}")


@word.register
def _(record: records.WorkerStopping) -> Worded:
    return Worded(INFO, f"{_of(record)} is to leave: {record.reason}")


@word.register
def _(record: records.WorkerKilled) -> Worded:
    return Worded(WARNING, f"{_of(record)} is killed: {record.reason}")


@word.register
def _(record: records.WorkerExited) -> Worded:
    if record.expected:
        return Worded(INFO, f"{_of(record)} left with {exit_status(record.status)}")
    return Worded(WARNING, f"{_of(record)} died with {exit_status(record.status)}")


@word.register
def _(record: records.WorkerSilent) -> Worded:
    return Worded(WARNING, f"{_of(record)} has been silent for {seconds(record.seconds)}")


@word.register
def _(record: records.WorkerHeard) -> Worded:
    return Worded(INFO, f"{_of(record)} spoke again after {seconds(record.seconds)}")


@word.register
def _(record: records.SlotWaits) -> Worded:
    when = f"in {seconds(record.seconds)}" if record.seconds else "at once"
    exits = "1 exit" if record.exits == 1 else f"{record.exits} exits"
    return Worded(WARNING, f"slot {record.slot} gets its next worker {when}: {exits} of late")


@word.register
def _(record: records.SlotParked) -> Worded:
    line = f"slot {record.slot} is PARKED: {record.reason}; next try in {seconds(record.seconds)}"
    return Worded(ERROR, line)


@word.register
def _(record: records.Scaled) -> Worded:
    return Worded(INFO, f"{record.previous} -> {workers(record.slots)}")


@word.register
def _(record: records.ZygoteStarted) -> Worded:
    line = f"the zygote of cohort {record.cohort} {'is adopted' if record.adopted else 'is ready'}"
    if not record.threads:
        return Worded(DEBUG, line)
    why = f"importing {named(record.threads)} started threads"
    return Worded(INFO, f'{line}; its workers import after the fork, because {why} (preload = "strict" refuses that)')


@word.register
def _(record: records.ZygoteLost) -> Worded:
    who = f"the zygote of cohort {record.cohort}"
    if record.expected:
        return Worded(DEBUG if record.refusal is None else INFO, f"{who} left: {record.reason}")
    if record.refusal is not None:
        return Worded(ERROR, f"{who} cannot load what its workers need: {cause(record.refusal)}")
    return Worded(WARNING, f"{who} is gone, its workers serve on: {record.reason}")


@word.register
def _(record: records.UnitsDrained) -> Worded:
    units = ", ".join(str(unit) for unit in record.units)
    return Worded(DEBUG, f"drained, superseded by epoch {record.epoch}: {units}")


@word.register
def _(record: records.UnitReleased) -> Worded:
    return Worded(DEBUG, f"released everywhere: {record.unit}")


@word.register
def _(record: records.EpochRetired) -> Worded:
    return Worded(INFO, f"epoch {record.epoch} is retired: nothing that only it had is left in any worker")


@word.register
def _(record: records.HookDegraded) -> Worded:
    return Worded(ERROR, f"{_of(record)} degraded, epoch {record.epoch} stays: {cause(record.refusal)}")


@word.register
def _(record: records.LeasesEnded) -> Worded:
    copies = f"{_of(record)} has more than {record.bound} resident copies of a unit since epoch {record.epoch} serves"
    if not record.ended:
        return Worded(WARNING, f"{copies}, and cannot end what holds the oldest: {_leases(record.stuck)}")
    stuck = f"; cannot end {_leases(record.stuck)}" if record.stuck else ""
    return Worded(WARNING, f"{copies}: ended the oldest leases: {_leases(record.ended)}{stuck}")


FAREWELLS = {
    Farewell.OVERDUE: "that outlived the drain deadline",
    Farewell.UNTAKEN: "that no successor took in time",
    Farewell.FIXED: "that cannot go on in another process",
}


@word.register
def _(record: departures.FarewellsSaid) -> Worded:
    ended = f"{record.count} of class {record.kind} {FAREWELLS[record.why]}"
    return Worded(WARNING, f"{_of(record)} leaves and ended {ended}; the oldest was {age(record.oldest)} old")


@word.register
def _(record: records.PeerIgnored) -> Worded:
    return Worded(DEBUG, f"{record.what} from {record.peer} was without effect: {record.why} ({record.count} times)")


@word.register
def _(record: records.StopBegan) -> Worded:
    return Worded(INFO, f"stopping ({record.urgency}): {workers(record.workers)} to leave")


for _words in (*unasked.WORDS, *roll_wording.WORDS, *upgrading.WORDS, *pipeline_wording.WORDS):
    word.register(_words)
