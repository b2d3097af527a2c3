"""The messages between supervisor and worker, on one screen; those about the lives of plugins are beside it.

All carry a `Stamp` and are fenced by it before anything else (`epoch.fence`). Messages of the
supervisor carry `seq`, the place in its broadcast order: a worker that sees a gap asks again.
"""

import enum

import msgspec

from changeover.workers.protocol import plugin_messages as plugins
from changeover.workers.protocol.counted import Counts
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.message import FromSupervisor, FromWorker
from changeover.workers.protocol.observed import Repeated
from changeover.workers.protocol.refusal import Refusal
from changeover.workers.protocol.registry import PipelineEntry, Registry
from changeover.workers.protocol.snapshot import Snapshot, UnitKey

PROTOCOL_VERSION = 1
"""Raised whenever a message changes its meaning; a worker of another version is refused at Hello. A message of a new
kind raises nothing: an end that does not know it counts it as malformed, so nothing that matters may depend on it."""


UNORDERED = 0
"""The `seq` of what is told to one worker beside the broadcasts, which count from 1."""


class Phase(enum.Enum):
    """Where the supervisor's cutover stands, told with every heartbeat."""

    IDLE = "idle"
    PREPARING = "preparing"
    DECIDING = "deciding"
    COMMITTED = "committed"
    ABORTING = "aborting"


class Welcome(FromSupervisor, frozen=True):
    """Answer to a worker's Hello: all it needs to join. `stamp.epoch` is the committed epoch.

    Attributes:
        phase: Where the cutover stands.
        current: The committed generation.
        candidate: The one that is being prepared.
        decided: Every number up to this one has its decision: what else a worker holds of them was aborted.
        successors: As in Prepare and Commit.
        away: As in Pulse.
    """

    phase: Phase
    current: Snapshot | None
    candidate: Snapshot | None
    decided: int = 0
    successors: tuple[WorkerId, ...] = ()
    away: float = 0.0


class Pulse(FromSupervisor, frozen=True):
    """The supervisor's heartbeat. `stamp.epoch` is the committed epoch, in several parts the highest.

    Attributes:
        phase: Where the cutover stands.
        parts: The committed epoch of each part, as the commit cell has them; empty when there is only one.
        away: It may fall silent for so many seconds without being dead, because another program takes its place.
    """

    phase: Phase
    parts: tuple[int, ...] = ()
    away: float = 0.0


class Prepare(FromSupervisor, frozen=True):
    """Build `candidate` beside what serves, or, when a roll replaces the worker by it, agree to hand over.

    Answered by Prepared or Refused within `deadline` seconds.

    Attributes:
        candidate: What is to be served.
        deadline: Seconds.
        successors: Workers that take over from those that are replaced.
    """

    candidate: Snapshot
    deadline: float
    successors: tuple[WorkerId, ...] = ()


class Commit(FromSupervisor, frozen=True):
    """`stamp.epoch` is committed; wakes idle workers. The commit cell said so already.

    Attributes:
        successors: Workers that take over from those that are replaced; whoever is replaced hands over to them.
    """

    successors: tuple[WorkerId, ...] = ()


class HandOver(FromSupervisor, frozen=True):
    """Dispatch nothing any more, hand connections over to `successors`, and leave. `stamp.epoch` is what serves on."""

    successors: tuple[WorkerId, ...]


class Abort(FromSupervisor, frozen=True):
    """`stamp.epoch` was not committed and never will be: discard it."""

    reason: str


class Retire(FromSupervisor, frozen=True):
    """Every worker has drained `units`: release them, answer Retired."""

    units: tuple[UnitKey, ...]


class AskRegistry(FromSupervisor, frozen=True):
    """Answer with `TellRegistry` out of one read."""

    ticket: int


class AskLeases(FromSupervisor, frozen=True):
    """Answer with `TellLeases`."""

    ticket: int


class AskPipelines(FromSupervisor, frozen=True):
    """Answer with `TellPipelines` out of one read."""

    ticket: int


class Hello(FromWorker, frozen=True):
    """A worker introduces itself, and again whenever it lost the thread. `stamp.epoch` is what it serves.

    Attributes:
        protocol: Its `PROTOCOL_VERSION`.
        nonce: Given by the supervisor when the worker was forked: proves who forked it.
        pid: For people; identity is `worker`.
        prepared: The candidate it holds prepared, or has agreed to hand over to.
        resident: Units that it holds, serving or draining.
        rolled: What it can serve: snapshots with the same `rolled`.
        migrates: Plugins of what it holds prepared that migrate something, by id.
    """

    protocol: int
    nonce: str
    pid: int
    prepared: int | None = None
    resident: tuple[UnitKey, ...] = ()
    rolled: int = 0
    migrates: tuple[str, ...] = ()


class Prepared(FromWorker, frozen=True):
    """`stamp.epoch` is built and can be served from the next request on.

    Of a worker that a roll replaces by `stamp.epoch`: it can hand over to the successors that it was told, and one
    of them has the state of its plugins.

    Attributes:
        took: Seconds.
        migrates: Plugins of the candidate that migrate something once per cutover, by id.
    """

    took: float = 0.0
    migrates: tuple[str, ...] = ()


class Refused(FromWorker, frozen=True):
    """`stamp.epoch` could not be built; nothing changed."""

    refusal: Refusal


class Activated(FromWorker, frozen=True):
    """Every request dispatched from now on is of `stamp.epoch`.

    Attributes:
        at: When the pointer changed, CLOCK_MONOTONIC in nanoseconds.
        draining: Units that the new generation lacks and that are still resident.
    """

    at: int = 0
    draining: tuple[UnitKey, ...] = ()


class Yielding(FromWorker, frozen=True):
    """The worker dispatches nothing any more and hands over; it leaves when nothing is left. Said again when asked."""


class Drained(FromWorker, frozen=True):
    """No lease holds `units` any more, and none can."""

    units: tuple[UnitKey, ...]


class Retired(FromWorker, frozen=True):
    """`units` are released."""

    units: tuple[UnitKey, ...]


class Degraded(FromWorker, frozen=True):
    """A hook that cannot refuse failed (`on_activate`, `on_deactivate`, `on_unload`): the epoch stays."""

    refusal: Refusal


class OwedResponse(msgspec.Struct, frozen=True):
    """The request that is longest without a response.

    Attributes:
        path: What it asks for.
        epoch: The generation that it holds.
        age: Seconds since it was dispatched, or got what it had to wait for: a thread, or more of its body.
        awaits: Where its task stands, from the outermost call to what it waits for; empty for a young request.
    """

    path: str
    epoch: int
    age: float
    awaits: tuple[str, ...] = ()


class Beat(FromWorker, frozen=True):
    """The worker's heartbeat, sent by its loop. `stamp.epoch` is what it serves.

    Attributes:
        seq: The last broadcast it saw.
        prepared: The candidate it holds prepared, or has agreed to hand over to.
        leases: Epoch -> leases held on it.
        connections: Open client connections.
        requests: Requests answered since the worker started.
        rss: Resident memory, bytes.
        owed: The request that is longest without a response, None when there is none; streams, WebSockets and what
            goes on after a response are none.
        left_behind: How many threads hang in code that was to be loaded or unloaded: they missed their deadline.
        leaked: How many copies of units were released and are not gone.
        leads: Whether the exclusive work of plugins runs in this worker.
        migrates: Plugins of what it holds prepared that migrate something, by id.
    """

    seq: int
    prepared: int | None = None
    leases: dict[int, int] = msgspec.field(default_factory=dict)
    connections: int = 0
    requests: int = 0
    rss: int = 0
    owed: OwedResponse | None = None
    left_behind: int = 0
    leaked: int = 0
    leads: bool = False
    migrates: tuple[str, ...] = ()


class TellRegistry(FromWorker, frozen=True):
    """Answer to AskRegistry: epoch and registry out of one read."""

    ticket: int
    registry: Registry


class LeaseView(msgspec.Struct, frozen=True):
    """One lease, as people see it: who holds what, since when.

    Attributes:
        kind: What holds it: `http`, `stream`, `websocket`, `task`.
        epoch: The generation that it holds.
        path: What it serves.
        age: Seconds since it was taken.
    """

    kind: str
    epoch: int
    path: str
    age: float


class LeasesEnded(FromWorker, frozen=True):
    """The residency bound was passed: the oldest leases were asked to end. `stamp.epoch` is what passed it.

    Attributes:
        bound: Most resident copies of a unit.
        ended: Leases whose holder was cancelled, oldest first.
        stuck: Leases that cannot be ended: of threads, and of what waits in a pool of threads.
    """

    bound: int
    ended: tuple[LeaseView, ...]
    stuck: tuple[LeaseView, ...] = ()


class Farewell(enum.Enum):
    """Why a connection of a worker that leaves, or what is under way on it, ends there."""

    OVERDUE = "overdue"
    """A request or a stream outlived its drain deadline."""
    UNTAKEN = "untaken"
    """No successor took it in time."""
    FIXED = "fixed"
    """Connections of its kind cannot go on in another process."""


class FarewellsSaid(FromWorker, frozen=True):
    """A worker that leaves ended what it could not hand over, and said so to the clients.

    Attributes:
        kind: The class: `http`, `stream`, `websocket`, `task`.
        why: Why.
        count: How many since the last message of this class and reason.
        oldest: Age of the oldest of them: since its request began, since it waited to be taken, or since it was opened.
    """

    kind: str
    why: Farewell
    count: int
    oldest: float


class TellLeases(FromWorker, frozen=True):
    """Answer to AskLeases."""

    ticket: int
    leases: tuple[LeaseView, ...]


class TellPipelines(FromWorker, frozen=True):
    """Answer to AskPipelines: the pipelines that requests pass now, with their epoch, and what was counted.

    Attributes:
        epoch: What serves.
        pipelines: In build order.
        counts: Since the worker started, of whatever epoch.
    """

    ticket: int
    epoch: int
    pipelines: tuple[PipelineEntry, ...]
    counts: Counts


class Counted(FromWorker, frozen=True):
    """What the worker has counted since it started; sent every few seconds and before it leaves, each one whole."""

    counts: Counts


class PipelineEventsTold(FromWorker, frozen=True):
    """What happened in pipelines, each kind of thing once in a while with how often it did."""

    events: tuple[Repeated, ...]


SupervisorMessage = (
    Welcome
    | Pulse
    | Prepare
    | Commit
    | Abort
    | HandOver
    | Retire
    | AskRegistry
    | AskLeases
    | AskPipelines
    | plugins.Migrate
    | plugins.Unmigrate
    | plugins.AskPlugins
    | plugins.AskLeaks
)  # fmt: skip
WorkerMessage = (
    Hello
    | Prepared
    | Refused
    | Activated
    | Yielding
    | Drained
    | Retired
    | Degraded
    | Beat
    | LeasesEnded
    | FarewellsSaid
    | TellRegistry
    | TellLeases
    | TellPipelines
    | Counted
    | PipelineEventsTold
    | plugins.Migrated
    | plugins.Unmigrated
    | plugins.Proved
    | plugins.HookStalled
    | plugins.StateNotTaken
    | plugins.PluginsMoved
    | plugins.TellLeaks
    | plugins.TellPlugins
)
