"""Words for slots, and for the zygotes that fill them."""

from changeover.supervisor.core.records.staffing import (
    LastSlotWaits,
    Scaled,
    ScaleRefused,
    SlotParked,
    SlotWaits,
    ZygoteLost,
    ZygoteStarted,
)
from changeover.supervisor.telemetry.amounts import named, seconds, workers
from changeover.supervisor.telemetry.worded import DEBUG, ERROR, INFO, WARNING, Worded, word


@word.register
def _(record: SlotWaits) -> Worded:
    when = f"in {seconds(record.seconds)}" if record.seconds else "at once"
    exits = "1 exit" if record.exits == 1 else f"{record.exits} exits"
    return Worded(WARNING, f"slot {record.slot} gets its next worker {when}: {exits} of late")


@word.register
def _(record: SlotParked) -> Worded:
    line = f"slot {record.slot} is PARKED: {record.reason}; next try in {seconds(record.seconds)}"
    return Worded(ERROR, line)


@word.register
def _(record: LastSlotWaits) -> Worded:
    why = f"{record.reason}; it is not parked, because no other slot could serve"
    return Worded(ERROR, f"slot {record.slot} gets its next worker in {seconds(record.seconds)}: {why}")


@word.register
def _(record: Scaled) -> Worded:
    return Worded(INFO, f"{record.previous} -> {workers(record.slots)}")


@word.register
def _(record: ScaleRefused) -> Worded:
    return Worded(WARNING, f"not scaled: {record.reason}")


@word.register
def _(record: ZygoteStarted) -> Worded:
    line = f"the zygote of cohort {record.cohort} {'is adopted' if record.adopted else 'is ready'}"
    if not record.threads:
        return Worded(DEBUG, line)
    why = f"importing {named(record.threads)} started threads"
    return Worded(INFO, f'{line}; its workers import after the fork, because {why} (preload = "strict" refuses that)')


@word.register
def _(record: ZygoteLost) -> Worded:
    who = f"the zygote of cohort {record.cohort}"
    if record.expected:
        return Worded(DEBUG if record.refusal is None else INFO, f"{who} left: {record.reason}")
    if record.refusal is not None:
        level = DEBUG if record.refuses else ERROR
        return Worded(level, f"{who} cannot load what its workers need: {record.refusal.line}")
    return Worded(WARNING, f"{who} is gone, its workers serve on: {record.reason}")
