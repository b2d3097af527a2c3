"""A roll that takes over part by part, because fewer extra workers are allowed than there are workers: what comes next.

The parts that are committed serve one epoch beside all others, who serve what was committed before. They read a word of
the commit cell of their own, from birth on, so each store stays the one commit point of all who read it. Each
further part is a cutover like any other: the new workers are asked to serve the next number, those whom they
replace to hand over. The last one is committed for all.

One "no" reverts them: what the others serve is committed to these under a new number, which builds nothing;
then fresh workers of theirs relieve those of the parts, as many at a time as were allowed. A supervisor
that finds parts and did not begin them does the same. So the way back needs nobody's agreement.
"""

import enum
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from changeover.supervisor.core import outcome
from changeover.supervisor.core.child import LEAVING, State
from changeover.supervisor.core.children import Children
from changeover.supervisor.core.effects import StoreCell
from changeover.supervisor.core.entries import Origin, Part, Trigger
from changeover.supervisor.core.ledger import Ledger
from changeover.supervisor.core.outbox import Outbox
from changeover.supervisor.core.outcome import Action, Candidate, CutoverRequest
from changeover.supervisor.core.records.part import PartsReverted, PartsReverting
from changeover.supervisor.core.retirement import Retirement
from changeover.supervisor.core.roster import Member, Roster, Slot
from changeover.supervisor.core.run import Run
from changeover.supervisor.core.zygotes import Zygotes
from changeover.workers.protocol.snapshot import Snapshot

CRASHES = "the workers of a part exited again and again"
NOBODY = "a worker of a part exited, and the zygote that would fork another was lost again and again"
TOO_LONG = "a worker of a part exited, and no other took its place in time"
"""Why parts are reverted that nobody refused."""
NOT_REVERTED, TO_BE_REVERTED = "is not reverted", "is to be reverted"
"""What becomes of parts where who waits is told before that is done: at the end of the service, and else."""


class Step(enum.Enum):
    """What is to be done next about a roll in parts."""

    WAIT = "wait"
    ADVANCE = "advance"
    """The next part can begin."""
    REVERT = "revert"
    """What the others serve is to be committed under a new number."""
    RETURN = "return"
    """That was done: the workers of the parts leave."""


@dataclass(slots=True)
class Plan:
    """A roll in parts that this supervisor began.

    Attributes:
        first: The cutover of its first part: who waits, and since when.
        request: What they want.
        found: What every part serves.
        parts: The parts that were committed, with their numbers.
        failure: How a part was refused; None while all went well.
        crashed: Whether that is because its workers crash, which nobody refused.
        staff: Who was to serve when the end of the service began; None before.
    """

    first: Run
    request: CutoverRequest
    found: Candidate
    parts: list[tuple[Part, int]]
    failure: outcome.Refused | None = None
    crashed: bool = False
    staff: tuple[Member, ...] | None = None


class Partial:
    """Everything about parts that is not one cutover's.

    Args:
        patience: Seconds that a part waits for a worker in the place of one that exited.

    Attributes:
        plan: The roll in parts that this supervisor began; None when there is none.
    """

    __slots__ = ("_children", "_ledger", "_out", "_patience", "_retirement", "_roster", "_zygotes", "plan")

    def __init__(
        self,
        ledger: Ledger,
        roster: Roster,
        children: Children,
        zygotes: Zygotes,
        retirement: Retirement,
        out: Outbox,
        patience: float,
    ) -> None:
        self._patience = patience
        self._ledger = ledger
        self._roster = roster
        self._children = children
        self._zygotes = zygotes
        self._retirement = retirement
        self._out = out
        self.plan: Plan | None = None

    def begin(self, run: Run, request: CutoverRequest, found: Candidate, size: int) -> Candidate:
        """The candidate of the first part of a roll."""
        committed = self._ledger.committed
        word = 0 if committed is None else 1 - committed.part
        if committed is not None:
            # Nothing was stored there since the last roll in parts, or ever: epoch 0 would be what new workers hold.
            self._out.put(StoreCell(committed.epoch, word))
        found = msgspec.structs.replace(found, snapshot=msgspec.structs.replace(found.snapshot, part=word))
        run.part = Part(1, -(-self._children.slots // size), size)
        self.plan = Plan(run, request, found, [])
        return found

    def ended(self, run: Run, ending: outcome.Outcome) -> tuple[Run, outcome.Outcome] | None:
        """Who is told what at the end of a cutover; None when nobody is, because it is not the end of it all."""
        plan = self.plan
        if plan is None or run.part is None:
            return None if self._ledger.parted is not None else (run, ending)
        if isinstance(ending, outcome.Committed) and not run.part.last:
            plan.parts.append((run.part, run.epoch))
            return None
        if isinstance(ending, outcome.Refused) and self._ledger.parted is not None:
            plan.failure = ending
            return None
        self.plan = None
        return plan.first, ending

    def step(self) -> Step:
        """What comes next."""
        parted, committed = self._ledger.parted, self._ledger.committed
        if parted is None or committed is None:
            return Step.WAIT
        if committed.epoch > parted.epoch:
            return Step.RETURN
        mine = self._mine(parted)
        if self.plan is None or self._failed(self.plan, mine, parted):
            return Step.REVERT
        settled = all(slot.wanted for slot in self._roster.slots.values())
        return Step.ADVANCE if settled and all(slot.state is State.SERVING for slot in mine) else Step.WAIT

    @property
    def set_aside(self) -> Snapshot | None:
        """What is reverted because it crashes: it is held, as after a rollback, where a refusal would quarantine it."""
        return self._ledger.parted if self.plan is not None and self.plan.crashed else None

    def _failed(self, plan: Plan, mine: list[Slot], parted: Snapshot) -> bool:
        """Whether a part was refused, or its workers cannot be had any more: that counts as a refusal."""
        if plan.failure is None and any(slot.state is State.PARKED for slot in mine):
            plan.failure = outcome.Refused(self._ledger.epoch, reason=CRASHES)
            plan.crashed = any(slot.crashes for slot in mine)
        elif plan.failure is None and self._is_hopeless(parted.rolled) and any(slot.member is None for slot in mine):
            plan.failure = outcome.Refused(self._ledger.epoch, reason=NOBODY)
        elif plan.failure is None and any(map(self._lacks_a_worker, mine)):
            plan.failure = outcome.Refused(self._ledger.epoch, reason=TOO_LONG)
        return plan.failure is not None

    def _lacks_a_worker(self, slot: Slot) -> bool:
        """Whether nobody has come in the place of one that exited long ago: a zygote may fail slowly, or hang."""
        return slot.member is None and bool(slot.exits) and self._out.now - slot.exits[-1] > self._patience

    def _is_hopeless(self, rolled: int) -> bool:
        """Whether nobody can be had of a roll, as far as can be seen."""
        zygote = self._zygotes.of_roll(rolled)
        return zygote is not None and zygote.failing

    def advance(self, epoch: int) -> tuple[Part, CutoverRequest, Candidate] | None:
        """The next part, numbered `epoch`."""
        plan, part = self.plan, self._ledger.part
        if plan is None or part is None:
            return None
        found = msgspec.structs.replace(plan.found, snapshot=msgspec.structs.replace(plan.found.snapshot, epoch=epoch))
        return Part(part.number + 1, part.of, part.size), plan.request, found

    def revert(self, epoch: int) -> tuple[CutoverRequest, Candidate] | None:
        """What all serve again, numbered `epoch`."""
        parted, committed = self._ledger.parted, self._ledger.committed
        if parted is None or committed is None:
            return None
        self._out.tell(PartsReverting(parted.epoch, str(self._ledger.part), committed.epoch, self._why()))
        origin = Origin(Trigger.BOOT) if self.plan is None else self.plan.request.origin
        request = CutoverRequest(origin, Action.ROLLBACK, to=committed.epoch)
        summary = (f"{self._ledger.part} (epoch {parted.epoch}) is reverted",)
        return request, Candidate(msgspec.structs.replace(committed, epoch=epoch), summary, committed.epoch)

    def _why(self) -> str:
        if self.plan is None or self.plan.failure is None:
            return "the supervisor that began it did not end it"
        return self.plan.failure.reason

    def give_back(self) -> tuple[Run, outcome.Outcome] | None:
        """Let the workers of the parts leave, as room is; who is told what, once all of them know."""
        parted, committed, part = self._ledger.parted, self._ledger.committed, self._ledger.part
        if parted is None or committed is None or part is None:
            return None
        mine = self._mine(parted)
        self._redirect(parted, committed)
        self._children.dismiss([slot.number for slot in mine if self._serves_nobody(slot)], "its part is reverted")
        self._relieve([slot for slot in mine if slot.state is State.SERVING], committed, part)
        for slot in mine:
            slot.wanted = slot.wanted and slot.state not in LEAVING  # one that is killed is not replaced either
        if any(slot.state not in LEAVING for slot in self._mine(parted)):
            return None
        return self._join(committed)

    def _redirect(self, parted: Snapshot, committed: Snapshot) -> None:
        """Whoever leaves and counted on the workers of the parts, or is one, hands over to those who stay."""
        for slot in self._roster.in_state(State.STOPPING):
            member = slot.member
            if member is not None and member.told is None and parted.rolled in (member.rolled, member.heirs):
                member.heirs = committed.rolled

    def _serves_nobody(self, slot: Slot) -> bool:
        """Whether its worker accepts nothing yet; one of a former supervisor is given the time to say so."""
        if slot.member is None:
            return True
        return slot.state in (State.FORKING, State.BOOTING) and self._ledger.is_ours(slot.member.incarnation)

    def _relieve(self, serving: list[Slot], committed: Snapshot, part: Part) -> None:
        slots = self._children.slots
        room = slots + part.size - len(self._roster.slots)
        self._children.kept = min(slots, len(self._roster.wanted(committed.rolled)) + max(0, room))
        self._children.scale(slots)
        rest = self._roster.wanted(committed.rolled)
        # Whoever cannot be had is not waited for: those who serve take over all the same.
        hopeless = self._is_hopeless(committed.rolled)
        relieved = sum(hopeless or slot.state in (State.SERVING, State.PARKED) for slot in rest) + len(serving) - slots
        for slot in serving[: max(0, relieved)]:
            if self._children.leaving.tell_to_hand_over(slot, "its part is reverted", committed.rolled):
                slot.wanted = False

    def _join(self, committed: Snapshot) -> tuple[Run, outcome.Outcome] | None:
        left = self._ledger.join()
        self._children.kept = None
        self._children.scale(self._children.slots)
        if left is not None:
            # Whoever was told to leave and has not heard it begins nothing more.
            self._out.put(StoreCell(committed.epoch, left.part))
            self._zygotes.dismiss(left.rolled)
            self._retirement.supersede(left, committed)
            self._out.tell(PartsReverted(left.epoch, committed.epoch))
        plan, self.plan = self.plan, None
        return None if plan is None else (plan.first, self._reverted(plan, committed.epoch))

    def _reverted(self, plan: Plan, epoch: int) -> outcome.Outcome:
        parts = tuple(
            f"{part} (epoch {number}) was committed, and reverted by epoch {epoch}" for part, number in plan.parts
        )
        failure = plan.failure or outcome.Refused(epoch)
        return msgspec.structs.replace(failure, serving=epoch, parts=parts)

    def abandon(self, why: str, ending: outcome.Outcome | None = None) -> tuple[Run, outcome.Outcome] | None:
        """Who is told what when nothing more can be done about it now; `ending` is what is known of its last part."""
        plan, self.plan = self.plan, None
        if plan is None or ending is not None:
            return None if plan is None or ending is None else (plan.first, ending)
        becomes = NOT_REVERTED if plan.staff is not None else TO_BE_REVERTED
        parts = tuple(f"{part} (epoch {number}) was committed, and {becomes}" for part, number in plan.parts)
        failure = plan.failure or outcome.Refused(self._ledger.epoch, reason=why, summary=plan.first.summary)
        return plan.first, msgspec.structs.replace(
            failure,
            serving=self._ledger.epoch,
            parts=(*parts, *_stock(plan.staff or ())) if parts else (),
            reverts=bool(parts) and plan.staff is None,
        )

    def take_stock(self) -> None:
        """Remember who is to serve, as the service ends: soon nobody does."""
        if self.plan is not None:
            self.plan.staff = tuple(slot.member for slot in self._roster.wanted() if slot.member is not None)

    def _mine(self, parted: Snapshot) -> list[Slot]:
        return [slot for slot in self._roster.slots.values() if slot.rolled == parted.rolled]


def _stock(staff: Iterable[Member]) -> tuple[str, ...]:
    """How many workers served what at last, for people; those that others replaced meanwhile are not counted."""
    served = Counter(member.epoch for member in staff if member.epoch and not member.heirs)
    each = " and ".join(f"{count} served epoch {epoch}" for epoch, count in sorted(served.items()))
    return (f"of {served.total()} workers, {each} when it was cut short",) if served else ()
