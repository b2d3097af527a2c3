"""Everything that can happen to a worker's machine: its only inputs, beside the time."""

import enum

import msgspec

from changeover.workers.protocol.counted import Counts
from changeover.workers.protocol.messages import Farewell, LeaseView, OwedResponse, SupervisorMessage
from changeover.workers.protocol.observed import Repeated
from changeover.workers.protocol.plugin_messages import LeakView, PluginMove
from changeover.workers.protocol.refusal import Refusal
from changeover.workers.protocol.snapshot import UnitKey


class Timer(enum.Enum):
    """What a timer is for: setting one again moves it."""

    HELLO = "hello"
    """An unanswered Hello is repeated."""
    SILENCE = "silence"
    """The supervisor was not heard for too long."""
    ORPHAN = "orphan"
    """The supervisor has been away for too long."""


class Event(msgspec.Struct, frozen=True):
    """Something that happened."""


class LinkUp(Event, frozen=True):
    """The worker's sockets exist and its subscriptions were sent; the first event."""


class Received(Event, frozen=True):
    """A message of the supervisor's, decoded and not fenced."""

    message: SupervisorMessage


class Built(Event, frozen=True):
    """The answer to `Build`: the generation is ready aside, and nothing serves it.

    Attributes:
        epoch: Its epoch.
        took: Seconds.
        migrates: Its plugins that migrate something once per cutover, by id.
    """

    epoch: int
    took: float = 0.0
    migrates: tuple[str, ...] = ()


class BuildFailed(Event, frozen=True):
    """The other answer to `Build`: nothing is left of the attempt."""

    epoch: int
    refusal: Refusal


class Migrated(Event, frozen=True):
    """The answer to `Migrate`: every hook returned; `took` seconds."""

    epoch: int
    took: float = 0.0


class MigrateFailed(Event, frozen=True):
    """The other answer to `Migrate`: what was begun is not undone yet."""

    epoch: int
    refusal: Refusal


class Unmigrated(Event, frozen=True):
    """The answer to `Unmigrate`: every hook returned, or its failure was reported.

    Attributes:
        failed: What failed, one line for each.
    """

    epoch: int
    failed: tuple[str, ...] = ()


class Activated(Event, frozen=True):
    """The switch's pointer changed: asked by `Activate`, or because a dispatch found the cell's new value first.

    Attributes:
        epoch: What every request dispatched from now on belongs to.
        at: When, CLOCK_MONOTONIC in nanoseconds.
    """

    epoch: int
    at: int = 0


class Connected(Event, frozen=True):
    """The answer to `Connect`: connections can be handed over, and the state of plugins was."""

    epoch: int


class ConnectFailed(Event, frozen=True):
    """The other answer to `Connect`: a successor could not be reached, or did not take the state of plugins."""

    epoch: int
    refusal: Refusal


class UnitsDrained(Event, frozen=True):
    """No lease holds `units` and none can; told once for each."""

    units: tuple[UnitKey, ...]


class UnitsReleased(Event, frozen=True):
    """The answer to `Release`: the units are gone, or reported."""

    units: tuple[UnitKey, ...]


class HookFailed(Event, frozen=True):
    """A hook that cannot refuse failed (`on_activate`, `on_deactivate`, `on_unload`)."""

    refusal: Refusal


class HookStalled(Event, frozen=True):
    """A hook kept the loop from running.

    Attributes:
        unit: The unit, as its `UnitRef` reads.
        hook: The hook's name.
        seconds: For how long, at one stretch.
    """

    unit: str
    hook: str
    seconds: float


class StateNotTaken(Event, frozen=True):
    """A plugin begins without the state of what serves.

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


class PluginsMoved(Event, frozen=True):
    """Plugin instances came further in their lifecycles, in this order."""

    moves: tuple[PluginMove, ...]


class Proved(Event, frozen=True):
    """Released units were looked for after a collection.

    Attributes:
        units: What was released since the collection before.
        pause: Seconds that the loop stood still for it.
        leaks: What is left of them; empty when everything is gone.
    """

    units: tuple[UnitKey, ...]
    pause: float
    leaks: tuple[LeakView, ...] = ()


class FarewellsSaid(Event, frozen=True):
    """The worker leaves, and ended what it could not hand over.

    Attributes:
        kind: The class.
        why: Why.
        count: How many.
        oldest: Age of the oldest of them, seconds.
    """

    kind: str
    why: Farewell
    count: int
    oldest: float


class LeasesEnded(Event, frozen=True):
    """The residency bound was passed, and the oldest leases were asked to end.

    Attributes:
        bound: Most resident copies of a unit.
        ended: Leases whose holder was cancelled, oldest first.
        stuck: Leases that cannot be ended.
    """

    bound: int
    ended: tuple[LeaseView, ...]
    stuck: tuple[LeaseView, ...]


class Stranded(Event, frozen=True):
    """A dispatch found the commit cell at `epoch`, which is neither served nor prepared here; told once per epoch."""

    epoch: int


class BeatDue(Event, frozen=True):
    """It is time for a heartbeat, which the loop itself sends; the shell counts what goes into it.

    Attributes:
        leases: Epoch -> leases held on it.
        connections: Open client connections.
        requests: Requests answered since the worker started.
        rss: Resident memory, bytes.
        owed: The request that is longest without a response.
        left_behind: How many threads hang in code that was to be loaded or unloaded.
        leaked: How many copies of units were released and are not gone.
        leads: Whether the exclusive work of plugins runs here.
    """

    leases: dict[int, int] = {}
    connections: int = 0
    requests: int = 0
    rss: int = 0
    owed: OwedResponse | None = None
    left_behind: int = 0
    leaked: int = 0
    leads: bool = False


class CountsDue(Event, frozen=True):
    """It is time to report what was counted."""

    counts: Counts


class PipelineEventsDue(Event, frozen=True):
    """It is time to report what happened in pipelines."""

    events: tuple[Repeated, ...]


class TimerFired(Event, frozen=True):
    """A timer that was set, and neither moved nor cancelled since, is due."""

    timer: Timer
