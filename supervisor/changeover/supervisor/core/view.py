"""An immutable picture of the machine, for status."""

import enum

import msgspec

from changeover.supervisor.core import boot, child, cutover, retirement, shutdown, zygote
from changeover.supervisor.core.boot import Start
from changeover.supervisor.core.effects import ProcessSignal
from changeover.supervisor.core.entries import Held, Part, Quarantined
from changeover.supervisor.core.parts import Parts
from changeover.supervisor.core.roster import Slot
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.messages import Beat, Phase
from changeover.workers.protocol.snapshot import Snapshot, UnitKey


class Role(enum.Enum):
    """What a slot is for."""

    CURRENT = "current"
    """It is kept filled, for what serves."""
    NEXT = "next"
    """The same, for a roll that is not committed."""
    REPLACED = "replaced"
    """Its worker hands over, and is not replaced again."""
    SURPLUS = "surplus"
    """Its worker is not wanted any more."""


class SlotPicture(msgspec.Struct, frozen=True):
    """One slot.

    Attributes:
        slot: Its number.
        state: What it does.
        role: What it is for.
        note: Why, for people; empty when all is well.
        until: When BACKOFF or PARKED ends, monotonic seconds; 0 otherwise.
        worker: Who fills it, None without a worker.
        pid: 0 without one.
        born: When its worker was ordered, also by a former supervisor, monotonic seconds.
        heard: When it was heard last, None before its Hello.
        silent: Whether it was not heard for too long.
        rolled: The epoch whose roll made it.
        epoch: What it serves.
        prepared: The candidate it holds.
        told: The last signal it was sent.
        beat: Its last heartbeat.
        adopted: Whether a former supervisor ordered it.
    """

    slot: int
    state: child.State
    role: Role = Role.CURRENT
    note: str = ""
    until: float = 0.0
    worker: WorkerId | None = None
    pid: int = 0
    born: float = 0.0
    heard: float | None = None
    silent: bool = False
    rolled: int = 0
    epoch: int = 0
    prepared: int | None = None
    told: ProcessSignal | None = None
    beat: Beat | None = None
    adopted: bool = False


class ZygotePicture(msgspec.Struct, frozen=True):
    """One zygote.

    Attributes:
        cohort: Its number.
        state: Whether it takes orders.
        rolled: The epoch whose roll's workers it is for.
        until: When KEPT ends, monotonic seconds; 0 otherwise.
        mixes: Whether it imported the application with other packages than are recorded for its workers.
    """

    cohort: int
    state: zygote.State
    rolled: int
    until: float
    mixes: bool = False


class LeftoverPicture(msgspec.Struct, frozen=True):
    """A superseded unit that is not gone.

    Attributes:
        unit: Which.
        epoch: The last epoch that had it.
        by: The epoch that superseded it.
        state: How far it is gone.
        used_by: Slots where a request may still use it.
        held_by: Slots that have not released it.
    """

    unit: UnitKey
    epoch: int
    by: int
    state: retirement.State
    used_by: tuple[int, ...]
    held_by: tuple[int, ...]


class UnretiredPicture(msgspec.Struct, frozen=True):
    """A superseded epoch that is not retired.

    Attributes:
        epoch: Its number.
        by: The epoch that superseded it; for one that a former supervisor left, what was committed then.
        served_by: Slots whose workers serve it still: until they leave, those of which that is wanted.
    """

    epoch: int
    by: int
    served_by: tuple[int, ...]


class Overview(msgspec.Struct, frozen=True):
    """The whole supervisor, out of one read.

    Attributes:
        journal: The journal's identity.
        term: The supervisor's incarnation.
        start: How far it has come with the journal.
        stopping: How far the service's end has come.
        epoch: What workers are told is committed, 0 before the first.
        given: The highest number ever given.
        committed: The generation that is authoritative by the journal.
        parted: The epoch that some workers serve of a roll in parts, while others serve `epoch`; None otherwise.
        part: Up to which part it came.
        in_parts: Whether a roll in parts is under way, its first part included.
        held: What rollbacks set aside and is held.
        quarantine: What was refused and is not tried again by itself.
        cutover: Where the cutover stands.
        phase: The same, as workers are told.
        candidate: Its epoch, None while none runs.
        reason: Why it fails, or why the journal is in doubt.
        obstacle: Why no cutover can be had, None when one can.
        waiting: How many wishes wait.
        wanted: How many slots are to be filled.
        most: How many could be, with the slot numbers that there are.
        slots: In order.
        zygotes: In order.
        leftovers: What is not gone.
        superseded: Epochs that are not retired, in order.
    """

    journal: str
    term: int
    start: boot.State
    stopping: shutdown.State
    epoch: int
    given: int
    committed: Snapshot | None
    parted: int | None
    part: Part | None
    in_parts: bool
    held: frozenset[Held]
    quarantine: tuple[Quarantined, ...]
    cutover: cutover.State
    phase: Phase
    candidate: int | None
    reason: str
    obstacle: str | None
    waiting: int
    wanted: int
    most: int
    slots: tuple[SlotPicture, ...]
    zygotes: tuple[ZygotePicture, ...]
    leftovers: tuple[LeftoverPicture, ...]
    superseded: tuple[UnretiredPicture, ...]

    @property
    def unretired(self) -> tuple[int, ...]:
        """Superseded epochs that are not retired, in order."""
        return tuple(each.epoch for each in self.superseded)

    @property
    def serving(self) -> frozenset[int]:
        """The epochs that are authoritative: one, unless a roll in parts is under way."""
        return frozenset({self.epoch} if self.parted is None else {self.epoch, self.parted})


def overview(parts: Parts, start: Start) -> Overview:
    """Picture the machine."""
    ledger, coordinator, retiring = parts.ledger, parts.coordinator, parts.retirement
    run = coordinator.run
    slots_by_incarnation = {member.incarnation: member.worker.slot for member in parts.roster.members()}
    return Overview(
        journal=ledger.journal,
        term=ledger.term,
        start=start.state,
        stopping=parts.shutdown.state,
        epoch=ledger.epoch,
        given=ledger.given,
        committed=ledger.committed,
        parted=None if ledger.parted is None else ledger.parted.epoch,
        part=ledger.part,
        in_parts=coordinator.in_parts,
        held=ledger.held,
        quarantine=ledger.quarantine,
        cutover=coordinator.state,
        phase=cutover.phase(coordinator.state),
        candidate=None if run is None else run.epoch,
        reason="" if run is None else run.doubt or run.reason,
        obstacle=coordinator.obstacle,
        waiting=len(parts.wishes.waiting),
        wanted=start.slots,
        most=parts.succession.most(run),
        slots=tuple(
            _slot(slot, _role(slot, parts.children.rolled, ledger.parted)) for slot in parts.roster.slots.values()
        ),
        zygotes=tuple(
            ZygotePicture(each.cohort, each.state, each.rolled, each.until, each.mixes) for each in parts.zygotes.all
        ),
        leftovers=tuple(
            LeftoverPicture(
                leftover.key,
                leftover.epoch,
                leftover.by,
                leftover.state,
                tuple(sorted(slots_by_incarnation[number] for number in leftover.using)),
                tuple(sorted(slots_by_incarnation[number] for number in leftover.using | leftover.holding)),
            )
            for leftover in retiring.leftovers.values()
        ),
        superseded=tuple(
            UnretiredPicture(epoch, by, tuple(member.worker.slot for member in retiring.servers(epoch)))
            for epoch, by in sorted((retiring.inherited | retiring.pending).items())
        ),
    )


def _role(slot: Slot, rolled: int | None, parted: Snapshot | None) -> Role:
    if not slot.wanted:
        heirs = slot.member is not None and slot.member.heirs
        replaced = heirs or (rolled is not None and slot.rolled < rolled)
        return Role.REPLACED if replaced else Role.SURPLUS
    if parted is not None and parted.rolled == slot.rolled:
        return Role.NEXT if slot.fresh else Role.CURRENT
    return Role.CURRENT if rolled in (None, slot.rolled) else Role.NEXT


def _slot(slot: Slot, role: Role) -> SlotPicture:
    member = slot.member
    until = slot.until if slot.state in (child.State.BACKOFF, child.State.PARKED) else 0.0
    if member is None:
        return SlotPicture(slot.number, slot.state, role, slot.note, until)
    return SlotPicture(
        slot.number,
        slot.state,
        role,
        slot.note,
        until,
        member.worker,
        member.pid,
        member.born,
        member.heard,
        member.silent,
        member.rolled,
        member.epoch,
        member.prepared,
        member.told,
        member.beat,
        member.adopted,
    )
