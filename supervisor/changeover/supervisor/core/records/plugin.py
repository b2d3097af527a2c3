"""What operators hear of the lives of plugins in workers."""

from changeover.supervisor.core.records.record import WorkerRecord
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
