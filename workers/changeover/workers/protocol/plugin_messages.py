"""What supervisor and worker say of the lives of plugins: state that is migrated, hooks, leaks."""

import msgspec

from changeover.workers.protocol.message import FromSupervisor, FromWorker
from changeover.workers.protocol.snapshot import UnitKey

MOST_STATE = 64 * 2**20
"""Bytes of one plugin's state that go over from one content to the next, in a worker or from worker to worker."""


class Migrate(FromSupervisor, frozen=True):
    """Everybody has prepared `stamp.epoch`: run the `migrate` of its plugins, here alone. Answered by Migrated."""


class Unmigrate(FromSupervisor, frozen=True):
    """`stamp.epoch` is to be aborted after Migrate was sent: undo it, here alone. Answered by Unmigrated."""


class AskLeaks(FromSupervisor, frozen=True):
    """Answer with `TellLeaks`."""

    ticket: int


class AskPlugins(FromSupervisor, frozen=True):
    """Answer with `TellPlugins` out of one read."""

    ticket: int


class Migrated(FromWorker, frozen=True):
    """Every `migrate` of `stamp.epoch` returned; what fails is Refused.

    Attributes:
        took: Seconds.
    """

    took: float = 0.0


class Unmigrated(FromWorker, frozen=True):
    """What Migrate did for `stamp.epoch` is undone, as far as `unmigrate` could.

    Attributes:
        failed: Which plugins could not undo it, and why.
    """

    failed: tuple[str, ...] = ()


class LeakView(msgspec.Struct, frozen=True):
    """Something of a released unit that is not gone, as people see it.

    Attributes:
        unit: The unit, as its key reads: which of its copies it is.
        what: What is alive, by kind and name.
        chain: What holds it, each held by the one before, from a root on; empty where none was found.
    """

    unit: str
    what: str
    chain: tuple[str, ...] = ()


class Proved(FromWorker, frozen=True):
    """Released units were looked for after a collection.

    Attributes:
        units: What was released since the collection before.
        pause: Seconds that the loop stood still for the collection.
        leaks: What is still there of them; empty when everything is gone.
    """

    units: tuple[UnitKey, ...]
    pause: float
    leaks: tuple[LeakView, ...] = ()


class HookStalled(FromWorker, frozen=True):
    """A hook kept the loop from running.

    Attributes:
        unit: The unit, as its `UnitRef` reads.
        hook: The hook's name.
        seconds: For how long.
    """

    unit: str
    hook: str
    seconds: float


class StateNotTaken(FromWorker, frozen=True):
    """A plugin of the candidate begins without the state of the content that serves.

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


class PluginMove(msgspec.Struct, frozen=True):
    """A plugin instance came further in its lifecycle.

    Attributes:
        key: Which instance.
        state: Where it stands now, as the lifecycle names it.
    """

    key: UnitKey
    state: str


class PluginsMoved(FromWorker, frozen=True):
    """Plugin instances came further in their lifecycles, in this order."""

    moves: tuple[PluginMove, ...]


class TellLeaks(FromWorker, frozen=True):
    """Answer to AskLeaks.

    Attributes:
        leaks: What was released and is not gone, as the latest collection showed.
        resident: Unit, as its `UnitRef` reads -> copies that are alive, the serving one included.
        unnamed: Further copies that are not gone, too many to be told by name.
    """

    ticket: int
    leaks: tuple[LeakView, ...]
    resident: dict[str, int]
    unnamed: int = 0


class PluginEntry(msgspec.Struct, frozen=True):
    """A plugin instance in a worker.

    Attributes:
        key: Which one.
        state: Where it stands, as the lifecycle names it.
        loaded_at: When it was loaded, in seconds since 1970.
        leads: Whether its exclusive work runs there.
    """

    key: UnitKey
    state: str
    loaded_at: float
    leads: bool = False


class TellPlugins(FromWorker, frozen=True):
    """Answer to AskPlugins: every plugin instance that is resident, in build order."""

    ticket: int
    plugins: tuple[PluginEntry, ...]
