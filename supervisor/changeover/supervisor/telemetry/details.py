"""What belongs below a record's line. Pure."""

from collections.abc import Iterable, Iterator

from changeover.supervisor.core.entries import SlotRefusal
from changeover.supervisor.core.records.boot import BootFellBack
from changeover.supervisor.core.records.cutover import CutoverAborted, HookDegraded
from changeover.supervisor.core.records.record import Record
from changeover.supervisor.core.records.request import RequestRefused
from changeover.supervisor.core.records.rescue import RescueFailed
from changeover.supervisor.core.records.retirement import LeasesEnded
from changeover.supervisor.core.records.staffing import ZygoteLost
from changeover.supervisor.core.records.worker import WorkerHangs, WorkerKilled
from changeover.supervisor.telemetry.amounts import MOST_NAMED, NOT_TAKEN
from changeover.supervisor.telemetry.phrases import lease, refused_by
from changeover.supervisor.telemetry.tracebacks import Tracebacks, told
from changeover.workers.protocol.refusal import Refusal

MOST_OUTPUT = 20
"""Lines of what a refused candidate wrote in its preflight that are told, the last ones; `explain` has all."""


def details(record: Record, tracebacks: Tracebacks = Tracebacks.WHOLE) -> Iterator[str]:
    """Each refusal with its place and traceback, what was not taken, leases that ended, or a worker's stacks."""
    match record:
        case CutoverAborted(refusals=refusals) | RescueFailed(refusals=refusals):
            yield from _refusals(refusals, tracebacks)
        case RequestRefused(refusals=refusals, summary=summary):
            yield from _refusals(refusals, tracebacks)
            yield from _not_taken(summary)
        case BootFellBack(summary=summary):  # what was refused is told by its cutover, or its scan
            yield from _not_taken(summary)
        case HookDegraded(refusal=Refusal() as refusal) | ZygoteLost(refusal=Refusal() as refusal, refuses=False):
            yield from told(refusal.traceback, tracebacks)
        case LeasesEnded(ended=ended, stuck=stuck) if len(ended) > MOST_NAMED or len(stuck) > MOST_NAMED:
            yield from (f"ended: {lease(view)}" for view in ended)
            yield from (f"cannot be ended: {lease(view)}" for view in stuck)
        case WorkerKilled(stacks=stacks):
            yield from stacks.splitlines()
        case WorkerHangs(request=request, stacks=stacks):
            yield from stacks.splitlines()
            yield from (f"awaits: {line}" for line in request.awaits)


def _not_taken(summary: Iterable[str]) -> Iterator[str]:
    return (line for line in summary if line.startswith(NOT_TAKEN))


def _refusals(refusals: Iterable[SlotRefusal], tracebacks: Tracebacks) -> Iterator[str]:
    for refusal in refusals:
        who = f"{refused_by(refusal)}: " if refusal.slot >= 0 or not refusal.refusal.unit else ""
        yield f"{who}{refusal.refusal.line}"
        yield from told(refusal.refusal.traceback, tracebacks)
        yield from (f"> {line}" for line in refusal.refusal.output.rstrip().splitlines()[-MOST_OUTPUT:])
