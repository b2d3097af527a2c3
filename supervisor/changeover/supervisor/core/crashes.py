"""What deaths that nobody asked for say of what is committed: whether it kills its workers.

One death is an accident, and so are two that lie far apart: a worker that serves for long speaks for what it serves.
One that we killed ourselves, for whatever it was late with, says nothing of it either. Nor does it count towards
taking a roll back where the worker was asked for the candidate of a swap and never answered: that may be what hangs.
"""

from changeover.supervisor.core.building import only_tries
from changeover.supervisor.core.child import State
from changeover.supervisor.core.ledger import Ledger
from changeover.supervisor.core.outbox import Outbox
from changeover.supervisor.core.policy import Restarts
from changeover.supervisor.core.roster import Member, Roster, Slot

AGAIN = 2
"""So many crashes of a slot are no accident."""


class Crashes:
    """Counts deaths, and judges by them.

    Args:
        policy: Within which period deaths belong together.
        roster: The slots.
        ledger: What is committed.
        out: Knows the time.
    """

    __slots__ = ("_ended", "_ledger", "_out", "_policy", "_roster", "_tried")

    def __init__(self, policy: Restarts, roster: Roster, ledger: Ledger, out: Outbox) -> None:
        self._policy = policy
        self._roster = roster
        self._ledger = ledger
        self._out = out
        self._tried: int | None = None
        """The latest candidate of a swap since the last commit, whatever became of it."""
        self._ended: float | None = None
        """When it was given up; None before."""

    def tries(self, epoch: int) -> None:
        """Workers are asked for the candidate of a swap."""
        self._tried, self._ended = epoch, None

    def gives_up(self, epoch: int) -> None:
        """A candidate is given up: who is heard from here on does not hang in it."""
        if epoch == self._tried:
            self._ended = self._out.now

    def died(self, slot: Slot, member: Member, state: State) -> None:
        """The worker of a slot is confirmed dead, or was never born; `state` is what the slot was in."""
        current = self._ledger.current_for(member.rolled)
        if not member.pid or not slot.wanted or state is State.STOPPING or only_tries(member, current):
            return
        slot.crashes += not (state is State.KILLING and self._hangs_in_candidate(member))
        if not self.in_a_row(slot):
            slot.in_a_row = slot.excused = 0
        slot.in_a_row += state is not State.KILLING

    def _hangs_in_candidate(self, member: Member) -> bool:
        if member.asked is None or member.asked != self._tried or member.prepared == self._tried:
            return False
        return self._ended is None or (member.heard or 0.0) < self._ended

    def excuse(self, number: int, deaths: int, *, beside: bool) -> None:
        """A candidate explains the last deaths in a slot; `beside`: so clearly that it is not tried alone for them.

        They count where others are judged that may kill workers, too, and not against what serves.
        """
        if (slot := self._roster.slots.get(number)) is not None:
            slot.crashes = max(0, slot.crashes - deaths)
            slot.excused += deaths - beside
            slot.in_a_row -= beside

    def in_a_row(self, slot: Slot) -> int:
        """How many workers of a slot crashed one after the other since the last commit, and none served for long."""
        served = None if slot.member is None else slot.member.served
        lasts = served is not None and self._out.now - served > self._policy.period
        return 0 if lasts else slot.in_a_row

    def suspected(self, slot: Slot) -> bool:
        """Whether what is committed may be what kills the workers of a slot."""
        return self.in_a_row(slot) >= AGAIN

    def proven(self, rolled: int) -> bool:
        """Whether it is known to be that in every slot of a roll."""
        crew = self._roster.wanted(rolled)
        return bool(crew) and all(self.in_a_row(slot) - slot.excused >= AGAIN for slot in crew)

    def struck_all(self, rolled: int) -> bool:
        """Whether every slot of a roll lost so many since the last commit, whatever ended them."""
        crew = self._roster.wanted(rolled)
        return bool(crew) and all(slot.crashes >= AGAIN for slot in crew)

    def acquit(self) -> None:
        """Hold no crash so far against what is committed now."""
        self._tried = self._ended = None
        for slot in self._roster.slots.values():
            slot.crashes = slot.in_a_row = slot.excused = 0
