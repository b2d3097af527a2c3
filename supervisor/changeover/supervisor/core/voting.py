"""Who has a vote on a candidate, what was voted, and whose death or silence counts as a "no"."""

from changeover.supervisor.core import records, tally
from changeover.supervisor.core.child import LEAVING, State
from changeover.supervisor.core.children import Children
from changeover.supervisor.core.effects import DumpStacks
from changeover.supervisor.core.entries import SlotRefusal
from changeover.supervisor.core.ledger import Ledger
from changeover.supervisor.core.outbox import Outbox
from changeover.supervisor.core.roster import Member, Roster
from changeover.supervisor.core.run import Run, refusal_of
from changeover.supervisor.core.tally import Verdict
from changeover.workers.protocol import messages
from changeover.workers.protocol.messages import UNORDERED
from changeover.workers.protocol.refusal import Fault, Refusal, Stage


class Voting:
    """The electorate: every worker that is not confirmed dead, from moment to moment."""

    __slots__ = ("_children", "_ledger", "_out", "_roster")

    def __init__(self, roster: Roster, children: Children, ledger: Ledger, out: Outbox) -> None:
        self._roster = roster
        self._children = children
        self._ledger = ledger
        self._out = out

    def electorate(self) -> int:
        """How many have a vote now."""
        return sum(1 for _ in self._roster.members())

    def ask_all(self, run: Run, deadline: float) -> None:
        """Ask every worker to prepare."""
        if run.snapshot is None:
            return
        for member in self._roster.members():
            if member.greeted:
                member.asked = run.epoch
        stamp = self._ledger.stamp(run.epoch)
        self._out.broadcast(messages.Prepare(stamp, self._out.next_seq(), run.snapshot, deadline))

    def ask_next(self, run: Run, wave: int, deadline: float) -> None:
        """Ask so many workers to prepare that `wave` build at a time."""
        building = sum(member.asked == run.epoch for member in self._pending(run))
        waiting = [member for member in self._roster.members() if member.greeted and member.asked != run.epoch]
        for member in waiting[: max(0, wave - building)]:
            member.asked = run.epoch
            self._tell(run, member, deadline)

    def ask_again(self, run: Run, deadline: float) -> None:
        """Ask those that were asked and did not answer."""
        for member in self._pending(run):
            if member.asked == run.epoch:
                self._tell(run, member, deadline)

    def _tell(self, run: Run, member: Member, deadline: float) -> None:
        if run.snapshot is not None:
            stamp = self._ledger.stamp(run.epoch)
            self._out.unicast(member.worker, messages.Prepare(stamp, UNORDERED, run.snapshot, deadline))

    def verdict(self, run: Run) -> Verdict:
        """What the votes amount to now."""
        members = list(self._roster.members())
        if self._first() and not run.refused and self._understaffed():
            return Verdict.PENDING
        return tally.count({member.incarnation for member in members}, run.prepared, run.refused)

    def nobody_left(self) -> bool:
        """Whether a first generation has no worker to try it, and will not get one soon."""
        wanted = self._roster.wanted()
        return self._first() and bool(wanted) and all(slot.state is State.PARKED for slot in wanted)

    def said_yes(self, run: Run, member: Member, took: float) -> None:
        """A worker prepared."""
        if member.incarnation not in run.prepared:
            run.prepared.add(member.incarnation)
            self._out.tell(records.WorkerPrepared(member.worker, member.pid, run.epoch, took))

    def said_no(self, run: Run, member: Member, refusal: Refusal) -> None:
        """A worker refused, or something speaks for it that counts as a "no"."""
        if member.incarnation not in run.refused:
            run.refused.add(member.incarnation)
            run.refusals.append(SlotRefusal(member.worker.slot, member.pid, refusal))
            self._out.tell(records.WorkerRefused(member.worker, member.pid, run.epoch, refusal))

    def died(self, run: Run, member: Member, state: State, cause: str) -> None:
        """A voter is confirmed dead: a "no" when it was asked and nothing but the candidate explains it."""
        refusal = refusal_of(member, Fault.CRASH, member.reason or cause)
        if state in LEAVING:
            run.lost.append(refusal)
        elif member.asked == run.epoch and (state is State.SERVING or self._first()):
            self.said_no(run, member, refusal.refusal)

    def inquire(self, run: Run) -> None:
        """Have the stacks of those who did not answer written down."""
        for member in self._pending(run):
            run.questioned.add(member.incarnation)
            self._out.put(DumpStacks(member.worker))

    def condemn(self, run: Run, seconds: float) -> None:
        """Kill those who did not answer."""
        for member in self._pending(run):
            slot = self._roster.find(member.worker)
            if slot is not None:
                self._children.kill(slot, f"did not answer on epoch {run.epoch} within {seconds:g} s")

    def blame(self, run: Run, seconds: float) -> None:
        """Count silence as a "no"."""
        for member in self._pending(run):
            summary = f"did not answer within {seconds:g} s"
            self.said_no(run, member, Refusal(Stage.PREPARE, Fault.TIMEOUT, summary, traceback=member.stacks))

    def _pending(self, run: Run) -> list[Member]:
        """Those who owe an answer: they were asked, or have not even introduced themselves."""
        return [
            member
            for member in self._roster.members()
            if member.incarnation not in run.prepared | run.refused
            and (member.asked == run.epoch or not member.greeted)
        ]

    def _first(self) -> bool:
        return self._ledger.current is None

    def _understaffed(self) -> bool:
        wanted = [slot for slot in self._roster.wanted() if slot.state is not State.PARKED]
        return any(slot.member is None for slot in wanted)
