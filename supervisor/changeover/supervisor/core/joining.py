"""From a worker's first word to its serving what is committed: it builds that, and has a deadline."""

from changeover.supervisor.core import child
from changeover.supervisor.core.building import owes
from changeover.supervisor.core.child import Cause, State
from changeover.supervisor.core.events import Timer, TimerKind
from changeover.supervisor.core.leaving import Leaving
from changeover.supervisor.core.ledger import Ledger
from changeover.supervisor.core.outbox import Outbox
from changeover.supervisor.core.records.worker import WorkerServing
from changeover.supervisor.core.roster import Slot


class Joining:
    """Waits for those who come until they serve.

    Args:
        patience: Seconds that each may take.
        ledger: What is committed.
        leaving: Ends those who take longer.
        out: Where effects go.
    """

    __slots__ = ("_leaving", "_ledger", "_out", "_patience", "served")

    def __init__(self, patience: float, ledger: Ledger, leaving: Leaving, out: Outbox) -> None:
        self._patience = patience
        self._ledger = ledger
        self._leaving = leaving
        self._out = out
        self.served = False
        """Whether a worker has served: from then on one slot is always tried anew."""

    def greeted(self, slot: Slot) -> None:
        """A worker said Hello."""
        fresh = slot.state in (State.FORKING, State.BOOTING)
        self._move(slot, Cause.GREETED)
        if fresh:
            self._wait(slot)

    def serves(self, slot: Slot) -> None:
        """A worker said that it serves what is committed."""
        fresh = slot.state is State.JOINING
        self._move(slot, Cause.SERVES)
        self.served = self.served or slot.state is State.SERVING
        if fresh and slot.member is not None:
            slot.member.served = self._out.now
            self._out.cancel_timer(Timer(TimerKind.CHILD, slot.number))
            slot.note = ""
            self._out.tell(WorkerServing(slot.member.worker, slot.member.pid, slot.member.epoch))

    def falls_behind(self, slot: Slot) -> None:
        """What a worker serves is superseded by what it has still to build: it joins anew."""
        if child.TABLE.lists(slot.state, Cause.FELL_BEHIND):
            self._move(slot, Cause.FELL_BEHIND)

    def reprieve(self, slot: Slot) -> None:
        """A worker that had nothing to build has something now: its deadline begins."""
        if slot.state is State.JOINING:
            self._wait(slot)

    def overdue(self, slot: Slot) -> None:
        """The deadline of a worker that boots or joins passed; one that owes nothing waits as well."""
        if slot.state is State.JOINING and not owes(slot, self._ledger.current_for(slot.rolled)):
            self._wait(slot)
        else:
            self._leaving.kill(slot, f"did not serve within {self._patience:g} s")

    def _wait(self, slot: Slot) -> None:
        self._out.set_timer(Timer(TimerKind.CHILD, slot.number), self._patience)

    def _move(self, slot: Slot, cause: Cause) -> None:
        slot.state = child.TABLE.after(slot.state, cause)
