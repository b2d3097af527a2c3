"""Words for what a cutover replaced."""

from changeover.supervisor.core.records.retirement import (
    EpochRetired,
    LeakFound,
    LeasesEnded,
    ReleaseProved,
    UnitReleased,
    UnitsDrained,
)
from changeover.supervisor.telemetry.amounts import seconds
from changeover.supervisor.telemetry.phrases import leases, member
from changeover.supervisor.telemetry.worded import DEBUG, INFO, WARNING, Worded, word


@word.register
def _(record: UnitsDrained) -> Worded:
    units = ", ".join(str(unit) for unit in record.units)
    return Worded(DEBUG, f"drained, superseded by epoch {record.epoch}: {units}")


@word.register
def _(record: UnitReleased) -> Worded:
    return Worded(DEBUG, f"released everywhere: {record.unit}")


@word.register
def _(record: EpochRetired) -> Worded:
    return Worded(INFO, f"epoch {record.epoch} is retired: every worker has released what only it had")


@word.register
def _(record: ReleaseProved) -> Worded:
    found = f"{record.leaks} leaks" if record.leaks else "everything is gone"
    looked = f"{member(record)} looked for {len(record.units)} released units in {seconds(record.pause)}: {found}"
    return Worded(DEBUG, looked)


@word.register
def _(record: LeakFound) -> Worded:
    held = f", held by {' -> '.join(record.chain)}" if record.chain else ""
    return Worded(WARNING, f"{member(record)} released {record.unit}, but {record.what}{held}; see: changeover leaks")


@word.register
def _(record: LeasesEnded) -> Worded:
    copies = (
        f"{member(record)} has more than {record.bound} resident copies of a unit since epoch {record.epoch} serves"
    )
    if not record.ended:
        return Worded(WARNING, f"{copies}, and cannot end what holds the oldest: {leases(record.stuck)}")
    stuck = f"; cannot end {leases(record.stuck)}" if record.stuck else ""
    return Worded(WARNING, f"{copies}: ended the oldest leases: {leases(record.ended)}{stuck}")
