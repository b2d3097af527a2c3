"""What operators hear of what a cutover replaced."""

from changeover.supervisor.core.records.record import EpochRecord, Record, WorkerRecord
from changeover.workers.protocol.messages import LeaseView
from changeover.workers.protocol.snapshot import UnitKey


class UnitsDrained(EpochRecord, frozen=True):
    """No request holds `units` any more, in any worker; they are being released. `epoch` superseded them."""

    units: tuple[UnitKey, ...]


class UnitReleased(Record, frozen=True):
    """A unit is gone from every worker."""

    unit: UnitKey


class EpochRetired(EpochRecord, frozen=True):
    """Nothing that only `epoch` had is left in any worker."""


class LeasesEnded(WorkerRecord, frozen=True):
    """A worker had too many resident copies once `epoch` served, and ended its oldest leases. Each is named.

    Attributes:
        bound: Most resident copies of a unit (`[drain] max_resident`).
        ended: Leases that were ended, oldest first: their clients were answered 503, or see a response that is cut.
        stuck: Leases that have to go and cannot be ended: of threads, and of what waits in a pool of threads.
    """

    epoch: int
    bound: int
    ended: tuple[LeaseView, ...]
    stuck: tuple[LeaseView, ...] = ()
