"""Everything the supervisor's machine can want done, performed by the driver in the order given.

Persisting is the exception to order: it is answered by an event, and whatever depends on it
comes as an effect of that event.
"""

import enum

import msgspec

from changeover.supervisor.core.entries import JournalEntry
from changeover.supervisor.core.events import Timer
from changeover.supervisor.core.outcome import CutoverRequest, Outcome
from changeover.supervisor.core.records.record import Record
from changeover.workers.protocol.counted import Counts
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.messages import SupervisorMessage, WorkerMessage
from changeover.workers.protocol.snapshot import OWN, ApplicationSpec, Interpreter, Snapshot, UnitRef


class Effect(msgspec.Struct, frozen=True):
    """Something to be done."""


class Persist(Effect, frozen=True):
    """Make `entry` durable; answer Persisted(ticket) or PersistFailed(ticket)."""

    ticket: int
    entry: JournalEntry


class Reread(Effect, frozen=True):
    """Look for the decision on `epoch` over a fresh connection; answer Reread or RereadFailed."""

    epoch: int


class StoreCell(Effect, frozen=True):
    """Store `epoch` into a word of the commit cell. Never to be delayed: what follows it says it happened."""

    epoch: int
    part: int = 0


class Broadcast(Effect, frozen=True):
    """Tell all workers."""

    message: SupervisorMessage


class Unicast(Effect, frozen=True):
    """Tell one worker, on its own topic."""

    worker: WorkerId
    message: SupervisorMessage


class Bind(Effect, frozen=True):
    """Listen at `addresses` too, for the candidate `epoch`; accept nothing yet. Answer Bound or BindRefused."""

    epoch: int
    addresses: tuple[str, ...]


class Listen(Effect, frozen=True):
    """What serves is at `addresses`: whatever else is listened on goes, once nobody comes there any more."""

    addresses: tuple[str, ...]


class Unbind(Effect, frozen=True):
    """Close what was bound for a candidate that will not serve, or is being bound."""


class StartZygote(Effect, frozen=True):
    """Start a cohort's zygote with `interpreter`, which preloads `application`; answer ZygoteReady or ZygoteLost."""

    cohort: int
    rolled: int
    application: ApplicationSpec | None = None
    interpreter: Interpreter = OWN


class AdoptZygote(Effect, frozen=True):
    """Take over a zygote that a former supervisor started; answer ZygoteReady or ZygoteLost."""

    cohort: int


class StopZygote(Effect, frozen=True):
    """End a zygote, by force if it must be; answer ZygoteLost."""

    cohort: int


class Hold(Effect, frozen=True):
    """Watch a worker that introduced itself and that no zygote handed over, unless that is done; answer WorkerExited.

    Attributes:
        worker: Who it is.
        pid: What it says its process is.
    """

    worker: WorkerId
    pid: int


class Fork(Effect, frozen=True):
    """Have the cohort's zygote fork a worker; answer WorkerForked or ForkFailed, and WorkerExited in its time."""

    worker: WorkerId
    nonce: str
    rolled: int
    part: int = 0


class ProcessSignal(enum.Enum):
    """What a worker is told by signal."""

    TERM = "TERM"
    """Stop accepting, finish what is in flight, leave."""
    QUIT = "QUIT"
    """Leave now, politely."""
    KILL = "KILL"


class Signal(Effect, frozen=True):
    """Signal a worker through its pidfd; nothing happens when it is dead already."""

    worker: WorkerId
    signal: ProcessSignal


class DumpStacks(Effect, frozen=True):
    """Have all stacks of a worker written down; answer StacksDumped. A kill waits for that, for a moment."""

    worker: WorkerId


class Scan(Effect, frozen=True):
    """Find out what a request would serve, numbered `epoch`, against `current`; answer Scanned(epoch)."""

    epoch: int
    request: CutoverRequest
    current: Snapshot | None


class Preflight(Effect, frozen=True):
    """Rehearse `candidate` beside `current` in a disposable process below the zygote of `cohort`.

    Answer PreflightPassed, PreflightRefused or PreflightSkipped, unless EndPreflight comes first.

    Attributes:
        candidate: What is to be rehearsed; of a roll, its plugins.
        current: What serves in the processes that are to take it; EMPTY for new ones.
        cohort: Whose zygote forks the process.
        exempt: Plugins that are not rehearsed, because the configuration says so.
        goes_back: Whether it brings back what served: what cannot be rehearsed of that refuses nothing.
        served: Of a roll's candidate, what served last as it is: what does not load of that refuses nothing.
        other_resources: Of the candidate, plugins of which nothing but resources differs from what served.
    """

    candidate: Snapshot
    current: Snapshot | None
    cohort: int
    exempt: tuple[str, ...] = ()
    goes_back: bool = False
    served: tuple[UnitRef, ...] = ()
    other_resources: tuple[UnitRef, ...] = ()


class EndPreflight(Effect, frozen=True):
    """Rehearse the candidate of `epoch` no further, and leave no process of it; nothing happens when none is."""

    epoch: int


class SetTimer(Effect, frozen=True):
    """Answer TimerFired(timer) after so many seconds; moves a timer that is set."""

    timer: Timer
    after: float


class CancelTimer(Effect, frozen=True):
    """Forget a timer."""

    timer: Timer


class Resolve(Effect, frozen=True):
    """Tell the one who made request `ticket` how it ended. Comes exactly once per ticket."""

    ticket: int
    outcome: Outcome


class Answer(Effect, frozen=True):
    """Hand on what a worker answered; None when there is no worker that could."""

    ticket: int
    message: WorkerMessage | None


class TakeCounts(Effect, frozen=True):
    """Keep what a worker has counted since it started, in the place of what it said before.

    Attributes:
        worker: Who.
        counts: All of it.
        late: Whether its death was seen before.
    """

    worker: WorkerId
    counts: Counts
    late: bool = False


class RehearseImage(Effect, frozen=True):
    """Try the new program in a child; answer ImageRehearsed or ImageRefused."""

    python: str


class ExecuteImage(Effect, frozen=True):
    """Become the new program, once who asked was answered; answer ImageRefused when the system does not let us."""

    python: str


class UpgradeDecided(Effect, frozen=True):
    """Tell the one who asked for upgrade `ticket`: it is executed now, or `refused` says why not."""

    ticket: int
    refused: str = ""


class Tell(Effect, frozen=True):
    """Let operators know."""

    record: Record


class Exit(Effect, frozen=True):
    """End the supervisor: everything it started is gone, or could not be ended."""

    code: int
    reason: str
