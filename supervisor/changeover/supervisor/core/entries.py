"""What the journal holds: decisions and outcomes, with who and why."""

import enum
from collections.abc import Collection, Mapping

import msgspec

from changeover.workers.protocol.refusal import Refusal
from changeover.workers.protocol.snapshot import Snapshot, UnitRef


class Trigger(enum.Enum):
    """What set a cutover off."""

    BOOT = "boot"
    HUP = "HUP"
    COMMAND = "command"
    API = "api"
    WATCH = "watch"
    SCHEDULE = "schedule"
    USR2 = "USR2"
    """An upgrade of the supervisor, which is no cutover."""
    RESCUE = "rescue"
    """All workers of a roll crashed, and those that took their places."""

    @property
    def automatic(self) -> bool:
        """Whether nobody asked."""
        return self in (Trigger.WATCH, Trigger.SCHEDULE)


class Origin(msgspec.Struct, frozen=True):
    """Who asked for a cutover, and why.

    Attributes:
        trigger: What set it off.
        user: Login name where known.
        uid: Peer credentials of the client, or the supervisor's own for signals.
        label: The operator's words.
    """

    trigger: Trigger
    user: str = ""
    uid: int = -1
    label: str = ""


class SlotRefusal(msgspec.Struct, frozen=True):
    """One worker's "no", or what is known of a worker that could not speak.

    Attributes:
        slot: The place it filled; -1 when no worker was asked yet (scan, configuration).
        pid: For people; 0 when there is none.
        refusal: Why.
    """

    slot: int
    pid: int
    refusal: Refusal


class Held(msgspec.Struct, frozen=True):
    """Content of a plugin or pipeline that was rolled back or removed: it stays away until it is changed or forced.

    Attributes:
        ref: Whose.
        content: Digest of the unit's own content, without what it requires; empty: it was not there.
        version: A plugin's version, for people; empty for a pipeline, and for what was not there.
        beside: Plugins that a pipeline uses and that were set aside with it: a change of one lifts it as well.
        removed: Whether a removal set it aside: a rollback undoes that, and does not undo a rollback.
    """

    ref: UnitRef
    content: str
    version: str = ""
    beside: tuple[str, ...] = ()
    removed: bool = False

    def __str__(self) -> str:
        name = self.ref.name if self.version else str(self.ref)
        return f"{name} {self.version or ('' if self.content else 'removed')}".rstrip()


class Quarantined(msgspec.Struct, frozen=True):
    """Content that was refused: watching and schedule skip it until it changes, whoever asks tries it.

    Attributes:
        epoch: The number under which it was refused.
        digest: Of the whole candidate.
        blamed: The plugins that refused, or all that were new when none said so: id -> version.
        together: Own content of these and of all that they require: it is skipped where all of it would serve
            together. Empty when no plugin was new.
        requires: What they require and were refused for, where not for themselves: plugin id -> version. The content is
            tried again when it is not to be rehearsed any more.
    """

    epoch: int
    digest: str
    blamed: dict[str, str] = {}
    together: dict[str, str] = {}
    requires: dict[str, str] = {}

    def __str__(self) -> str:
        return _named(self.blamed) or "what changed"

    @property
    def required(self) -> str:
        """What they require and were refused for, for people; empty when they were refused for themselves."""
        return _named(self.requires)

    def is_moot(self, exempt: Collection[str]) -> bool:
        """Whether what they were refused for is not rehearsed any more, as these plugins are not."""
        return bool(self.requires) and self.requires.keys() <= set(exempt)


def _named(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


class Part(msgspec.Struct, frozen=True):
    """Which part of a roll an epoch is: it is served by all workers of the parts up to this one.

    Attributes:
        number: From 1.
        of: How many there are.
        size: How many workers each adds, the last perhaps fewer.
    """

    number: int
    of: int
    size: int

    @property
    def last(self) -> bool:
        """Whether nobody is left who serves anything else."""
        return self.number == self.of

    def __str__(self) -> str:
        return f"part {self.number} of {self.of}"


class Entry(msgspec.Struct, frozen=True, tag=True):
    """One line of the journal. The journal adds sequence and wall clock."""


class TermBegun(Entry, frozen=True):
    """A supervisor started: its term is the last one plus 1."""

    term: int


class EpochGiven(Entry, frozen=True):
    """A candidate has its number, before anything is done with it.

    Attributes:
        epoch: Never reused, also when the candidate is refused.
        candidate: The whole generation.
        origin: Who and why.
        summary: What changes, for people (`pricing 1.4.0 -> 1.5.0`).
        restores: The epoch whose content a rollback brings back.
        held: Everything that is held once it is committed.
        part: Which part of a roll it is; None for a cutover of all workers.
    """

    epoch: int
    candidate: Snapshot
    origin: Origin
    summary: tuple[str, ...] = ()
    restores: int | None = None
    held: tuple[Held, ...] = ()
    part: Part | None = None


class PreparingBegun(Entry, frozen=True):
    """Workers may be asked to prepare `epoch` from here on."""

    epoch: int


class EpochRaised(Entry, frozen=True):
    """Numbers up to `epoch` are taken: a worker knew of it, and the journal did not."""

    epoch: int


class Decision(Entry, frozen=True):
    """At most one decision exists per epoch: the journal refuses a second one.

    It takes an Aborted also for an epoch whose EpochGiven is not there (writing that may have failed).
    """

    epoch: int


class Committed(Decision, frozen=True):
    """The point of no return: `epoch` is what is served."""


class Aborted(Decision, frozen=True):
    """`epoch` was not committed and never will be."""

    reason: str
    refusals: tuple[SlotRefusal, ...] = ()


class Retired(Entry, frozen=True):
    """Every worker that held what `epoch` had and its successor lacks has released it."""

    epoch: int


JournalEntry = TermBegun | EpochRaised | EpochGiven | PreparingBegun | Committed | Aborted | Retired


class Recovered(msgspec.Struct, frozen=True):
    """What the journal says when a supervisor starts.

    Attributes:
        journal: Identity of the journal.
        term: The last term begun, 0 for a new journal.
        epoch: The highest epoch ever given or raised to.
        committed: The generation that is authoritative, None before the first commit.
        undecided: A candidate without a decision, to be aborted.
        unretired: Committed epochs that were superseded and not retired.
        held: What rollbacks set aside and is held.
        quarantine: What was refused and is not tried again by itself, oldest first.
        parted: The generation of a roll's committed parts, when neither the others followed nor it is retired.
        part: Up to which part.
    """

    journal: str
    term: int = 0
    epoch: int = 0
    committed: Snapshot | None = None
    undecided: int | None = None
    unretired: tuple[int, ...] = ()
    held: frozenset[Held] = frozenset()
    quarantine: tuple[Quarantined, ...] = ()
    parted: Snapshot | None = None
    part: Part | None = None
