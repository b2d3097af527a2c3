"""The immutable views with which a running supervisor answers its operators.

Views are made out of one read each, so that an epoch and what is said of it belong together (`registry before epoch`).
Wall clock times are seconds since 1970; ages and durations are seconds.
"""

import enum

import msgspec

from changeover.supervisor.core.entries import Origin, SlotRefusal
from changeover.supervisor.core.events import Urgency
from changeover.supervisor.draining import DrainingPlugin
from changeover.supervisor.pipelines import PipelineLine
from changeover.supervisor.telemetry.counts import Counts
from changeover.supervisor.upgrade.refused import RefusedUpgrade
from changeover.workers.protocol.messages import Phase
from changeover.workers.protocol.registry import Registry
from changeover.workers.protocol.snapshot import OWN, Interpreter, Route


class Milestone(enum.Enum):
    """How far a cutover has come, in this order; what `--until` waits for."""

    ACTIVE = "active"
    """Every worker serves the epoch."""
    DRAINED = "drained"
    """No request is left on what the epoch replaced."""
    RETIRED = "retired"
    """What the epoch replaced is released everywhere."""


class SlotState(enum.Enum):
    """What a slot does, as people see it."""

    STARTING = "starting"
    """Its worker was forked and serves nothing yet."""
    SERVING = "serving"
    STANDBY = "standby"
    """Its worker comes of a roll that is not committed: it prepares, or waits for those whom it replaces."""
    YIELDING = "handing over"
    """Its worker was replaced: it begins no request, and passes its connections on."""
    STOPPING = "stopping"
    """Its worker accepts nothing more and is on its way out."""
    BACKOFF = "backoff"
    """Its worker exited; the next one comes after a pause."""
    PARKED = "parked"
    """Its workers exited again and again; `note` says why."""

    @property
    def leaves(self) -> bool:
        """Whether its worker lives for what it has begun, and for nothing else."""
        return self in (SlotState.YIELDING, SlotState.STOPPING)


class ZygoteState(enum.Enum):
    """What a zygote does, as people see it."""

    STARTING = "starting"
    """It preloads, or is taken over."""
    READY = "ready"
    """It forks workers."""
    BACKOFF = "backoff"
    """It is gone; the next one comes after a pause."""
    KEPT = "kept"
    """A roll replaced it: it is there for the way back, for a while."""
    STOPPING = "stopping"


class PluginState(enum.Enum):
    """How a plugin of the committed generation fares."""

    ACTIVE = "active"
    DEGRADED = "degraded"
    """A hook that cannot refuse failed; `note` says which."""
    ABSENT = "absent"
    """No worker serves it, as none serves anything."""


class JournalState(enum.Enum):
    """Whether decisions can be written."""

    SOUND = "sound"
    IN_DOUBT = "in doubt"
    """A decision may or may not be on disk: no other is made until that is known."""
    UNWRITABLE = "unwritable"
    """Cutovers are refused; supervision goes on."""


class EpochState(enum.Enum):
    """What became of an epoch."""

    UNDECIDED = "undecided"
    ABORTED = "aborted"
    SERVING = "serving"
    """Committed, and authoritative now."""
    DRAINING = "draining"
    """Committed, superseded, and something of it is still in use or not yet released."""
    RETIRED = "retired"
    """Committed, superseded and released everywhere."""


class SlotView(msgspec.Struct, frozen=True):
    """One slot and the worker in it.

    Attributes:
        slot: The numbered place, from 0.
        state: What it does.
        note: Why, where the state alone does not say (`5 exits in 60 s (SIGSEGV); next try in 30 s`).
        pid: Of its worker, 0 without one.
        incarnation: Of its worker, 0 without one.
        cohort: Of its worker, 0 without one.
        epoch: What it serves, 0 before its first generation.
        prepared: The candidate it holds prepared.
        started: When its worker was forked, wall clock; 0 without one.
        leases: Epoch -> leases held on it, from the last heartbeat.
        connections: Open client connections, from the last heartbeat.
        requests: Requests answered since the worker started, from the last heartbeat.
        rss: Resident memory in bytes, from the last heartbeat.
        leaked: Copies of units that were released and are not gone, from the last heartbeat.
        leads: Whether the exclusive work of plugins runs in its worker, from the last heartbeat.
    """

    slot: int
    state: SlotState
    note: str = ""
    pid: int = 0
    incarnation: int = 0
    cohort: int = 0
    epoch: int = 0
    prepared: int | None = None
    started: float = 0.0
    leases: dict[int, int] = {}
    connections: int = 0
    requests: int = 0
    rss: int = 0
    leaked: int = 0
    leads: bool = False


class ZygoteView(msgspec.Struct, frozen=True):
    """One process that forks workers, or is kept to do so again.

    Attributes:
        cohort: Its number, which its process title has, too.
        state: What it does.
        epoch: The epoch whose roll made the workers that it forks.
        until: How long it is kept, wall clock; 0 where it is not.
    """

    cohort: int
    state: ZygoteState
    epoch: int = 0
    until: float = 0.0


class PluginView(msgspec.Struct, frozen=True):
    """One plugin of the committed generation.

    Attributes:
        id: Its name.
        version: From its manifest.
        since: The epoch that introduced this instance.
        state: How it fares.
        note: What failed, when it is degraded.
    """

    id: str
    version: str
    since: int
    state: PluginState = PluginState.ACTIVE
    note: str = ""


class HistoryLine(msgspec.Struct, frozen=True):
    """One epoch in the journal.

    Attributes:
        epoch: Its number.
        state: What became of it.
        given: When it was given, wall clock.
        decided: When it was committed or aborted, wall clock; None while undecided.
        origin: Who asked for it, and why.
        summary: What it changes (`pricing 1.4.0 -> 1.5.0`).
        reason: Why it was aborted, empty otherwise.
        restores: The epoch whose content a rollback brought back.
        part: Which part of a roll it is (`part 2 of 4`); empty for a cutover of all workers.
    """

    epoch: int
    state: EpochState
    given: float
    decided: float | None
    origin: Origin
    summary: tuple[str, ...] = ()
    reason: str = ""
    restores: int | None = None
    part: str = ""


class UnitLine(msgspec.Struct, frozen=True):
    """One unit of an epoch, as people see it.

    Attributes:
        unit: Kind and name (`plugin pricing`).
        version: Of a plugin, empty otherwise.
        digest: SHA-256, hexadecimal.
        since: The epoch that introduced this instance.
        handlers: Of a pipeline, in request order.
        edited: Whether it is a pipeline that was edited, and not as its file said.
        artifact: Of a plugin, what its files are called in the artifact store, the folder `artifacts` of the state
            directory; empty otherwise.
    """

    unit: str
    version: str
    digest: str
    since: int
    handlers: tuple[str, ...] = ()
    edited: bool = False
    artifact: str = ""


class Explanation(msgspec.Struct, frozen=True):
    """All that is known of one epoch.

    Attributes:
        line: Its line in the history.
        refusals: Every worker's "no", with its traceback.
        units: What it consists of.
        routes: What leads to its pipelines.
        listen: Addresses that it is served at, as they are configured.
        ended: Leases on it that the residency bound asked to end since the supervisor started, in words.
        again: Whether its content is tried again without being asked for, in words; empty where that is no question.
    """

    line: HistoryLine
    refusals: tuple[SlotRefusal, ...] = ()
    units: tuple[UnitLine, ...] = ()
    routes: tuple[Route, ...] = ()
    listen: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()
    again: str = ""


class RegistryView(msgspec.Struct, frozen=True):
    """What one worker publishes about the generation it serves; `registry.epoch` is out of the same read."""

    slot: int
    pid: int
    incarnation: int
    registry: Registry


class QuarantineView(msgspec.Struct, frozen=True):
    """Content that was refused, and that watching and schedule skip until it changes.

    Attributes:
        content: The plugins that are to blame (`prices 1.6.0`), or the epoch when none is.
        epoch: The number under which it was refused.
        refused: When, wall clock; 0 when that is not known.
        requires: What it requires and was refused for (`geo 1.0.0`); empty when it was refused for itself.
    """

    content: str
    epoch: int
    refused: float = 0.0
    requires: str = ""


class RefusedRequest(msgspec.Struct, frozen=True):
    """A request for a cutover that was refused before it had a number.

    Attributes:
        at: When, wall clock.
        origin: Who asked.
        reason: Why.
    """

    at: float
    origin: Origin
    reason: str


class StatusView(msgspec.Struct, frozen=True):
    """How the whole server fares, out of one read.

    Attributes:
        name: The service's name.
        version: Of changeover.
        pid: Of the supervisor.
        term: Its incarnation.
        started: When it started, wall clock.
        phase: Where its cutover stands.
        epoch: The committed epoch, 0 before the first.
        candidate: The epoch that is being prepared.
        serving: The committed epoch's line in the history, None before the first commit.
        listen: Addresses as people see them.
        leaving: Addresses that were removed, and are accepted on until nobody comes there any more.
        slots: Every slot, in order.
        zygotes: Every process that forks workers, in order.
        interpreter: What executes the workers of the committed generation.
        plugins: Every plugin of the committed generation.
        draining: What was replaced or removed of plugins and is not gone, the oldest first.
        refused: The last refused epoch, until a later one is committed.
        refused_request: What was asked for last and refused before it had a number (a configuration that cannot be
            read), until a request gets further.
        journal: Whether decisions can be written.
        held: What was rolled back or removed (`prices 1.1.0`) and stays away until it is changed or forced.
        edited: Pipelines that were edited, and serve not as their files say.
        resident: How many generations some worker still has something of, the one that serves included.
        automatic: When changes are taken without being asked for (`on-change`, `every 60s`); empty for never.
        quarantine: What was refused and is not tried again so.
        stopping: How the server is being stopped, None while it is not.
        parted: The epoch that the parts of a roll serve while all others serve `epoch`; null otherwise.
        part: How far that came (`part 2 of 4`).
        alarms: What needs somebody's attention, in words; empty is well.
        counts: Totals.
        pipelines: Every pipeline of the committed generation, with what workers reported last.
        fell_back: Why the last upgrade of the supervisor failed, and the program before it runs again; empty otherwise.
        refused_upgrade: The last upgrade of the supervisor that was refused, until one takes place.
        cutover: Where its cutover stands, step by step (`preflighting`, `preparing`); `idle` while none runs.
    """

    name: str
    version: str
    pid: int
    term: int
    started: float
    phase: Phase
    epoch: int
    candidate: int | None
    serving: HistoryLine | None
    listen: tuple[str, ...]
    slots: tuple[SlotView, ...]
    zygotes: tuple[ZygoteView, ...] = ()
    interpreter: Interpreter = OWN
    plugins: tuple[PluginView, ...] = ()
    draining: tuple[DrainingPlugin, ...] = ()
    refused: HistoryLine | None = None
    journal: JournalState = JournalState.SOUND
    held: tuple[str, ...] = ()
    edited: tuple[str, ...] = ()
    resident: int = 0
    automatic: tuple[str, ...] = ()
    quarantine: tuple[QuarantineView, ...] = ()
    leaving: tuple[str, ...] = ()
    stopping: Urgency | None = None
    parted: int | None = None
    part: str = ""
    alarms: tuple[str, ...] = ()
    counts: Counts = Counts()
    pipelines: tuple[PipelineLine, ...] = ()
    fell_back: str = ""
    refused_upgrade: RefusedUpgrade | None = None
    refused_request: RefusedRequest | None = None
    cutover: str = "idle"

    @property
    def staff(self) -> tuple[SlotView, ...]:
        """The slots that serve, or are to: not those of a roll under way, nor those that are on their way out."""
        passing = (SlotState.STANDBY, SlotState.YIELDING, SlotState.STOPPING)
        return tuple(slot for slot in self.slots if slot.state not in passing)
