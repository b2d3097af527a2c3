"""Runs cutovers one after the other: takes wishes, finds a candidate, gives it a number, and has it decided."""

from changeover.supervisor.core import child, cutover, endings, entries, holding, outcome
from changeover.supervisor.core.activation import Activation
from changeover.supervisor.core.cutover import CANDIDATE_TOLD, MIGRATION, OPEN, RETREATS, Cause, State
from changeover.supervisor.core.deciding import Deciding
from changeover.supervisor.core.effects import Scan
from changeover.supervisor.core.entries import Decision, Entry, Held, Part, SlotRefusal
from changeover.supervisor.core.events import Timer, TimerKind
from changeover.supervisor.core.ledger import Ledger
from changeover.supervisor.core.migrating import Migrating
from changeover.supervisor.core.outbox import Outbox
from changeover.supervisor.core.outcome import Outcome, ScanResult
from changeover.supervisor.core.partial import Partial, Step
from changeover.supervisor.core.policy import Policy
from changeover.supervisor.core.preparing import Preparing
from changeover.supervisor.core.progress import Progress
from changeover.supervisor.core.records.cutover import CutoverBegan
from changeover.supervisor.core.records.part import PartBegan
from changeover.supervisor.core.rehearsing import Rehearsing
from changeover.supervisor.core.requests import Wish, labelled, merged
from changeover.supervisor.core.roster import Member
from changeover.supervisor.core.run import Run, Times
from changeover.supervisor.core.scanning import judge, permitted
from changeover.supervisor.core.succession import Succession
from changeover.supervisor.core.voting import Voting
from changeover.supervisor.core.wishes import Wishes
from changeover.supervisor.core.writing import Writing
from changeover.workers.protocol.messages import Phase
from changeover.workers.protocol.snapshot import Snapshot
from changeover.workers.protocol.table import BugFound


class Coordinator:
    """Everything about cutovers.

    Attributes:
        rehearsing: Has candidates rehearsed.
        preparing: Takes the votes.
        migrating: Has one worker migrate what all share.
        deciding: Has decisions written, and acts on them.
        obstacle: Why no cutover can be had at all, None when one can: the journal, or the end of the service.
        held_up: Whether none can begin just now.
    """

    __slots__ = (
        "_ledger", "_out", "_partial", "_policy", "_progress", "_succession", "_voting", "_wishes", "_writing",
        "deciding", "held_up", "migrating", "obstacle", "preparing", "rehearsing",
    )  # fmt: skip

    def __init__(
        self,
        policy: Policy,
        ledger: Ledger,
        voting: Voting,
        activation: Activation,
        succession: Succession,
        wishes: Wishes,
        writing: Writing,
        partial: Partial,
        out: Outbox,
    ) -> None:
        self._policy = policy
        self._partial = partial
        self._ledger = ledger
        self._voting = voting
        self._wishes = wishes
        self._writing = writing
        self._out = out
        self._progress = Progress(out)
        self._succession = succession
        self.migrating = Migrating(policy, ledger, self._progress, voting, out, self._commit, self.fail, self._give_up)
        self.deciding = Deciding(
            policy.deadlines, ledger, self._progress, activation, succession, wishes, writing, out, self._finish,
            self.migrating.settle,
        )  # fmt: skip
        self.rehearsing = Rehearsing(policy, ledger, self._progress, succession, writing, out, self.fail)
        self.preparing = Preparing(policy, self._progress, voting, out, succession, self.migrating.begin, self.fail)
        self.obstacle: str | None = None
        self.held_up = True

    @property
    def state(self) -> State:
        """Where the cutover stands."""
        return self._progress.state

    @property
    def run(self) -> Run | None:
        """What is known of it; None while none runs."""
        return self._progress.run

    @property
    def free(self) -> bool:
        """Whether a cutover that is asked for now begins now."""
        return self._rests and self._ledger.parted is None

    @property
    def phase(self) -> Phase:
        """Where it stands, as workers are told."""
        return cutover.phase(self.state)

    @property
    def decided(self) -> int:
        """The number up to which every one that was given has its decision."""
        undecided = self.run is not None and self.state not in (State.SCANNING, State.ACTIVATING)
        return self.run.epoch - 1 if self.run is not None and undecided else self._ledger.given

    def candidate_for(self, member: Member) -> Snapshot | None:
        """What a worker that joins now is asked for beside what is committed."""
        if self.run is None or not self._voting.concerns(self.run, member):
            return None
        # An abort that follows a doubt may still turn out to be a commit.
        doubtful = self.run.decision_tried and self.state is State.ABORTING
        return self.run.snapshot if doubtful or self.state in CANDIDATE_TOLD else None

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

    def ask_first(self, wish: Wish) -> None:
        """Take a wish before all that wait."""
        self._wishes.waiting.insert(0, wish)
        self.proceed()

    def proceed(self) -> None:
        """Begin the next cutover, when nothing stands in the way."""
        if self.free and (batch := self._wishes.take()):
            self._begin(batch)

    @property
    def _rests(self) -> bool:
        return self.state is State.IDLE and not self.held_up and self.obstacle is None

    def is_preparing(self, rolled: int) -> bool:
        """Whether a cutover needs the zygote of that roll before it can be decided."""
        run, undecided = self.run, self.state in (State.PRELOADING, State.PREFLIGHTING, *OPEN)
        return run is not None and undecided and run.is_roll and run.rolled == rolled

    @property
    def in_parts(self) -> bool:
        """Whether some workers serve, or are to serve, another epoch than others."""
        return self._ledger.parted is not None or (self.run is not None and self.run.part is not None)

    def go_on(self) -> None:
        """Go on with a roll in parts, forward or back."""
        if not self._rests or self._ledger.parted is None:
            return
        epoch, step = self._ledger.given + 1, self._partial.step()
        if step is Step.ADVANCE and (further := self._partial.advance(epoch)) is not None:
            part, request, found = further
            self._begin_found(request, found, part)
        elif step is Step.REVERT and (back := self._partial.revert(epoch)) is not None:
            self._begin_found(*back)
        elif step is Step.RETURN:
            self._tell(self._partial.give_back())
            self.proceed()

    def _begin_found(self, request: outcome.CutoverRequest, found: outcome.Candidate, part: Part | None = None) -> None:
        now = self._out.now
        run = self._progress.run = Run(found.snapshot.epoch, (), request, Times(now, now), part=part)
        self._progress.move(Cause.REQUESTED)
        self._register(run, request, found)

    def obstruct(self, why: str) -> None:
        """Refuse every wish from here on, and turn back what can be turned back."""
        self.obstacle = why
        self._wishes.refuse_all(why)
        if self.state is State.SCANNING:
            self._end_scan(outcome.Refused(self._serving(), reason=why))
        self.fail(why)
        if self.run is None:
            self._tell(self._partial.abandon(why))

    def end(self, why: str) -> None:
        """The service ends: turn back what can be turned back, and let those who wait know what it leaves."""
        self._wishes.stopping = True
        self._partial.take_stock()
        self.obstruct(why)

    def pause(self, why: str) -> None:
        """Refuse every wish until `resume`; what runs goes on."""
        self.obstacle = why
        self._wishes.refuse_all(why)

    def resume(self) -> None:
        """Take wishes again."""
        self.obstacle = None
        self.proceed()

    def abandon(self) -> None:
        """Tell those who still wait that nothing changed, or that this supervisor will not know."""
        ending = None if self.run is None else self._abandoned(self.run)
        if self.run is not None and ending is not None:
            self._wishes.tell(self.run, ending)
        self._tell(self._partial.abandon(self.obstacle or "", ending))

    def _abandoned(self, run: Run) -> Outcome:
        # Until a commit is asked for none can be on disk: a successor writes the abort that is missing.
        if not run.decision_tried:
            return endings.refused(run, self._serving(), run.reason)
        return outcome.Undecided(self._serving(), epoch=run.epoch, reason=run.doubt or run.reason)

    def settle_left_over(self, epoch: int) -> None:
        """Abort what a former supervisor left undecided."""
        self._progress.run = Run(epoch, (), None, Times(self._out.now, self._out.now))
        self.deciding.abort(self._progress.run, Cause.LEFT_OVER, "the supervisor ended before it was decided")

    # ---- scanning, registering ----

    def _begin(self, wishes: tuple[Wish, ...]) -> None:
        request = merged(wishes)
        times = Times(min(wish.since for wish in wishes), self._out.now)
        epoch = self._ledger.given + 1
        self._progress.run = Run(epoch, wishes, request, times)
        self._progress.move(Cause.REQUESTED)
        self._out.put(Scan(epoch, request, self._ledger.committed))
        self._out.set_timer(Timer(TimerKind.SCAN, epoch), self._policy.deadlines.scan)

    def scanned(self, epoch: int, result: ScanResult) -> None:
        """The scan ended."""
        run = self._progress.at(epoch, State.SCANNING)
        if run is None or run.request is None:
            return
        self._out.cancel_timer(Timer(TimerKind.SCAN, epoch))
        if self._ledger.given >= epoch:
            # A worker knew of that number meanwhile: scan again under the next.
            self._rescan(run)
            return
        if isinstance(result, outcome.Candidate):
            result = self._succession.weighed(result, run.request)
        ending = judge(result, run.request, epoch, self._ledger)
        if isinstance(result, outcome.Candidate) and isinstance(ending, outcome.Planned | None):
            ending = self._unstaffed(run.request, result) or self._succession.planned(ending, result, run.request)
        if ending is not None or not isinstance(result, outcome.Candidate):
            self._end_scan(ending or outcome.Unchanged(self._serving()))
            return
        self._register(run, run.request, result)

    def _unstaffed(self, request: outcome.CutoverRequest, found: outcome.Candidate) -> Outcome | None:
        refusal = self._succession.refusal(found.snapshot, request)
        if refusal is None:
            return None
        refusals = (SlotRefusal(-1, 0, refusal),)
        return outcome.Refused(self._serving(), reason=refusal.summary, refusals=refusals, summary=found.summary)

    def _rescan(self, run: Run) -> None:
        self._progress.move(Cause.NO_CANDIDATE)
        self._progress.run = None
        self._wishes.put_back(run.wishes)
        self.proceed()

    def _end_scan(self, ending: Outcome) -> None:
        run = self._running()
        self._out.cancel_timer(Timer(TimerKind.SCAN, run.epoch))
        if run.origin is not None:
            self._out.tell(endings.without_number(ending, run.origin))
        self._progress.move(Cause.NO_CANDIDATE)
        self._finish(run, ending)

    def _register(self, run: Run, request: outcome.CutoverRequest, found: outcome.Candidate) -> None:
        self._ledger.give()
        found = permitted(found, request)
        run.request = request = labelled(request, found.snapshot.label)
        if self._ledger.parted is None and self._succession.in_parts(found.snapshot, request):
            found = self._partial.begin(run, request, found, request.surge or 1)
        run.held = self._held_after(run, found.snapshot)
        run.candidate = found
        run.times.registered = self._out.now
        self._progress.move(Cause.CANDIDATE)
        strategy = outcome.Strategy.ROLL if run.is_roll else outcome.Strategy.SWAP
        workers = self._voting.staff(run)
        serving, memory = self._serving(), found.memory
        self._out.tell(CutoverBegan(run.epoch, request.origin, found.summary, serving, workers, strategy, memory))
        if run.part is not None:
            self._out.tell(PartBegan(run.epoch, run.part.number, run.part.of, workers))
        self._writing.write(
            entries.EpochGiven(
                run.epoch, found.snapshot, request.origin, found.summary, found.restores, run.held, run.part
            )
        )

    def _held_after(self, run: Run, candidate: Snapshot) -> tuple[Held, ...]:
        """All that is held once it is committed."""
        then_held = holding.after_reload
        if run.goes_back:
            then_held = holding.after_rollback
        elif run.removes:
            then_held = holding.after_removal
        left = self._partial.set_aside or self._ledger.committed
        return holding.in_order(then_held(self._ledger.held, left, candidate))

    # ---- what the journal answers ----

    def written(self, entry: Entry) -> None:
        """An entry about a cutover is on disk, perhaps later than was waited for."""
        if isinstance(entry, Decision):
            self.deciding.written(entry)
        elif isinstance(entry, entries.EpochGiven) and (run := self._progress.at(entry.epoch, State.REGISTERING)):
            self.rehearsing.begin(run)
        elif isinstance(entry, entries.PreparingBegun) and (run := self._progress.at(entry.epoch, State.OPENING)):
            self.preparing.begin(run)

    def not_written(self, entry: Entry, reason: str) -> None:
        """An entry about a cutover may not be on disk."""
        if isinstance(entry, Decision):
            self.deciding.not_written(entry, reason)
        elif isinstance(entry, entries.EpochGiven | entries.PreparingBegun) and (
            self._progress.at(entry.epoch, State.REGISTERING, State.OPENING)
        ):
            self.fail(f"the journal could not be written: {reason}")

    # ---- deaths, deadlines, failure ----

    def explains(self, member: Member, state: child.State) -> bool:
        """Whether a candidate explains a death, or the next worker tries it alone: the slot is filled at once."""
        if self.run is None or self.state not in (*OPEN, State.MIGRATING):
            return False
        spared = self.state in OPEN and self._voting.spares(self.run, member, state)
        return spared or self._voting.explains(self.run, member, state)

    def died(self, member: Member, state: child.State, cause: str) -> None:
        """A worker is confirmed dead; `state` is what its slot was in."""
        self.migrating.gone(member)
        if self.run is not None and self.state in OPEN:
            self.preparing.died(self.run, member, state, cause)
        elif self.run is not None and self.state in MIGRATION:
            self.migrating.died(self.run, member, state, cause)
        elif self.run is not None and self.state is State.ACTIVATING:
            self.deciding.died(self.run, member, cause)

    def overdue(self, timer: Timer) -> None:
        """A deadline of the cutover passed."""
        run = self.run
        if run is None or run.epoch != timer.subject:
            return
        deadlines = self._policy.deadlines
        match timer.kind, self.state:
            case TimerKind.SCAN, State.SCANNING:
                self._end_scan(outcome.Refused(self._serving(), reason=f"the scan took over {deadlines.scan:g} s"))
            case TimerKind.PREFLIGHT, State.PRELOADING | State.PREFLIGHTING:
                self.rehearsing.overdue(run)
            case TimerKind.PREPARE, State.PREPARING | State.AGREEING | State.INQUIRING:
                self.preparing.overdue(run)
            case TimerKind.PREPARE, State.MIGRATING | State.UNMIGRATING:
                self.migrating.overdue(run)
            case TimerKind.ACTIVATE, State.ACTIVATING:
                self.deciding.kill_late(run)
            case TimerKind.REREAD, State.IN_DOUBT:
                self.deciding.look_again(run)
            case _:
                pass

    def fail(self, reason: str) -> None:
        """Give the cutover up, if it still can be given up."""
        if self.run is not None and self.state in RETREATS:
            self._out.cancel_timer(Timer(TimerKind.PREPARE, self.run.epoch))
            self.rehearsing.stop(self.run)
            if self.state is State.MIGRATING:
                self.migrating.undo(self.run, reason)
            else:
                self._give_up(self.run, Cause.FAILED, reason)

    # ---- inside ----

    def _commit(self, run: Run, cause: Cause) -> None:
        self.deciding.commit(run, cause)

    def _give_up(self, run: Run, cause: Cause, reason: str = "") -> None:
        self.deciding.abort(run, cause, reason)
        # No commit was ever asked for, so nobody will need them.
        self._succession.abort(run, run.reason)

    def _finish(self, run: Run, ending: Outcome) -> None:
        self._progress.run = None
        self._tell(self._partial.ended(run, ending))
        if self.obstacle is not None:
            self._tell(self._partial.abandon(self.obstacle))
        self.proceed()

    def _tell(self, told: tuple[Run, Outcome] | None) -> None:
        if told is not None:
            self._wishes.tell(*told)

    def _serving(self) -> int:
        return self._ledger.epoch

    def _running(self) -> Run:
        if self.run is None:
            raise BugFound("cutover", self.state.value, "a step of a cutover that does not run")
        return self.run
