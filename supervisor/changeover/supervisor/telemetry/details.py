"""What belongs below a record's line. Pure."""

from collections.abc import Iterable, Iterator

from changeover.supervisor.core import ailments, boot_records, records
from changeover.supervisor.core.entries import SlotRefusal
from changeover.supervisor.core.record import Record
from changeover.supervisor.telemetry.amounts import MOST_NAMED
from changeover.supervisor.telemetry.tracebacks import Tracebacks, told
from changeover.supervisor.telemetry.wording import cause, lease, refused_by
from changeover.workers.protocol.refusal import Refusal


def details(record: Record, tracebacks: Tracebacks = Tracebacks.WHOLE) -> Iterator[str]:
    """Each refusal with its place and traceback, what was not taken, leases that ended, or a worker's stacks."""
    match record:
        case records.CutoverAborted(refusals=refusals) | ailments.RescueFailed(refusals=refusals):
            yield from _refusals(refusals, tracebacks)
        case (
            records.RequestRefused(refusals=refusals, summary=summary)
            | boot_records.BootFellBack(refusals=refusals, summary=summary)
        ):
            yield from _refusals(refusals, tracebacks)
            yield from (line for line in summary if line.startswith("not taken: "))
        case records.HookDegraded(refusal=Refusal() as refusal) | records.ZygoteLost(refusal=Refusal() as refusal):
            yield from told(refusal.traceback, tracebacks)
        case records.LeasesEnded(ended=ended, stuck=stuck) if len(ended) > MOST_NAMED or len(stuck) > MOST_NAMED:
            yield from (f"ended: {lease(view)}" for view in ended)
            yield from (f"cannot be ended: {lease(view)}" for view in stuck)
        case records.WorkerKilled(stacks=stacks):
            yield from stacks.splitlines()
        case ailments.WorkerHangs(request=request, stacks=stacks):
            yield from stacks.splitlines()
            yield from (f"awaits: {line}" for line in request.awaits)


def _refusals(refusals: Iterable[SlotRefusal], tracebacks: Tracebacks) -> Iterator[str]:
    for refusal in refusals:
        who = f"{refused_by(refusal)}: " if refusal.slot >= 0 else ""
        yield f"{who}{cause(refusal.refusal)}"
        yield from told(refusal.refusal.traceback, tracebacks)
