"""Tired workers are replaced one by one: a fresh one serves first, then the tired one hands over and leaves.

Who has answered too many requests, lives too long, has grown too large or keeps too much of what it
released is tired. How many and how long are too much differs from worker to worker by a jitter, so that
a service does not tire all at once. Who hangs is replaced in the same way, and whose thread hangs in a
candidate that was refused. While a cutover runs nobody is.
"""

import hashlib

from changeover.supervisor.core.child import State
from changeover.supervisor.core.children import Children
from changeover.supervisor.core.coordinator import Coordinator
from changeover.supervisor.core.hanging import Hanging
from changeover.supervisor.core.outbox import Outbox
from changeover.supervisor.core.outgrown import Outgrown
from changeover.supervisor.core.policy import Limits, Policy
from changeover.supervisor.core.records.worker import ReliefWaits, WorkerTired
from changeover.supervisor.core.roster import Member, Roster, Slot
from changeover.supervisor.core.unstaffed import RELIEF_WAITS


def tired(member: Member, now: float, limits: Limits) -> str | None:
    """Why a worker is to be replaced, whatever it holds, for people; None when it is not."""
    beat, share = member.beat, _share(member.incarnation)
    requests = limits.requests + round(share * limits.requests_jitter)
    lifetime = limits.lifetime + share * limits.lifetime_jitter
    if beat is not None and beat.left_behind:
        return "what it was to load hangs in a thread of it"
    if limits.requests and beat is not None and beat.requests >= requests:
        return f"it has answered {beat.requests} requests"
    if limits.lifetime and now - member.born >= lifetime:
        return f"it has lived {now - member.born:.0f} s"
    if limits.leaks and beat is not None and beat.leaked >= limits.leaks:
        return f"{beat.leaked} copies of what it released are not gone"
    return None


def _share(incarnation: int) -> float:
    """From 0 to 1, the same for a worker whenever it is asked."""
    return hashlib.sha256(b"%d" % incarnation).digest()[0] / 255


class Recycling:
    """Replaces tired workers and those that hang, one at a time."""

    __slots__ = ("_children", "_coordinator", "_hanging", "_limits", "_out", "_outgrown", "_roster")

    def __init__(
        self, policy: Policy, roster: Roster, children: Children, coordinator: Coordinator, out: Outbox
    ) -> None:
        self._limits = policy.limits
        self._hanging = Hanging(policy, out)
        self._outgrown = Outgrown(policy.limits.memory, out)
        self._roster = roster
        self._children = children
        self._coordinator = coordinator
        self._out = out

    def review(self) -> None:
        """Go on with the one that is being replaced, or find the next."""
        rolled = self._children.rolled
        busy = self._coordinator.run is not None or self._coordinator.in_parts
        if rolled is None or busy or not self._children.staffing:
            return
        staff = self._roster.wanted(rolled)
        relief = next((slot for slot in staff if slot.relieves is not None), None)
        if len(staff) > self._children.slots + (relief is not None):
            self._children.scale(self._children.slots)  # who is too many could not hand over before: perhaps by now
        if relief is not None:
            self._relieved(relief)
            return
        self._hanging.look(staff)
        self._outgrown.look(staff)
        if len(staff) <= self._children.slots and all(slot.state is State.SERVING for slot in staff):
            self._find(staff)

    def _relieved(self, relief: Slot) -> None:
        if relief.state is State.SERVING and relief.relieves is not None:
            worn = self._roster.slots.get(relief.relieves)
            relief.relieves = None
            if worn is not None and worn.wanted:
                self._children.relieve(worn, worn.note)
                self._children.scale(self._children.slots)  # somebody may have wanted more meanwhile

    def _find(self, staff: tuple[Slot, ...]) -> None:
        if (slot := self._hanging.next(staff)) is not None and slot.member is not None:
            if self._has_room(slot, slot.member):
                slot.note = slot.member.hangs
                self._hanging.replaced()
                self._children.open_relief(slot)
            return
        for slot in staff:
            if slot.member is not None and self._replace(slot, slot.member):
                return

    def _replace(self, slot: Slot, member: Member) -> bool:
        """Whether it is to be replaced, and waits at most for room."""
        outgrown = self._outgrown.due(member)
        why = tired(member, self._out.now, self._limits) or outgrown
        if why is not None and self._has_room(slot, member):
            if why == outgrown:
                self._outgrown.replaced(member)
            slot.note = f"{why}, and is replaced"
            self._out.tell(WorkerTired(member.worker, member.pid, why))
            self._children.open_relief(slot)
        return why is not None

    def _has_room(self, slot: Slot, member: Member) -> bool:
        if not self._children.free and slot.note != RELIEF_WAITS:
            slot.note = RELIEF_WAITS
            self._out.tell(ReliefWaits(member.worker, member.pid, RELIEF_WAITS))
        return self._children.free > 0
