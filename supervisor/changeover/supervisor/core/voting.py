"""Who has a vote on a candidate, what was voted, and whose death or silence counts as a "no"."""

import msgspec

from changeover.supervisor.core import tally
from changeover.supervisor.core.building import only_tries
from changeover.supervisor.core.child import LEAVING, State
from changeover.supervisor.core.children import Children
from changeover.supervisor.core.crashes import AGAIN
from changeover.supervisor.core.effects import DumpStacks
from changeover.supervisor.core.entries import SlotRefusal
from changeover.supervisor.core.ledger import Ledger
from changeover.supervisor.core.outbox import Outbox
from changeover.supervisor.core.records.cutover import WorkerAgreed, WorkerPrepared, WorkerRefused
from changeover.supervisor.core.roster import Member, Roster
from changeover.supervisor.core.run import Run, refusal_of
from changeover.supervisor.core.succession import Succession
from changeover.supervisor.core.tally import Verdict
from changeover.workers.protocol import messages
from changeover.workers.protocol.messages import UNORDERED
from changeover.workers.protocol.refusal import Fault, Refusal, Stage

BESIDE = "beside what serves, while another worker has prepared it alone"
KILLED = -9
"""Exit status of a worker that was sent SIGKILL: where we did not, the kernel did, for want of memory, or somebody."""


class Voting:
    """The electorate, from moment to moment: every worker that is not confirmed dead and could still serve.

    Where what serves is known to kill its workers, their death says nothing of the candidate of a swap: the slot's next
    worker has nothing but that, and its vote is waited for.

    In a swap those are the workers that serve. In a roll first those that are to serve, then, too, those that they
    replace. A worker that yields has no vote: it dispatches nothing any more, whatever becomes authoritative.
    """

    __slots__ = ("_children", "_ledger", "_out", "_roster", "_succession")

    def __init__(self, roster: Roster, children: Children, ledger: Ledger, succession: Succession, out: Outbox) -> None:
        self._roster = roster
        self._children = children
        self._ledger = ledger
        self._succession = succession
        self._out = out

    def staff(self, run: Run) -> int:
        """How many workers are to serve the candidate."""
        if run.part is not None:
            return min(self._children.slots, run.part.number * run.part.size)
        if run.is_roll:
            return self._children.slots
        living = sum(not member.yielding for member in self._roster.members())
        return living or len(self._roster.wanted(run.rolled))

    def arrived(self, run: Run) -> int:
        """How many workers that are to serve the candidate have introduced themselves."""
        return sum(member.greeted for member in self._roster.crew(run.rolled))

    def voters(self, run: Run) -> list[Member]:
        """Who has a vote."""
        able = [member for member in self._roster.members() if not member.yielding and self.concerns(run, member)]
        return [member for member in able if not self._is_done_without(run, member)] or able

    @staticmethod
    def _is_done_without(run: Run, member: Member) -> bool:
        """Whether a worker of a swap takes the place of one that was killed for its silence, and may hang as well.

        It accepts nothing before it holds the candidate. Where there is nobody else it has its vote.
        """
        silent = run.condemned.get(member.worker.slot, member.incarnation)
        came = not run.is_roll and not member.adopted and member.incarnation != silent
        return came and member.incarnation not in run.prepared

    @staticmethod
    def concerns(run: Run, member: Member) -> bool:
        """Whether a worker is to serve the candidate, or is replaced by it."""
        chosen = run.part is None or member.rolled == run.rolled or member.worker.slot in run.leaving
        return member.rolled in run.voters and not member.heirs and chosen

    def ask_all(self, run: Run, deadline: float) -> None:
        """Ask every worker to prepare."""
        if run.snapshot is None:
            return
        for member in self.voters(run):
            if member.greeted:
                member.ask(run.epoch, self._out.now)
        stamp = self._ledger.stamp(run.epoch)
        self._out.broadcast(messages.Prepare(stamp, self._out.next_seq(), run.snapshot, deadline))

    def ask_next(self, run: Run, wave: int | None, deadline: float) -> bool:
        """Ask so many workers to prepare that `wave` do so at a time, all without one; whether anybody was asked.

        Who is given up, once it is late, holds no turn.
        """
        asked = sum(member.asked == run.epoch for member in self._pending(run))
        building = asked + self._coming(run)
        waiting = [member for member in self.voters(run) if member.greeted and member.asked != run.epoch]
        turn = waiting if wave is None else waiting[: max(0, wave - building)]
        for member in turn:
            member.ask(run.epoch, self._out.now)
            self._tell(run, member, deadline)
        return bool(turn)

    def ask_again(self, run: Run, deadline: float) -> None:
        """Ask those that were asked and did not answer."""
        for member in self._pending(run):
            if member.asked == run.epoch:
                self._tell(run, member, deadline)

    def _tell(self, run: Run, member: Member, deadline: float) -> None:
        if run.snapshot is not None:
            stamp = self._ledger.stamp(run.epoch)
            successors = self._succession.successors_of(member, run.snapshot)
            self._out.unicast(member.worker, messages.Prepare(stamp, UNORDERED, run.snapshot, deadline, successors))

    def is_tried_anew(self, run: Run) -> bool:
        """Whether workers come to try it where others died of what serves: a swap; what parts revert to has served."""
        return not run.is_roll and self._ledger.parted is None

    def is_wary(self, run: Run) -> bool:
        """Whether one is asked after the other: deaths may be spared, and nobody holds it beside what serves yet."""
        if run.tried_beside or not self.is_tried_anew(run):
            return False
        return any(map(self._children.crashes.in_a_row, self._roster.wanted(run.rolled)))

    def verdict(self, run: Run) -> Verdict:
        """What the votes amount to now."""
        voters = self._electorate(run)
        if not run.refused and self._understaffed(run, voters):
            return Verdict.PENDING
        return tally.count({member.incarnation for member in voters}, run.prepared, run.refused)

    def nobody_left(self, run: Run) -> bool:
        """Whether there is no worker to try it, nor will there be one soon."""
        wanted = self._roster.wanted(run.rolled)
        nobody = run.is_roll or (self.is_tried_anew(run) and not self.voters(run))
        return nobody and bool(wanted) and all(slot.failing for slot in wanted)

    def said_yes(self, run: Run, member: Member, took: float, migrates: tuple[str, ...]) -> None:
        """A worker prepared."""
        run.migrants.setdefault(member.incarnation, migrates)
        if member.incarnation not in run.prepared:
            run.prepared.add(member.incarnation)
            alone = only_tries(member, self._ledger.current)
            run.tried_alone |= self.is_tried_anew(run) and alone
            run.tried_beside |= not alone
            if run.snapshot is not None and member.rolled < run.snapshot.rolled:
                self._out.tell(WorkerAgreed(member.worker, member.pid, run.epoch))
            else:
                self._out.tell(WorkerPrepared(member.worker, member.pid, run.epoch, took))

    def said_no(self, run: Run, member: Member, refusal: Refusal) -> None:
        """A worker refused, or something speaks for it that counts as a "no"."""
        if member.incarnation not in run.refused:
            run.refused.add(member.incarnation)
            run.refusals.append(SlotRefusal(member.worker.slot, member.pid, refusal))
            self._out.tell(WorkerRefused(member.worker, member.pid, run.epoch, refusal))

    def died(self, run: Run, member: Member, state: State, cause: str) -> None:
        """A voter is confirmed dead: a "no" when it was asked and nothing but the candidate explains it."""
        if member.rolled not in run.voters or member.yielding:
            return
        refusal = refusal_of(member, _fault_of(member, state), member.reason or cause)
        spared = self.spares(run, member, state)
        if self._is_to_blame(run, member, state):
            self._blame_death(run, member, refusal.refusal)
        elif run.is_roll or state is not State.SERVING or spared:
            run.lost.append(refusal)
        if spared:
            run.spared.add(member.worker.slot)
            run.awaited.add(member.worker.slot)
        elif not member.greeted:
            run.awaited.discard(member.worker.slot)

    def explains(self, run: Run, member: Member, state: State) -> bool:
        """Whether a death is held against the candidate of a swap, and not against the slot."""
        return not run.is_roll and member.rolled in run.voters and self._is_to_blame(run, member, state)

    def spares(self, run: Run, member: Member, state: State) -> bool:
        """Whether what serves explains a death as well: then the slot's next worker has the candidate alone, and votes.

        Once somebody has prepared it alone, the next one to die over it says what kills: the candidate beside what
        serves. That is not so only where workers crashed again and again before any was asked.
        """
        slot = self._roster.slots.get(member.worker.slot)
        asked = not member.yielding and member.rolled in run.voters and member.asked == run.epoch
        if slot is None or not slot.wanted or not asked or state is not State.SERVING or not self.is_tried_anew(run):
            return False
        beside = run.tried_alone and member.incarnation not in run.prepared
        return self._children.crashes.in_a_row(slot) >= AGAIN + beside

    def _blame_death(self, run: Run, member: Member, refusal: Refusal) -> None:
        """Count a death as a "no"; neither it nor the one before it, which was spared, is held against what serves."""
        number = member.worker.slot
        beside = run.tried_alone and not member.alone and member.incarnation not in run.prepared
        summary = f"{refusal.summary} {BESIDE}" if beside else refusal.summary
        self.said_no(run, member, msgspec.structs.replace(refusal, summary=summary))
        if not run.is_roll:
            before = number in run.spared
            run.spared.discard(number)
            self._children.crashes.excuse(number, before + (not member.alone), beside=beside)

    def _is_to_blame(self, run: Run, member: Member, state: State) -> bool:
        if not run.is_roll:
            serves = state is State.SERVING and not self.spares(run, member, state)
            return member.asked == run.epoch and state not in LEAVING and (serves or member.alone)
        # At a first start a worker that was not asked yet tried nothing of the candidate's.
        tried = member.asked == run.epoch or (self._ledger.current is not None and not member.epoch)
        return member.rolled == run.rolled and tried

    def inquire(self, run: Run) -> None:
        """Have the stacks of those who did not answer written down."""
        for member in self._pending(run):
            run.silent.add(member.incarnation)
            run.questioned.add(member.incarnation)
            member.stacks = member.stackless = ""
            self._out.put(DumpStacks(member.worker))

    def condemn(self, run: Run, patience: float) -> None:
        """Kill those who did not answer."""
        for member in self._pending(run):
            slot = self._roster.find(member.worker)
            if slot is not None:
                run.silent.add(member.incarnation)
                run.condemned[slot.number] = member.incarnation
                within = self._had(run, member, patience)
                self._children.leaving.kill(slot, f"did not answer on epoch {run.epoch} within {within:g} s")

    def owes(self, run: Run) -> bool:
        """Whether somebody who let the deadline pass still owes its answer, or its death."""
        return any(member.incarnation in run.silent for member in self._pending(run))

    def waits(self, run: Run) -> bool:
        """Whether somebody owes an answer who did not let the deadline pass: it came since."""
        return any(member.incarnation not in run.silent for member in self._pending(run))

    def blame(self, run: Run, patience: float) -> None:
        """Count silence as a "no"."""
        for member in self._pending(run):
            no_stacks = f"; no stacks: {member.stackless}" if member.stackless and not member.stacks else ""
            summary = f"did not answer within {self._had(run, member, patience):g} s{no_stacks}"
            self.said_no(run, member, Refusal(Stage.PREPARE, Fault.TIMEOUT, summary, traceback=member.stacks))

    def _had(self, run: Run, member: Member, patience: float) -> float:
        """How many seconds it had to answer, of those that one may take who is asked at once."""
        began = run.times.prepared or 0.0
        since = member.asked_at if member.asked == run.epoch else max(member.since, began)
        return min(patience, round(self._out.now - since, 1))

    def _electorate(self, run: Run) -> list[Member]:
        """Whose votes are waited for; once it is late, not those of who boots where what serves kills whoever comes."""
        return [member for member in self.voters(run) if not (run.late and self._is_given_up(run, member))]

    def _is_given_up(self, run: Run, member: Member) -> bool:
        slot = self._roster.find(member.worker)
        unknown = not member.greeted and not member.adopted and self.is_tried_anew(run)
        return unknown and slot is not None and self._children.crashes.suspected(slot)

    def _pending(self, run: Run) -> list[Member]:
        """Those who owe an answer: they were asked, or have not even introduced themselves."""
        return [
            member
            for member in self._electorate(run)
            if member.incarnation not in run.prepared | run.refused
            and (member.asked == run.epoch or not member.greeted)
        ]

    def _coming(self, run: Run) -> int:
        """How many workers are on their way to try the candidate alone: it may be what killed those before them."""
        coming = (member for member in self._electorate(run) if member.worker.slot in run.awaited)
        return sum(not member.greeted for member in coming)

    def go_on_without(self, run: Run, seconds: float) -> None:
        """Let nobody wait for its turn until one has come that was to try it alone, and has not for so long."""
        for slot in (self._roster.slots.get(number) for number in tuple(run.awaited)):
            member = None if slot is None else slot.member
            if slot is not None and member is not None and self._out.now - member.since > seconds:
                run.awaited.discard(slot.number)

    def _understaffed(self, run: Run, voters: list[Member]) -> bool:
        """Whether somebody is still to come whose vote is waited for: all of a roll; where what serves crashes, too."""
        wanted = self._roster.wanted(run.rolled)
        if run.is_roll:
            return any(slot.member is None and not slot.failing for slot in wanted)
        if not self.is_tried_anew(run):
            return False
        if not voters:
            return any(not slot.failing for slot in wanted)
        absent = (slot for slot in wanted if slot.member is None and not slot.failing)
        return not run.late and any(self._children.crashes.suspected(slot) for slot in absent)


def _fault_of(member: Member, state: State) -> Fault:
    """Whose fault a death is: what the machine could not have, or was late with, may pass."""
    if not member.pid:
        return Fault.RESOURCE  # it never came to life, and tried nothing of the candidate's
    if state is State.KILLING:
        return Fault.TIMEOUT
    return Fault.RESOURCE if member.status == KILLED else Fault.CRASH
