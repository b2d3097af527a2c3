"""Slots, and what is known of the worker in each: facts only, no decisions."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from changeover.supervisor.core.child import OCCUPIED, State
from changeover.supervisor.core.effects import ProcessSignal
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.messages import Beat
from changeover.workers.protocol.refusal import Refusal
from changeover.workers.protocol.snapshot import UnitKey


@dataclass(slots=True)
class Member:
    """A worker that is not confirmed dead.

    Attributes:
        worker: Its identity.
        pid: For people; 0 while it is only ordered.
        since: When it was ordered or adopted.
        heard: When it was heard last; None before its Hello.
        silent: Whether operators were told that it is silent.
        epoch: The latest epoch it said it serves.
        last: The last epoch that it can have, where it was replaced or yields; None while it follows what is committed.
        activated: The latest epoch whose activation it reported, with what it still holds.
        prepared: The latest candidate it said it holds.
        asked: The latest candidate it was asked to prepare.
        asked_at: When that was.
        base: What is committed, as it was told last; 0 where it was told of a candidate alone, None before its Welcome.
        told: The last signal it was sent.
        reason: Why it is to leave.
        status: Its exit status, once it is confirmed dead and that is known.
        stacks: What it was last seen doing.
        stackless: Why that could not be seen when it was asked for last.
        refusal: Why it ended, in its own words, where it left any.
        beat: Its last heartbeat.
        released: Units that it said it released before its Hello came, which was sent before.
        rolled: The epoch whose roll made it: what it can serve.
        yielding: Whether it said that it dispatches nothing any more and hands over.
        inquired: When its stacks were asked for because a request of it is over its deadline; None while none is.
        hangs: What it hangs at, once operators know.
        outgrew: The most bytes it held soon after its birth, where that was beyond its memory limit; else 0.
        heirs: The roll whose workers take over from it, where that is not told by what is committed for all; else 0.
        adopted: Whether a former supervisor ordered it.
        served: Since when it serves what is committed; None before.
        age: How old it was when it was ordered or adopted.
    """

    worker: WorkerId
    pid: int
    since: float
    rolled: int
    heard: float | None = None
    silent: bool = False
    epoch: int = 0
    last: int | None = None
    activated: int = 0
    prepared: int | None = None
    asked: int | None = None
    asked_at: float = 0.0
    base: int | None = None
    told: ProcessSignal | None = None
    reason: str = ""
    status: int | None = None
    stacks: str = ""
    stackless: str = ""
    refusal: Refusal | None = None
    beat: Beat | None = None
    released: frozenset[UnitKey] = frozenset()
    yielding: bool = False
    inquired: float | None = None
    hangs: str = ""
    outgrew: int = 0
    heirs: int = 0
    adopted: bool = False
    served: float | None = None
    age: float = 0.0

    def ask(self, epoch: int, now: float) -> None:
        """It is asked to prepare a candidate; that it is asked again is no news."""
        if self.asked != epoch:
            self.asked, self.asked_at = epoch, now

    @property
    def born(self) -> float:
        """When its life began, also where that was before ours."""
        return self.since - self.age

    @property
    def incarnation(self) -> int:
        """The process's own number."""
        return self.worker.incarnation

    @property
    def greeted(self) -> bool:
        """Whether it has introduced itself to this supervisor."""
        return self.heard is not None

    @property
    def alone(self) -> bool:
        """Whether it has nothing but a candidate: what it dies of is that."""
        return self.base == 0 and not self.epoch


@dataclass(slots=True)
class Slot:
    """A numbered place.

    Attributes:
        number: From 0.
        rolled: The epoch whose roll made its workers.
        state: What it does.
        member: Its worker, in the states of `OCCUPIED`.
        exits: When its workers died, as far as that matters.
        crashes: How many of its workers died since the last commit that nobody told to leave, and no candidate killed.
        in_a_row: How many of them crashed one after the other, none of which served for long.
        excused: How many of those a candidate explains, which serves nobody.
        note: Why it is in this state, for people.
        until: When the state is to be left, for BACKOFF and PARKED.
        wanted: Whether it is filled again when its worker is gone.
        relieves: The slot whose tired worker leaves once this one's serves.
        fresh: Whether it was opened for a part of a roll that is not committed: its worker serves nothing before that.
        spared: Whether it would have been parked when its worker died last, if another slot could serve.
    """

    number: int
    rolled: int
    state: State = State.VACANT
    member: Member | None = None
    exits: tuple[float, ...] = ()
    crashes: int = 0
    in_a_row: int = 0
    excused: int = 0
    note: str = ""
    until: float = 0.0
    wanted: bool = True
    relieves: int | None = None
    fresh: bool = False
    spared: bool = False

    @property
    def failing(self) -> bool:
        """Whether its workers died again and again, so that nobody waits for the next one."""
        return self.state is State.PARKED or (self.state is State.BACKOFF and self.spared)


@dataclass(slots=True)
class Roster:
    """All slots, in order of their numbers.

    Attributes:
        slots: By number.
    """

    slots: dict[int, Slot] = field(default_factory=dict)

    def open(self, number: int, rolled: int) -> Slot:
        """The slot of that number, made when it is not there."""
        if number not in self.slots:
            self.slots[number] = Slot(number, rolled)
            self.slots = dict(sorted(self.slots.items()))
        return self.slots[number]

    def close(self, number: int) -> None:
        """Forget a vacant slot."""
        del self.slots[number]

    def is_last(self, slot: Slot) -> bool:
        """Whether every other slot of its roll is parked."""
        return all(other is slot or other.state is State.PARKED for other in self.wanted(slot.rolled))

    def wanted(self, rolled: int | None = None) -> tuple[Slot, ...]:
        """Slots that are kept filled; with workers of one roll only, when that is given."""
        return tuple(slot for slot in self.slots.values() if slot.wanted and rolled in (None, slot.rolled))

    def crew(self, rolled: int) -> tuple[Member, ...]:
        """Every worker of one roll that is not confirmed dead."""
        return tuple(member for member in self.members() if member.rolled == rolled)

    def members(self) -> Iterator[Member]:
        """Every worker that is not confirmed dead."""
        for slot in self.slots.values():
            if slot.member is not None:
                yield slot.member

    def find(self, worker: WorkerId) -> Slot | None:
        """The slot that this very process fills; None when it does not, or not any more."""
        slot = self.slots.get(worker.slot)
        if slot is None or slot.member is None or slot.member.worker != worker:
            return None
        return slot

    def in_state(self, *states: State) -> tuple[Slot, ...]:
        """Slots in one of `states`."""
        return tuple(slot for slot in self.slots.values() if slot.state in states)

    @property
    def empty(self) -> bool:
        """Whether every worker is confirmed dead."""
        return not any(slot.state in OCCUPIED for slot in self.slots.values())
