"""What operators hear of what a cutover replaced."""

from changeover.supervisor.core.records.record import EpochRecord, Record, WorkerRecord
from changeover.workers.protocol.messages import LeaseView
from changeover.workers.protocol.snapshot import UnitKey


class UnitsDrained(EpochRecord, frozen=True):
    """No request holds `units` any more, in any worker that stays; they are being released. `epoch` superseded them."""

    units: tuple[UnitKey, ...]


class UnitReleased(Record, frozen=True):
    """A unit is gone from every worker."""

    unit: UnitKey


class EpochRetired(EpochRecord, frozen=True):
    """Nothing that only `epoch` had is left in any worker."""


class ReleaseProved(WorkerRecord, frozen=True):
    """A worker looked for what it had released, after it had collected garbage.

    Attributes:
        units: What it released since the time before.
        pause: Seconds that its loop stood still for the collection.
        leaks: How much of them is still there, each told by a `LeakFound`; 0: everything is gone.
    """

    units: tuple[UnitKey, ...]
    pause: float
    leaks: int = 0


class LeakFound(WorkerRecord, frozen=True):
    """Something of a released unit is still alive in a worker. Told once; `changeover leaks` shows what still is.

    Attributes:
        unit: The unit, as its key reads.
        what: What is alive, by kind and name.
        chain: What holds it, each held by the one before, from a root on; empty where none was found.
    """

    unit: str
    what: str
    chain: tuple[str, ...] = ()


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
