"""What is asked of the coordinator, and how every request ends."""

import enum

import msgspec

from changeover.supervisor.core.edits import PipelineEdit, RemovePlugin
from changeover.supervisor.core.entries import Origin, SlotRefusal
from changeover.workers.protocol.reload import Reload
from changeover.workers.protocol.snapshot import Snapshot


class Action(enum.Enum):
    """Where a candidate's content comes from."""

    RELOAD = "reload"
    """What is on disk now."""
    ROLLBACK = "rollback"
    """What an earlier epoch served."""
    EDIT = "edit"
    """What is served, with one pipeline edited or one plugin less."""


class SilentWorkers(enum.Enum):
    """What becomes of a worker that lets the prepare deadline pass."""

    ABORT = "abort"
    """Silence is not death: nothing changes anywhere."""
    KILL = "kill"
    """It is killed, confirmed dead, and the cutover goes on without it."""


class Strategy(enum.Enum):
    """How a candidate comes to be served."""

    AUTO = "auto"
    """By a roll where one is needed, by a swap where that is enough."""
    SWAP = "swap"
    """In the workers that live; what needs new processes is not taken."""
    ROLL = "roll"
    """By new processes, also where a swap would do."""


class CutoverRequest(msgspec.Struct, frozen=True):
    """One person's or signal's wish that something else be served.

    Attributes:
        origin: Who asked, and why.
        action: Where the content comes from.
        only: Names of the units to take from disk; empty takes everything.
        to: The epoch to roll back to; None goes back to the one before.
        if_epoch: Refuse unless this epoch is the committed one.
        force: Take content that is held, make an epoch of unchanged content, and do without state that is not given.
        dry_run: Scan and compare only.
        on_silent_workers: Instead of the policy's answer.
        strategy: How it comes to be served.
        batch: How many workers of a roll boot at once; None is all of them.
        surge: How many workers may exist beyond those that are wanted; None is as many again.
        allow_partial: Whether a roll that needs more extra workers than that may be done part by part.
        policy: Take only what is taken so without being asked for, and nothing that was refused; None takes
            everything that is not disabled.
        python: Path of an interpreter, or of a virtual environment's folder, to take instead of what serves or the
            configuration names; empty for none.
        edit: What to do to a pipeline, or the plugin to remove; None unless that is the action.
        seen: Files that changed, whoever asks by itself -> their names for people: those that are taken are the label.
    """

    origin: Origin
    action: Action = Action.RELOAD
    only: tuple[str, ...] = ()
    to: int | None = None
    if_epoch: int | None = None
    force: bool = False
    dry_run: bool = False
    on_silent_workers: SilentWorkers | None = None
    strategy: Strategy = Strategy.AUTO
    batch: int | None = None
    surge: int | None = None
    allow_partial: bool = False
    policy: Reload | None = None
    python: str = ""
    edit: PipelineEdit | RemovePlugin | None = None
    seen: dict[str, str] = {}


class ExtraMemory(msgspec.Struct, frozen=True):
    """What a roll needs beside what is there, for as long as both cohorts live: estimated from workers that serve.

    Attributes:
        workers: How many workers are made.
        each: Bytes of one of them.
        available: Bytes that can still be had, of the machine's and of every control group above us; -1 when nobody
            knows.
        exact: Whether pages that workers share were counted once; else they were counted for each.
    """

    workers: int
    each: int
    available: int = -1
    exact: bool = False

    @property
    def needed(self) -> int:
        """Bytes in all."""
        return self.workers * self.each

    @property
    def is_short(self) -> bool:
        """Whether less can be had than is needed."""
        return 0 <= self.available < self.needed


class Candidate(msgspec.Struct, frozen=True, tag=True):
    """A scan's result: something else can be served.

    Attributes:
        snapshot: The whole generation, numbered as `Scan` said.
        summary: What changes, for people (`pricing 1.4.0 -> 1.5.0`).
        restores: The epoch whose content a rollback brings back.
        memory: What a roll needs; None for a swap, and where no worker serves.
        files: Unit -> names of its files that differ, where nobody wants more than to know.
        exempt: Plugins that are not rehearsed, because the configuration says so.
    """

    snapshot: Snapshot
    summary: tuple[str, ...] = ()
    restores: int | None = None
    memory: ExtraMemory | None = None
    files: dict[str, tuple[str, ...]] = {}
    exempt: tuple[str, ...] = ()


class NothingChanged(msgspec.Struct, frozen=True, tag=True):
    """A scan's result: what is on disk is what is served.

    Attributes:
        notes: What lies on disk and is not taken, for people (`not taken: geo (disabled, changed on disk)`).
    """

    notes: tuple[str, ...] = ()


class HeldBack(msgspec.Struct, frozen=True, tag=True):
    """A scan's result: something differs, and all of it is held.

    Attributes:
        notes: What lies on disk and is not taken, for people.
    """

    notes: tuple[str, ...] = ()


class RollNeeded(msgspec.Struct, frozen=True, tag=True):
    """A scan's result: only new processes can serve it.

    Attributes:
        changed: What needs them, for people (`app: 3 files`).
        rolls: Whether a roll takes any of it; else only a restart of the server does.
    """

    changed: tuple[str, ...]
    rolls: bool = True


class ScanRefused(msgspec.Struct, frozen=True, tag=True):
    """A scan's result: what is on disk makes no candidate.

    Attributes:
        refusals: Everything that is wrong.
        notes: What lies on disk and is not taken, for people.
    """

    refusals: tuple[SlotRefusal, ...]
    notes: tuple[str, ...] = ()


ScanResult = Candidate | NothingChanged | HeldBack | RollNeeded | ScanRefused


class Durations(msgspec.Struct, frozen=True):
    """Seconds that each phase took; 0 for one that was not reached.

    Attributes:
        waited: Behind another cutover.
        scan: Reading and comparing.
        preflight: The rehearsal.
        prepare: From the first Prepare to the last answer; of a roll, with what it took to make its zygote.
        commit: From the store into the commit cell to the last Activated.
        total: From the request to its outcome.
    """

    waited: float = 0.0
    scan: float = 0.0
    preflight: float = 0.0
    prepare: float = 0.0
    commit: float = 0.0
    total: float = 0.0


class Ending(msgspec.Struct, frozen=True, tag=True):
    """How a request ended.

    Attributes:
        serving: The committed epoch when it ended.
        durations: How long it took.
    """

    serving: int
    durations: Durations = Durations()


class MissingWorker(msgspec.Struct, frozen=True):
    """A slot whose worker does not serve the new epoch yet, because it died before, or was asked for lately.

    Attributes:
        slot: Its number.
        why: What the slot does, and what became of its workers (`parked: 5 exits in 60 s (SIGSEGV)`, `starting`).
    """

    slot: int
    why: str

    def __str__(self) -> str:
        return f"slot {self.slot} is {self.why}"


class Committed(Ending, frozen=True):
    """Every worker that lives serves the new epoch, `serving`.

    Attributes:
        previous: The epoch before, 0 for the first.
        workers: How many workers serve it; 0 where none came up with it.
        summary: What changed.
        lost: Workers that died or were killed on the way, and why.
        memory: What it was estimated to need, said before it was done; null for a swap.
        missing: Slots whose workers are still to serve it.
    """

    previous: int = 0
    workers: int = 0
    summary: tuple[str, ...] = ()
    lost: tuple[SlotRefusal, ...] = ()
    memory: ExtraMemory | None = None
    missing: tuple[MissingWorker, ...] = ()


class Unchanged(Ending, frozen=True):
    """There was nothing to change.

    Attributes:
        notes: What lies on disk and was not taken.
        action: Where the content would have come from.
    """

    notes: tuple[str, ...] = ()
    action: Action = Action.RELOAD


class Refused(Ending, frozen=True):
    """Nothing changed anywhere; parts that were committed are reverted, unless `reverts` or `stopping` says otherwise.

    Attributes:
        reason: One line for people.
        epoch: The number the candidate was given (`explain` knows it), None when it came not that far.
        refusals: Every "no", with its traceback.
        summary: What would have changed, and what lies on disk and was not taken.
        parts: What became of each part that was committed, for people; empty when none was.
        stopping: Whether the service was ending: nothing is reverted then, and what serves does so until it has ended.
        rest: Whether something else that changed needs nothing of what was refused: who asked by itself asks for that.
        reverts: Whether parts are still to be reverted, once the journal can be written.
    """

    reason: str = ""
    epoch: int | None = None
    refusals: tuple[SlotRefusal, ...] = ()
    summary: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    stopping: bool = False
    rest: bool = False
    reverts: bool = False


class NeedsRoll(Ending, frozen=True):
    """Only new processes can serve what is on disk; nothing changed.

    Attributes:
        changed: What needs them.
        rolls: Whether a roll takes any of it; else only a restart of the server does.
    """

    changed: tuple[str, ...] = ()
    rolls: bool = True


class Planned(Ending, frozen=True):
    """What a cutover would change; nothing did.

    Attributes:
        candidate: What would serve.
        summary: What would change.
        memory: What a roll would need; null for a swap.
        files: Unit -> names of its files that differ: `+ new.py`, `- gone.py`, `changed.py`.
        parts: How many workers each part of a roll would add, one part after the other; empty where all serve at once.
    """

    candidate: Snapshot | None = None
    summary: tuple[str, ...] = ()
    memory: ExtraMemory | None = None
    files: dict[str, tuple[str, ...]] = {}
    parts: tuple[int, ...] = ()


class Undecided(Ending, frozen=True):
    """The supervisor left while the journal was in doubt about `epoch`; its successor settles it.

    Attributes:
        epoch: The candidate's number.
        reason: What made the journal doubtful.
    """

    epoch: int = 0
    reason: str = ""


Outcome = Committed | Unchanged | Refused | NeedsRoll | Planned | Undecided
