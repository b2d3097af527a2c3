"""The point of no return and what lies behind it: a decision is written, found out, and followed."""

from collections.abc import Callable

from msgspec.structs import replace

from changeover.supervisor.core import endings, entries
from changeover.supervisor.core.activation import Activation
from changeover.supervisor.core.cutover import Cause, State
from changeover.supervisor.core.effects import Reread
from changeover.supervisor.core.entries import Decision
from changeover.supervisor.core.events import Timer, TimerKind
from changeover.supervisor.core.ledger import Ledger
from changeover.supervisor.core.outbox import Outbox
from changeover.supervisor.core.outcome import Outcome
from changeover.supervisor.core.policy import Deadlines
from changeover.supervisor.core.progress import Progress
from changeover.supervisor.core.quarantine import leaves_rest
from changeover.supervisor.core.records.cutover import CutoverAborted, DoubtSettled, InDoubt
from changeover.supervisor.core.roster import Member
from changeover.supervisor.core.run import Run
from changeover.supervisor.core.succession import Succession
from changeover.supervisor.core.wishes import Wishes
from changeover.supervisor.core.writing import Writing
from changeover.workers.protocol import messages
from changeover.workers.protocol.table import BugFound


class Deciding:
    """Has one decision per epoch written, and acts on it once it is known to be on disk.

    Args:
        finish: Ends the run with its outcome.
        settle: Has undone what was migrated, where only the journal could tell that it is to be.
    """

    __slots__ = (
        "_activation", "_deadlines", "_finish", "_ledger", "_out", "_progress", "_settle", "_succession",
        "_wishes", "_writing",
    )  # fmt: skip

    def __init__(
        self,
        deadlines: Deadlines,
        ledger: Ledger,
        progress: Progress,
        activation: Activation,
        succession: Succession,
        wishes: Wishes,
        writing: Writing,
        out: Outbox,
        finish: Callable[[Run, Outcome], None],
        settle: Callable[[Run], None],
    ) -> None:
        self._deadlines = deadlines
        self._ledger = ledger
        self._progress = progress
        self._activation = activation
        self._succession = succession
        self._wishes = wishes
        self._writing = writing
        self._out = out
        self._finish = finish
        self._settle = settle

    # ---- asking for a decision ----

    def commit(self, run: Run, cause: Cause) -> None:
        """Everybody prepared, and what was to be migrated is: have the commit written."""
        self._progress.move(cause)
        run.times.decided = self._out.now
        run.decision_tried = True
        self._writing.write(entries.Committed(run.epoch))

    def abort(self, run: Run, cause: Cause, reason: str) -> None:
        """Have the abort written."""
        self._progress.move(cause)
        run.reason = run.reason or reason
        self._writing.write(entries.Aborted(run.epoch, run.reason, tuple(run.refusals)))

    # ---- what the journal answers ----

    def written(self, decision: Decision) -> None:
        """A decision is on disk: by an answer, a late one, or a fresh connection."""
        run, state = self._progress.run, self._progress.state
        if run is None or run.epoch != decision.epoch:
            return
        committed = isinstance(decision, entries.Committed)
        if state is State.ACTIVATING and committed:
            return  # both the late answer and the fresh connection said so
        if state is State.IN_DOUBT or (run.decision_tried and state is State.ABORTING):
            self._out.tell(DoubtSettled(run.epoch, committed))
        self._out.cancel_timer(Timer(TimerKind.REREAD, run.epoch))
        if committed:
            self._progress.move(Cause.COMMITTED)
            self._committed(run)
        else:
            self._progress.move(Cause.ABORTED)
            self._aborted(run)

    def not_written(self, decision: Decision, reason: str) -> None:
        """A decision may not be on disk."""
        asked = State.DECIDING if isinstance(decision, entries.Committed) else State.ABORTING
        run = self._progress.at(decision.epoch, asked)
        if run is None:
            return
        self._progress.move(Cause.DOUBTED)
        self._out.tell(InDoubt(run.epoch, reason))
        if not run.decision_tried:
            # Whatever becomes of the abort, no commit was ever asked for.
            why = f"{run.reason}; and the journal could not be written: {reason}"
            self._wishes.tell(run, endings.refused(run, self._ledger.epoch, why))
        run.doubt = f"the journal is in doubt about epoch {run.epoch}: {reason}"
        self._wishes.refuse_all(run.doubt)
        self._out.set_timer(Timer(TimerKind.REREAD, run.epoch), self._deadlines.reread)
        if asked is State.DECIDING:
            self._out.put(Reread(run.epoch))

    def reread(self, epoch: int, decision: Decision | None) -> None:
        """A fresh connection says what is on disk."""
        run = self._progress.at(epoch, State.IN_DOUBT)
        if run is None:
            return
        if decision is not None:
            self.written(decision)
            return
        self._out.cancel_timer(Timer(TimerKind.REREAD, epoch))
        self.abort(run, Cause.UNDECIDED, run.doubt)

    def unreadable(self, epoch: int) -> None:
        """A fresh connection could not be had: try again."""
        if self._progress.at(epoch, State.IN_DOUBT) is not None:
            self._out.set_timer(Timer(TimerKind.REREAD, epoch), self._deadlines.reread)

    def look_again(self, run: Run) -> None:
        """It is time to find out."""
        self._out.put(Reread(run.epoch))
        self._out.set_timer(Timer(TimerKind.REREAD, run.epoch), self._deadlines.persist)

    # ---- acting on it ----

    def _aborted(self, run: Run) -> None:
        serving = self._ledger.epoch
        self._ledger.abort(run.snapshot, run.refusals)
        self._settle(run)
        self._out.broadcast(messages.Abort(self._ledger.stamp(run.epoch), self._out.next_seq(), run.reason))
        self._succession.abort(run, "its roll was aborted")
        self._out.tell(CutoverAborted(run.epoch, run.reason, tuple(run.refusals), run.origin, serving))
        self._finish(run, replace(endings.refused(run, serving, run.reason), rest=self._leaves_rest(run)))

    def _leaves_rest(self, run: Run) -> bool:
        if run.candidate is None or run.request is None or run.request.policy is None:
            return False
        found, ledger = run.candidate, self._ledger
        return leaves_rest(ledger.quarantine, ledger.committed, found.snapshot, found.exempt)

    def _committed(self, run: Run) -> None:
        if run.snapshot is None:
            raise BugFound("cutover", self._progress.state.value, "a commit of a candidate that nobody knows")
        run.times.committed = self._out.now
        self._activation.commit(run, run.snapshot)
        barren = self._activation.barren(run)
        within = self._deadlines.boot if barren else self._deadlines.activate
        self._out.set_timer(Timer(TimerKind.ACTIVATE, run.epoch), within)
        self.follow()

    def follow(self) -> None:
        """A worker activated, or died."""
        run = self._progress.run
        if run is None or self._progress.state is not State.ACTIVATING or self._activation.late(run):
            return
        if self._activation.barren(run) and not run.overdue:
            return
        self._out.cancel_timer(Timer(TimerKind.ACTIVATE, run.epoch))
        self._progress.move(Cause.ALL_FOLLOW)
        committed = endings.committed(run, self._activation.serving(run), self._activation.missing(run))
        if run.part is not None and not run.part.last:
            self._out.tell(endings.serves(run, run.part, committed.workers, self._ledger.epoch))
        elif run.origin is not None:
            self._out.tell(endings.completed(run, run.origin, committed, self._out.now))
        self._finish(run, committed)

    def died(self, run: Run, member: Member, cause: str) -> None:
        """A worker is confirmed dead while others follow."""
        self._activation.died(run, member, cause)
        self.follow()

    def kill_late(self, run: Run) -> None:
        """The deadline to follow passed: who prepared is killed, who came since is waited for while nobody serves."""
        run.due = True
        self._activation.kill_late(run, self._deadlines.activate)
        if self._activation.late(run):
            self._out.set_timer(Timer(TimerKind.ACTIVATE, run.epoch), self._deadlines.boot)
            return
        run.overdue = True
        self.follow()
