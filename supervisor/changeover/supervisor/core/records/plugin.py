"""What operators hear of the lives of plugins in workers."""

from changeover.supervisor.core.records.record import EpochRecord, WorkerRecord
from changeover.workers.protocol.plugin_messages import PluginMove


class PluginsMoved(WorkerRecord, frozen=True):
    """Plugins came further in their lives, in a worker.

    Attributes:
        moves: Which instance, and where it stands, in the order in which it happened.
    """

    moves: tuple[PluginMove, ...]


class StateNotTaken(WorkerRecord, frozen=True):
    """A plugin of a candidate begins without the state of the version that serves; that refuses nothing.

    Attributes:
        plugin: The plugin's id.
        version: Which version begins.
        old: Which version serves.
        why: Why, in words.
    """

    plugin: str
    version: str
    old: str
    why: str


class HookStalled(WorkerRecord, frozen=True):
    """A hook kept a worker's loop from running for more than 50 ms: no request of that worker got on meanwhile.

    Attributes:
        unit: The unit whose hook it is.
        hook: Its name.
        seconds: For how long, at one stretch.
    """

    unit: str
    hook: str
    seconds: float


class LeadershipMoved(WorkerRecord, frozen=True):
    """The exclusive work of plugins runs in this worker from here on: nobody led before, or another one did.

    A supervisor that was started anew tells of whoever leads.
    """


class MigrationBegan(WorkerRecord, frozen=True):
    """Everybody has prepared `epoch`, and this worker is to migrate what all share.

    Attributes:
        plugins: Whose `migrate` it runs, by id.
    """

    epoch: int
    plugins: tuple[str, ...]


class MigrationDone(WorkerRecord, frozen=True):
    """Every `migrate` of `epoch` returned: it is decided now."""

    epoch: int
    took: float


class MigrationUndone(WorkerRecord, frozen=True):
    """`epoch` is aborted, and what was migrated for it is undone."""

    epoch: int


class MigrationLeft(EpochRecord, frozen=True):
    """`epoch` is aborted, and what was migrated for it is not undone, or not all of it: somebody has to look at it.

    Where a worker takes longer over it than `deadlines.prepare`, how it ended follows: MigrationUndone, or another one.

    Attributes:
        reason: Why nobody could undo it, whose `unmigrate` failed, or who has not said yet that it is done.
    """

    reason: str
