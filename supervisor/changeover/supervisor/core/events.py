"""Everything that can happen to the supervisor's machine: its only inputs, beside the time.

Tickets are numbers that tie an answer to a question: those of `Persist` are made by the core,
those of requests by the driver (unique while the supervisor lives).
"""

import enum

import msgspec

from changeover.supervisor.core.entries import Decision, Origin, Recovered, SlotRefusal
from changeover.supervisor.core.outcome import CutoverRequest, ScanResult
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.messages import WorkerMessage
from changeover.workers.protocol.refusal import Refusal


class TimerKind(enum.Enum):
    """What a timer is for."""

    HEARTBEAT = "heartbeat"
    REPEAT = "repeat"
    PERSIST = "persist"
    """Subject: ticket."""
    REREAD = "reread"
    """Subject: epoch."""
    REWRITE = "rewrite"
    """Entries that are no decisions and could not be written are written again."""
    SCAN = "scan"
    """Subject: epoch, as for the next three."""
    PREFLIGHT = "preflight"
    PREPARE = "prepare"
    ACTIVATE = "activate"
    CHILD = "child"
    """Subject: slot."""
    ZYGOTE = "zygote"
    """Subject: cohort."""
    ADOPTION = "adoption"
    SHUTDOWN = "shutdown"
    UPGRADE = "upgrade"


class Timer(msgspec.Struct, frozen=True):
    """A timer by name: setting it again moves it, cancelling one that is not set does nothing."""

    kind: TimerKind
    subject: int = 0


class Urgency(enum.Enum):
    """How a stop treats what is under way."""

    GRACEFUL = "graceful"
    QUICK = "quick"


class Child(msgspec.Struct, frozen=True):
    """A living worker that a zygote, or its socket in the runtime directory, tells of.

    Attributes:
        worker: Cohort, slot and incarnation.
        pid: For people.
        rolled: The epoch whose roll made it.
        age: Seconds since it was born; 0 where nobody can tell.
    """

    worker: WorkerId
    pid: int
    rolled: int = 0
    age: float = 0.0


class ZygoteFound(msgspec.Struct, frozen=True):
    """A zygote of a former supervisor that may still live.

    Attributes:
        cohort: Its cohort.
        rolled: The epoch whose roll made it.
        imported: The record of what was installed when it imported the application; empty where it did not, or nobody
            knows.
    """

    cohort: int
    rolled: int
    imported: str = ""


class Event(msgspec.Struct, frozen=True):
    """Something that happened."""


class Booted(Event, frozen=True):
    """The first event, once.

    Attributes:
        recovered: What the journal says.
        slots: How many workers are wanted.
        secret: What nonces are derived from; kept beside the sockets, so that a successor knows its workers.
        cohort: The highest cohort that ever was in this runtime directory; 0 when none.
        zygotes: Those that may still live: they are adopted.
        living: Workers that are known to live; those of the zygotes that are adopted may be left to them to tell.
        listen: What is listened on; empty for what the committed generation says.
    """

    recovered: Recovered
    slots: int
    secret: str
    cohort: int = 0
    zygotes: tuple[ZygoteFound, ...] = ()
    living: tuple[Child, ...] = ()
    listen: tuple[str, ...] = ()


class Persisted(Event, frozen=True):
    """The entry of `Persist(ticket)` is durable."""

    ticket: int


class PersistFailed(Event, frozen=True):
    """The entry of `Persist(ticket)` may or may not be durable."""

    ticket: int
    reason: str


class Reread(Event, frozen=True):
    """What a fresh connection to the journal says of an epoch: its decision, or None for no decision."""

    epoch: int
    decision: Decision | None


class RereadFailed(Event, frozen=True):
    """A fresh connection could not be had or read."""

    epoch: int
    reason: str


class TimerFired(Event, frozen=True):
    """A timer that was set, and neither moved nor cancelled since, is due."""

    timer: Timer


class Subscribed(Event, frozen=True):
    """A worker's subscription to its own topic was seen: it can be told things from here on."""

    worker: WorkerId


class Received(Event, frozen=True):
    """A worker's message, decoded and neither fenced nor checked."""

    message: WorkerMessage


class Bound(Event, frozen=True):
    """The answer to `Bind(epoch)`: whoever comes to its addresses waits there."""

    epoch: int


class BindRefused(Event, frozen=True):
    """Another answer to `Bind(epoch)`: one of its addresses cannot be had, and none of them is bound."""

    epoch: int
    refusal: Refusal


class ZygoteReady(Event, frozen=True):
    """A cohort's zygote has preloaded and takes orders; `children` live.

    Attributes:
        cohort: Its cohort.
        children: Workers that it has already.
        threads: Modules that started threads when they were preloaded: its workers import after the fork.
    """

    cohort: int
    children: tuple[Child, ...] = ()
    threads: tuple[str, ...] = ()


class ZygoteLost(Event, frozen=True):
    """A zygote is gone, could not be started or adopted, or was stopped as ordered.

    Attributes:
        cohort: Its cohort.
        reason: For people.
        refusal: Why preloading failed, where that is the cause.
    """

    cohort: int
    reason: str
    refusal: Refusal | None = None


class WorkerForked(Event, frozen=True):
    """The worker ordered by `Fork` lives, and its death will be told."""

    worker: WorkerId
    pid: int


class ForkFailed(Event, frozen=True):
    """The worker ordered by `Fork` does not exist and never will."""

    worker: WorkerId
    reason: str


class WorkerExited(Event, frozen=True):
    """A worker is confirmed dead: its pidfd is readable.

    Attributes:
        worker: Which.
        status: Exit status, negative for a signal's number; None when nobody could read it.
    """

    worker: WorkerId
    status: int | None


class StacksDumped(Event, frozen=True):
    """The answer to `DumpStacks`. One that died may have left a reason there instead.

    Attributes:
        worker: Who could not speak.
        stacks: All its stacks; empty when there were none to have.
        refusal: Its reason.
        missing: Why there were none to have.
    """

    worker: WorkerId
    stacks: str
    refusal: Refusal | None = None
    missing: str = ""


class CutoverRequested(Event, frozen=True):
    """Somebody wants something else served; answered by `Resolve(ticket)`."""

    ticket: int
    request: CutoverRequest


class Scanned(Event, frozen=True):
    """The answer to `Scan(epoch)`."""

    epoch: int
    result: ScanResult


class PreflightPassed(Event, frozen=True):
    """The candidate's rehearsal went well.

    Attributes:
        epoch: The candidate's.
        modules: How many modules of plugins were loaded.
        tests_passed: How many self-tests passed.
        tests: How many there are.
        warnings: What is amiss and refuses nothing, a line each.
    """

    epoch: int
    modules: int = 0
    tests_passed: int = 0
    tests: int = 0
    warnings: tuple[str, ...] = ()


class PreflightSkipped(Event, frozen=True):
    """Nobody can rehearse the candidate, and that will not change as long as what serves does."""

    epoch: int
    why: str


class PreflightRefused(Event, frozen=True):
    """The candidate's rehearsal did not go well."""

    epoch: int
    refusals: tuple[SlotRefusal, ...]


class Question(enum.Enum):
    """What a worker can be asked."""

    REGISTRY = "registry"
    LEASES = "leases"
    LEAKS = "leaks"
    PIPELINES = "pipelines"
    PLUGINS = "plugins"


class Asked(Event, frozen=True):
    """Somebody wants to hear from the worker in `slot`; answered by `Answer(ticket)`, at the latest by the driver."""

    ticket: int
    slot: int
    question: Question


class ScaleRequested(Event, frozen=True):
    """So many workers are wanted from here on, from 0."""

    slots: int


class UpgradeRequested(Event, frozen=True):
    """Our own program is to be replaced, in this process; answered by `UpgradeDecided(ticket)`.

    Attributes:
        ticket: Of the request.
        origin: Who asked.
        python: The interpreter that is to run it; empty for the one that runs now.
    """

    ticket: int
    origin: Origin
    python: str = ""


class ImageRehearsed(Event, frozen=True):
    """The new program runs, understands our settings, our journal and what it would be handed."""

    version: str


class ImageRefused(Event, frozen=True):
    """The new program cannot take over, or could not be executed: we go on."""

    reason: str


class StopRequested(Event, frozen=True):
    """The service is to end; a second one is more urgent than the first."""

    urgency: Urgency = Urgency.GRACEFUL
