"""Runs cutovers one after the other: what is done on entering each state that `cutover.py` lists."""

from changeover.supervisor.core import child, cutover, endings, entries, outcome, records
from changeover.supervisor.core.activation import Activation
from changeover.supervisor.core.cutover import QUIET, RETREATS, Cause, State
from changeover.supervisor.core.effects import Preflight, Reread, Scan
from changeover.supervisor.core.entries import Decision, Entry, SlotRefusal
from changeover.supervisor.core.events import Timer, TimerKind
from changeover.supervisor.core.ledger import Ledger
from changeover.supervisor.core.outbox import Outbox
from changeover.supervisor.core.outcome import Outcome, ScanResult, SilentWorkers
from changeover.supervisor.core.policy import Policy
from changeover.supervisor.core.requests import Wish, merged
from changeover.supervisor.core.roster import Member
from changeover.supervisor.core.run import Run, Times, headline
from changeover.supervisor.core.scanning import judge
from changeover.supervisor.core.tally import Verdict
from changeover.supervisor.core.voting import Voting
from changeover.supervisor.core.wishes import Wishes
from changeover.supervisor.core.writing import Writing
from changeover.workers.protocol import messages
from changeover.workers.protocol.refusal import Refusal
from changeover.workers.protocol.table import BugFound


class Coordinator:
    """The cutover that runs.

    Attributes:
        state: Where it stands.
        run: What is known of it; None while none runs.
        obstacle: Why no cutover can be had at all, None when one can: the journal, or the end of the service.
        held_up: Whether none can begin just now.
    """

    __slots__ = (
        "_activation", "_ledger", "_out", "_policy", "_voting", "_wishes", "_writing",
        "held_up", "obstacle", "run", "state",
    )  # fmt: skip

    def __init__(
        self,
        policy: Policy,
        ledger: Ledger,
        voting: Voting,
        activation: Activation,
        wishes: Wishes,
        writing: Writing,
        out: Outbox,
    ) -> None:
        self._policy = policy
        self._ledger = ledger
        self._voting = voting
        self._activation = activation
        self._wishes = wishes
        self._writing = writing
        self._out = out
        self.state = cutover.TABLE.start
        self.run: Run | None = None
        self.obstacle: str | None = None
        self.held_up = True

    # ---- wishes ----

    def ask(self, wish: Wish) -> None:
        """Take a wish; it is refused at once when no cutover can be had."""
        why = self.obstacle
        if self.run is not None and self.state is State.IN_DOUBT:
            why = self.run.doubt
        if why is not None:
            self._wishes.refuse(wish, why)
            return
        self._wishes.waiting.append(wish)
        self.proceed()

    def proceed(self) -> None:
        """Begin the next cutover, when nothing stands in the way."""
        if self.state is State.IDLE and not self.held_up and self.obstacle is None and (batch := self._wishes.take()):
            self._begin(batch)

    def obstruct(self, why: str) -> None:
        """Refuse every wish from here on, and turn back what can be turned back."""
        self.obstacle = why
        self._wishes.refuse_all(why)
        if self.state is State.SCANNING:
            self._end_scan(outcome.Refused(self._serving(), reason=why))
        self.fail(why)

    def abandon(self) -> None:
        """Tell those who still wait that this supervisor will not know."""
        if self.run is not None:
            undecided = outcome.Undecided(
                self._serving(), epoch=self.run.epoch, reason=self.run.doubt or self.run.reason
            )
            self._wishes.tell(self.run, undecided)

    def settle_left_over(self, epoch: int) -> None:
        """Abort what a former supervisor left undecided."""
        self.run = Run(epoch, (), None, Times(self._out.now, self._out.now))
        self.run.reason = "the supervisor ended before it was decided"
        self._move(Cause.LEFT_OVER)
        self._write_abort(self.run)

    # ---- scanning, registering, preflighting ----

    def _begin(self, wishes: tuple[Wish, ...]) -> None:
        request = merged(wishes)
        times = Times(min(wish.since for wish in wishes), self._out.now)
        self.run = Run(self._ledger.given + 1, wishes, request, times)
        self._move(Cause.REQUESTED)
        self._out.put(Scan(self.run.epoch, request, self._ledger.committed))
        self._out.set_timer(Timer(TimerKind.SCAN, self.run.epoch), self._policy.deadlines.scan)

    def scanned(self, epoch: int, result: ScanResult) -> None:
        """The scan ended."""
        run = self._in(State.SCANNING, epoch)
        if run is None or run.request is None:
            return
        self._out.cancel_timer(Timer(TimerKind.SCAN, epoch))
        if self._ledger.given >= epoch:
            # A worker knew of that number meanwhile: scan again under the next.
            self._rescan(run)
            return
        ending = judge(result, run.request, epoch, self._ledger)
        if ending is not None or not isinstance(result, outcome.Candidate):
            self._end_scan(ending or outcome.Unchanged(self._serving()))
            return
        self._register(run, run.request, result)

    def _rescan(self, run: Run) -> None:
        self._move(Cause.NO_CANDIDATE)
        self.run = None
        self._wishes.put_back(run.wishes)
        self.proceed()

    def _end_scan(self, ending: Outcome) -> None:
        run = self._running()
        self._out.cancel_timer(Timer(TimerKind.SCAN, run.epoch))
        if run.origin is not None:
            self._out.tell(endings.without_number(ending, run.origin))
        self._move(Cause.NO_CANDIDATE)
        self._finish(run, ending)

    def _register(self, run: Run, request: outcome.CutoverRequest, found: outcome.Candidate) -> None:
        self._ledger.give()
        committed = self._ledger.committed
        if request.action is outcome.Action.ROLLBACK and committed is not None:
            run.holds = committed.digest
        run.candidate = found
        run.times.registered = self._out.now
        self._move(Cause.CANDIDATE)
        workers = self._voting.electorate()
        self._out.tell(records.CutoverBegan(run.epoch, request.origin, found.summary, self._serving(), workers))
        self._writing.write(
            entries.EpochGiven(run.epoch, found.snapshot, request.origin, found.summary, found.restores, run.holds)
        )

    def rehearsed(self, epoch: int) -> None:
        """The preflight passed."""
        if (run := self._in(State.PREFLIGHTING, epoch)) is not None:
            self._out.cancel_timer(Timer(TimerKind.PREFLIGHT, epoch))
            self._move(Cause.REHEARSED)
            self._writing.write(entries.PreparingBegun(run.epoch))

    def preflight_refused(self, epoch: int, refusals: tuple[SlotRefusal, ...]) -> None:
        """The preflight did not pass."""
        if (run := self._in(State.PREFLIGHTING, epoch)) is not None:
            self._out.cancel_timer(Timer(TimerKind.PREFLIGHT, epoch))
            run.refusals.extend(refusals)
            self.fail(headline(refusals))

    # ---- what the journal answers ----

    def written(self, entry: Entry) -> None:
        """An entry about a cutover is on disk, perhaps later than was waited for."""
        if isinstance(entry, Decision):
            self._decided(entry)
        elif isinstance(entry, entries.EpochGiven) and (run := self._in(State.REGISTERING, entry.epoch)):
            self._given(run)
        elif isinstance(entry, entries.PreparingBegun) and (run := self._in(State.OPENING, entry.epoch)):
            self._move(Cause.OPENED)
            run.times.prepared = self._out.now
            self._out.set_timer(Timer(TimerKind.PREPARE, run.epoch), self._policy.deadlines.prepare)
            self._voting.ask(run, self._policy.deadlines.prepare)
            self.recount()

    def _given(self, run: Run) -> None:
        if self._policy.preflight and run.snapshot is not None:
            self._move(Cause.GIVEN_TO_REHEARSE)
            run.times.preflighted = self._out.now
            self._out.put(Preflight(run.snapshot, self._ledger.committed))
            self._out.set_timer(Timer(TimerKind.PREFLIGHT, run.epoch), self._policy.deadlines.preflight)
            return
        self._move(Cause.GIVEN)
        self._writing.write(entries.PreparingBegun(run.epoch))

    def not_written(self, entry: Entry, reason: str) -> None:
        """An entry about a cutover may not be on disk."""
        run = self.run
        epoch = entry.epoch if isinstance(entry, Decision | entries.EpochGiven | entries.PreparingBegun) else None
        if run is None or run.epoch != epoch:
            return
        if not isinstance(entry, Decision):
            self.fail(f"the journal could not be written: {reason}")
        elif self._doubts(entry):
            self._doubt(run, entry, reason)

    def _doubts(self, entry: Decision) -> bool:
        return self.state is (State.DECIDING if isinstance(entry, entries.Committed) else State.ABORTING)

    def _doubt(self, run: Run, entry: Decision, reason: str) -> None:
        self._move(Cause.DOUBTED)
        self._out.tell(records.InDoubt(run.epoch, reason))
        if not run.decision_tried:
            why = run.reason or "aborted"
            why = f"{why}; and the journal could not be written: {reason}"
            self._wishes.tell(run, endings.refused(run, self._serving(), why))
        run.doubt = f"the journal is in doubt about epoch {run.epoch}: {reason}"
        run.reason = run.reason or run.doubt
        self._out.set_timer(Timer(TimerKind.REREAD, run.epoch), self._policy.deadlines.reread)
        if isinstance(entry, entries.Committed):
            self._out.put(Reread(run.epoch))
        self._wishes.refuse_all(run.doubt)

    def reread(self, epoch: int, decision: Decision | None) -> None:
        """A fresh connection says what is on disk."""
        run = self._in(State.IN_DOUBT, epoch)
        if run is None:
            return
        self._out.cancel_timer(Timer(TimerKind.REREAD, epoch))
        if decision is not None:
            self._decided(decision)
            return
        self._move(Cause.UNDECIDED)
        self._write_abort(run)

    def _decided(self, decision: Decision) -> None:
        run = self.run
        if run is None or run.epoch != decision.epoch:
            return
        cause = Cause.COMMITTED if isinstance(decision, entries.Committed) else Cause.ABORTED
        if self.state is State.ACTIVATING and cause is Cause.COMMITTED:
            return  # both the late answer and the fresh connection said so
        if self.state is State.IN_DOUBT or (run.decision_tried and self.state is State.ABORTING):
            self._out.tell(records.DoubtSettled(run.epoch, cause is Cause.COMMITTED))
        self._out.cancel_timer(Timer(TimerKind.REREAD, run.epoch))
        self._move(cause)
        if cause is Cause.COMMITTED:
            self._commit(run)
        else:
            self._aborted(run, decision)

    # ---- voting ----

    def vote(self, member: Member, epoch: int, took: float) -> None:
        """A worker holds `epoch` prepared."""
        if (run := self._in(State.PREPARING, epoch) or self._in(State.INQUIRING, epoch)) is not None:
            self._voting.said_yes(run, member, took)
            self.recount()

    def veto(self, member: Member, epoch: int, refusal: Refusal) -> bool:
        """A worker cannot prepare `epoch`; False when that is not asked any more."""
        if (run := self._in(State.PREPARING, epoch) or self._in(State.INQUIRING, epoch)) is None:
            return False
        self._voting.said_no(run, member, refusal)
        self.recount()
        return True

    def recount(self) -> None:
        """Votes or voters changed."""
        run = self.run
        if run is None or self.state not in (State.PREPARING, State.INQUIRING):
            return
        verdict = self._voting.verdict(run)
        if verdict is Verdict.REFUSED:
            self.fail(headline(run.refusals))
        elif self._voting.nobody_left():
            self.fail("no worker came up to try it")
        elif verdict is Verdict.UNANIMOUS:
            self._decide(run)

    def died(self, member: Member, state: child.State, cause: str) -> None:
        """A worker is confirmed dead; `state` is what its slot was in."""
        run = self.run
        if run is None:
            return
        if self.state in (State.PREPARING, State.INQUIRING):
            self._voting.died(run, member, state, cause)
            self.recount()
        elif self.state is State.ACTIVATING:
            self._activation.died(run, member, cause)
            self.follow()

    # ---- deadlines ----

    def stacks(self, member: Member) -> None:
        """The stacks of a worker that did not answer were written down, or could not be."""
        run = self.run
        if run is None or self.state is not State.INQUIRING or member.incarnation not in run.questioned:
            return
        run.questioned.discard(member.incarnation)
        if not run.questioned:
            self._blame(run)

    def overdue(self, timer: Timer) -> None:
        """A deadline of the cutover passed."""
        run = self.run
        if run is None or run.epoch != timer.subject:
            return
        deadlines = self._policy.deadlines
        match timer.kind, self.state:
            case TimerKind.SCAN, State.SCANNING:
                self._end_scan(outcome.Refused(self._serving(), reason=f"the scan took over {deadlines.scan:g} s"))
            case TimerKind.PREFLIGHT, State.PREFLIGHTING:
                self.fail(f"the preflight took over {deadlines.preflight:g} s")
            case TimerKind.PREPARE, State.PREPARING:
                self._inquire(run)
            case TimerKind.PREPARE, State.INQUIRING:
                self._blame(run)
            case TimerKind.ACTIVATE, State.ACTIVATING:
                self._activation.kill_late(run, deadlines.activate)
            case TimerKind.REREAD, State.IN_DOUBT:
                self._out.put(Reread(run.epoch))
                self._out.set_timer(timer, deadlines.persist)
            case _:
                pass

    def unreadable(self, epoch: int) -> None:
        """A fresh connection could not be had: try again."""
        if self._in(State.IN_DOUBT, epoch) is not None:
            self._out.set_timer(Timer(TimerKind.REREAD, epoch), self._policy.deadlines.reread)

    def repeat(self) -> None:
        """Tell those again who did not answer."""
        run = self.run
        if run is not None and self.state in (State.PREPARING, State.INQUIRING):
            self._voting.ask_again(run, self._policy.deadlines.prepare)

    def _inquire(self, run: Run) -> None:
        self._move(Cause.OVERDUE)
        deadlines = self._policy.deadlines
        wanted = None if run.request is None else run.request.on_silent_workers
        if (wanted or self._policy.on_silent_workers) is SilentWorkers.KILL:
            self._voting.condemn(run, deadlines.prepare)
            self._out.set_timer(Timer(TimerKind.PREPARE, run.epoch), deadlines.kill)
        else:
            self._voting.inquire(run)
            self._out.set_timer(Timer(TimerKind.PREPARE, run.epoch), deadlines.inquire)
        self.recount()

    def _blame(self, run: Run) -> None:
        self._voting.blame(run, self._policy.deadlines.prepare)
        self.fail(headline(run.refusals))

    # ---- deciding ----

    def _decide(self, run: Run) -> None:
        self._move(Cause.UNANIMOUS)
        run.times.decided = self._out.now
        run.decision_tried = True
        self._out.cancel_timer(Timer(TimerKind.PREPARE, run.epoch))
        self._writing.write(entries.Committed(run.epoch))

    def fail(self, reason: str) -> None:
        """Give the cutover up, if it still can be given up."""
        if self.run is not None and self.state in RETREATS:
            self.run.reason = reason
            self._out.cancel_timer(Timer(TimerKind.PREPARE, self.run.epoch))
            self._out.cancel_timer(Timer(TimerKind.PREFLIGHT, self.run.epoch))
            self._move(Cause.FAILED)
            self._write_abort(self.run)

    def _write_abort(self, run: Run) -> None:
        self._writing.write(entries.Aborted(run.epoch, run.reason, tuple(run.refusals)))

    def _aborted(self, run: Run, decision: Decision) -> None:
        stamp = self._ledger.stamp(run.epoch)
        self._out.broadcast(messages.Abort(stamp, self._out.next_seq(), run.reason))
        self._out.tell(records.CutoverAborted(run.epoch, run.reason, tuple(run.refusals), run.origin, self._serving()))
        self._finish(run, endings.refused(run, self._serving(), run.reason))

    def _commit(self, run: Run) -> None:
        if run.snapshot is None:
            raise BugFound("cutover", self.state.value, "a commit of a candidate that nobody knows")
        run.times.committed = self._out.now
        self._activation.commit(run, run.snapshot)
        self._out.set_timer(Timer(TimerKind.ACTIVATE, run.epoch), self._policy.deadlines.activate)
        self.follow()

    def follow(self) -> None:
        """A worker activated, or died."""
        run = self.run
        if run is None or self.state is not State.ACTIVATING or self._activation.late(run):
            return
        self._out.cancel_timer(Timer(TimerKind.ACTIVATE, run.epoch))
        self._move(Cause.ALL_FOLLOW)
        committed = endings.committed(run, self._activation.serving(run))
        if run.origin is not None:
            self._out.tell(endings.completed(run, run.origin, committed, self._out.now))
        self._finish(run, committed)

    # ---- inside ----

    def _finish(self, run: Run, ending: Outcome) -> None:
        self._wishes.tell(run, ending)
        self.run = None
        self.proceed()

    def _serving(self) -> int:
        return self._ledger.epoch

    def _running(self) -> Run:
        if self.run is None:
            raise BugFound("cutover", self.state.value, "a step of a cutover that does not run")
        return self.run

    def _in(self, state: State, epoch: int) -> Run | None:
        """The run, when it is about `epoch` and in `state`: late answers are about another, or come too late."""
        if self.run is None or self.run.epoch != epoch or self.state is not state:
            return None
        return self.run

    def _move(self, cause: Cause) -> None:
        self.state = cutover.TABLE.after(self.state, cause)
        if self.run is not None and self.state not in QUIET:
            self._out.tell(records.PhaseBegan(self.run.epoch, self.state.value))
