"""From the decision on disk to the last worker that follows it."""

from collections.abc import Iterable, Iterator

from changeover.supervisor.core.child import LEAVING, State
from changeover.supervisor.core.children import Children
from changeover.supervisor.core.effects import StoreCell
from changeover.supervisor.core.entries import Part
from changeover.supervisor.core.ledger import Ledger
from changeover.supervisor.core.outbox import Outbox
from changeover.supervisor.core.outcome import MissingWorker
from changeover.supervisor.core.records.cutover import CommitDecided
from changeover.supervisor.core.retirement import Retirement
from changeover.supervisor.core.roster import Member, Roster, Slot
from changeover.supervisor.core.run import Run, refusal_of
from changeover.supervisor.core.succession import Succession
from changeover.workers.protocol import messages
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.messages import UNORDERED
from changeover.workers.protocol.refusal import Fault
from changeover.workers.protocol.snapshot import Snapshot

PAUSES = {State.BACKOFF: "waiting for its next worker", State.PARKED: "parked"}


class Activation:
    """Makes an epoch authoritative, and waits for those who have to follow."""

    __slots__ = ("_children", "_ledger", "_out", "_retirement", "_roster", "_succession")

    def __init__(
        self,
        roster: Roster,
        children: Children,
        ledger: Ledger,
        succession: Succession,
        retirement: Retirement,
        out: Outbox,
    ) -> None:
        self._roster = roster
        self._children = children
        self._succession = succession
        self._ledger = ledger
        self._retirement = retirement
        self._out = out

    def commit(self, run: Run, snapshot: Snapshot) -> None:
        """Follow the journal: cell first, then the wire."""
        # Whoever introduced itself may accept by now; who did not was told nothing that it could serve.
        crew = [member for member in self._roster.crew(snapshot.rolled) if member.greeted and not member.yielding]
        run.followers = {member.incarnation for member in crew}
        successors = tuple(member.worker for member in crew) if run.is_roll else ()
        self._reprieve(run, crew)
        self._succession.judge()
        if run.part is not None and not run.part.last:
            self._commit_part(run, snapshot, run.part, successors)
        else:
            self._commit_all(run, snapshot, successors)

    def _commit_all(self, run: Run, snapshot: Snapshot, successors: tuple[WorkerId, ...]) -> None:
        previous, joined = self._ledger.commit(snapshot, run.held), None
        run.previous = 0 if previous is None else previous.epoch
        self._out.put(StoreCell(run.epoch, snapshot.part))
        if run.part is not None:
            # Whoever was replaced and does not know reads the other word.
            self._out.put(StoreCell(run.epoch, 1 - snapshot.part))
            joined, self._children.kept = self._ledger.join(), None
        self._tell(run, successors)
        if run.is_roll:
            # There is no way back from a way back: what somebody, or a rescue, set aside is held.
            self._succession.serve(snapshot, None if run.goes_back else previous)
        self._children.retry()
        for left in (previous, joined):
            if left is not None:
                self._retirement.supersede(left, snapshot)

    def _commit_part(self, run: Run, snapshot: Snapshot, part: Part, successors: tuple[WorkerId, ...]) -> None:
        previous = self._ledger.commit_part(snapshot, part)
        run.previous = self._ledger.epoch if previous is None else previous.epoch
        self._out.put(StoreCell(run.epoch, snapshot.part))
        self._succession.serve_part(run)
        self._tell(run, successors)
        if previous is not None:
            self._retirement.supersede(previous, snapshot)

    def _tell(self, run: Run, successors: tuple[WorkerId, ...]) -> None:
        """Tell all workers, or, in several parts, those to whom it means something."""
        stamp = self._ledger.stamp(run.epoch)
        if self._ledger.parted is None:
            self._out.broadcast(messages.Commit(stamp, self._out.next_seq(), successors))
        else:
            for member in self._roster.members():
                if member.greeted and run.rolled in (member.rolled, member.heirs):
                    self._out.unicast(member.worker, messages.Commit(stamp, UNORDERED, successors))
        self._out.tell(CommitDecided(run.epoch, run.previous))

    def _reprieve(self, run: Run, crew: Iterable[Member]) -> None:
        """Let all have their time: who prepared long ago to follow, for its slot's timer ran; who came since to build.

        The latter serves nothing that is committed, even where it serves what was.
        """
        for member in crew:
            if (slot := self._roster.find(member.worker)) is not None:
                if member.incarnation not in run.prepared and run.epoch not in (member.epoch, member.prepared):
                    self._children.joining.falls_behind(slot)
                self._children.joining.reprieve(slot)

    def late(self, run: Run) -> bool:
        """Whether somebody lives who has to serve the epoch and does not."""
        return any(True for _ in self._late(run))

    def barren(self, run: Run) -> bool:
        """Whether nobody who could follow lives, and somebody is still to come who serves the epoch."""
        followers = [member for member in self._roster.members() if member.incarnation in run.followers]
        if followers or self._goes_on(run):
            return False
        return any(slot.state is not State.SERVING and not slot.failing for slot in self._roster.wanted(run.rolled))

    def serving(self, run: Run) -> int:
        """How many workers serve the epoch."""
        return sum(1 for member in self._roster.members() if member.epoch >= run.epoch)

    def missing(self, run: Run) -> tuple[MissingWorker, ...]:
        """Slots that are to serve the epoch and do not; who relieves one that does is none of them."""
        wanted = self._roster.wanted(run.rolled)
        served = {slot.number for slot in wanted if slot.member is not None and slot.member.epoch >= run.epoch}
        return tuple(
            MissingWorker(slot.number, _does(slot))
            for slot in wanted
            if slot.number not in served and slot.relieves not in served
        )

    def kill_late(self, run: Run, seconds: float) -> None:
        """Kill those who did not follow in time: their slots' next workers start on the epoch."""
        for member in list(self._late(run)):
            slot = self._roster.find(member.worker)
            # One that joins and has it to build has the deadline of all that join.
            if slot is not None and not self._joins(run, member):
                self._children.leaving.kill(slot, f"did not follow to epoch {run.epoch} within {seconds:g} s")

    def died(self, run: Run, member: Member, cause: str) -> None:
        """A worker is confirmed dead while others follow."""
        if member.incarnation in run.followers:
            run.lost.append(refusal_of(member, Fault.CRASH, member.reason or cause))

    def repeat(self) -> None:
        """Tell those again who could serve what is committed and did not report it, and those who are replaced by it.

        The latter are told for as long as they live, because who takes over from them may change.
        """
        for member in self._roster.members():
            if member.greeted and (current := self._ledger.current_for(member.rolled, member.heirs)) is not None:
                self._repeat(member, current)

    def _repeat(self, member: Member, current: Snapshot) -> None:
        follows = member.activated < current.epoch and current.epoch in (member.epoch, member.prepared)
        successors = self._succession.successors_of(member, current)
        if follows or successors:
            stamp = self._ledger.stamp(current.epoch)
            self._out.unicast(member.worker, messages.Commit(stamp, UNORDERED, successors))

    def _late(self, run: Run) -> Iterator[Member]:
        # Who came since the vote accepts nothing before it has built the epoch.
        goes_on = self._goes_on(run)
        for member in self._roster.members():
            follows = member.incarnation in run.followers and not member.yielding
            if follows and member.epoch < run.epoch and not (goes_on and self._joins(run, member)):
                yield member

    def _goes_on(self, run: Run) -> bool:
        """Whether there was time enough to follow, and somebody did."""
        return run.due and self.serving(run) > 0

    def _joins(self, run: Run, member: Member) -> bool:
        """Whether a worker came since the vote, and has the epoch to build."""
        slot = self._roster.find(member.worker)
        return slot is not None and slot.state is State.JOINING and member.incarnation not in run.prepared


def _does(slot: Slot) -> str:
    """What a slot does whose worker does not serve yet, and what became of its workers, in the words of a status."""
    word = "stopping" if slot.state in LEAVING else "starting"
    word = PAUSES.get(slot.state, word)
    return f"{word}: {slot.note}" if slot.note else word
