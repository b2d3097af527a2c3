"""Workers are asked, answer, die or keep silent: until everybody who lives has prepared, or it fails."""

from collections.abc import Callable

from changeover.supervisor.core.child import State as ChildState
from changeover.supervisor.core.cutover import OPEN, Cause, State
from changeover.supervisor.core.entries import SlotRefusal
from changeover.supervisor.core.events import Timer, TimerKind
from changeover.supervisor.core.outbox import Outbox
from changeover.supervisor.core.outcome import SilentWorkers
from changeover.supervisor.core.policy import Policy
from changeover.supervisor.core.progress import Progress
from changeover.supervisor.core.roster import Member
from changeover.supervisor.core.run import Run, headline
from changeover.supervisor.core.succession import Succession
from changeover.supervisor.core.tally import Verdict
from changeover.supervisor.core.voting import Voting
from changeover.workers.protocol.refusal import Fault, Refusal, Stage


class Preparing:
    """Takes the votes.

    Args:
        succession: Has the workers of a roll made.
        unanimous: Goes on with the run.
        fail: Gives it up, for a reason.
    """

    __slots__ = ("_fail", "_out", "_policy", "_progress", "_succession", "_unanimous", "_voting")

    def __init__(
        self,
        policy: Policy,
        progress: Progress,
        voting: Voting,
        out: Outbox,
        succession: Succession,
        unanimous: Callable[[Run], None],
        fail: Callable[[str], None],
    ) -> None:
        self._policy = policy
        self._progress = progress
        self._voting = voting
        self._out = out
        self._succession = succession
        self._unanimous = unanimous
        self._fail = fail

    def begin(self, run: Run) -> None:
        """Ask all workers, or the first wave of them: the others are asked as these answer. A roll makes its own."""
        self._progress.move(Cause.OPENED)
        run.times.prepared = self._out.now
        run.voters = self._succession.first_voters(run)
        self._wait(run)
        if run.is_roll:
            self._succession.begin(run)
        elif not self._policy.wave and not self._voting.is_wary(run):
            self._voting.ask_all(run, self._policy.deadlines.prepare)
        if self._voting.is_tried_anew(run):
            self._succession.refill(run.epoch)
        self.recount()

    def zygote_lost(self, rolled: int, lost: SlotRefusal, tried: bool) -> bool:
        """A zygote could not preload what the roll needs; False when no roll needs it. `tried`: often enough."""
        run = self._progress.run
        if run is None or self._progress.state not in OPEN or not run.is_roll or run.rolled != rolled:
            return False
        if tried:
            run.refusals.append(lost)
            self._fail(headline(run.refusals))
        else:
            run.lost.append(lost)
        return True

    def bound(self, epoch: int) -> None:
        """What the roll `epoch` is to listen on is bound."""
        if (run := self._progress.at(epoch, *OPEN)) is not None:
            self._succession.staff(run)

    def not_bound(self, epoch: int, refusal: Refusal) -> None:
        """What the roll `epoch` is to listen on cannot be had."""
        if (run := self._progress.at(epoch, *OPEN)) is not None:
            run.refusals.append(SlotRefusal(-1, 0, refusal))
            self._fail(headline(run.refusals))

    def scaled(self) -> None:
        """Another number of workers is wanted: a roll that is still making its own makes as many."""
        run = self._progress.run
        if run is not None and run.fresh and run.part is None and self._progress.state is State.PREPARING:
            self._succession.staff(run)
            self._wait(run)
        self.recount()

    def repeat(self) -> None:
        """Ask those again who did not answer, and the next ones where nobody has to be waited for any more."""
        if (run := self._progress.run) is not None and self._progress.state in OPEN:
            self._voting.ask_again(run, self._policy.deadlines.prepare)
            self._voting.go_on_without(run, self._policy.deadlines.prepare / 2)
            self.recount()

    def joins(self, member: Member, epoch: int) -> None:
        """A worker is asked with its Welcome; one that tries it alone, for one that died, has the whole deadline."""
        run = self._progress.at(epoch, State.PREPARING)
        member.ask(epoch, self._out.now)
        if run is not None and member.alone and member.worker.slot in run.awaited:
            run.awaited.discard(member.worker.slot)
            self._wait(run)

    def vote(self, member: Member, epoch: int, took: float, migrates: tuple[str, ...] = ()) -> None:
        """A worker holds `epoch` prepared."""
        if (run := self._progress.at(epoch, *OPEN)) is not None:
            self._voting.said_yes(run, member, took, migrates)
            self._succession.go_on()
            self.recount()

    def veto(self, member: Member, epoch: int, refusal: Refusal) -> bool:
        """A worker cannot prepare `epoch`; False when that is not asked any more."""
        run = self._progress.at(epoch, *OPEN)
        if run is not None:
            self._voting.said_no(run, member, refusal)
            self.recount()
        return run is not None

    def died(self, run: Run, member: Member, state: ChildState, cause: str) -> None:
        """A voter is confirmed dead; `state` is what its slot was in."""
        self._voting.died(run, member, state, cause)
        self.recount()

    def recount(self) -> None:
        """Votes or voters changed."""
        run = self._progress.run
        if run is None or self._progress.state not in OPEN:
            return
        verdict = self._voting.verdict(run)
        if verdict is Verdict.REFUSED:
            self._fail(headline(run.refusals))
        elif self._voting.nobody_left(run):
            run.refusals.extend(run.lost[-1:])
            why = f": {headline(run.lost[-1:])}" if run.lost else ""
            self._fail(f"no worker came up to try it{why}")
        elif verdict is Verdict.UNANIMOUS and self._succession.is_loaded(run):
            self._go_on(run)
        elif not run.is_roll:
            self._ask_next(run)
        elif not run.late:
            self._voting.ask_next(run, None, self._policy.deadlines.prepare)

    def _ask_next(self, run: Run) -> None:
        """Ask whoever's turn it is. Who had to wait because others crash or hang has the whole deadline nonetheless."""
        overdue, waited, wary = self._progress.state is State.INQUIRING, run.in_turns, self._voting.is_wary(run)
        if overdue and self._voting.owes(run):
            return
        wave = 1 if wary else self._policy.wave or None
        asked = self._voting.ask_next(run, wave, self._policy.deadlines.prepare)
        asked = asked or (overdue and self._voting.waits(run))
        run.in_turns = wary or (waited and not asked)
        if asked and overdue:
            run.questioned.clear()
            self._progress.move(Cause.NEXT_ASKED)
        if asked and (overdue or waited):
            self._wait(run)

    def _go_on(self, run: Run) -> None:
        everybody = self._succession.all_voters(run)
        if run.voters == everybody:
            self._out.cancel_timer(self._timer(run))
            self._unanimous(run)
            return
        run.voters = everybody
        self._succession.choose(run)
        self._progress.move(Cause.STAFFED)
        run.late = False
        self._out.set_timer(self._timer(run), self._policy.deadlines.prepare)
        self.recount()

    def overdue(self, run: Run) -> None:
        """The deadline passed: first those who did not answer are asked what they do, or killed; then it is over."""
        if self._progress.state is not State.INQUIRING:
            self._inquire(run)
        else:
            self._blame(run)

    def stacks(self, member: Member) -> None:
        """The stacks of a worker that did not answer were written down, or could not be."""
        run = self._progress.run
        if run is None or self._progress.state is not State.INQUIRING or member.incarnation not in run.questioned:
            return
        run.questioned.discard(member.incarnation)
        if not run.questioned:
            self._blame(run)

    def _inquire(self, run: Run) -> None:
        self._progress.move(Cause.OVERDUE)
        deadlines, seconds = self._policy.deadlines, self._patience(run)
        wanted = None if run.request is None else run.request.on_silent_workers
        kills = (wanted or self._policy.on_silent_workers) is SilentWorkers.KILL
        hangs_all, run.late = run.late and not run.prepared, True
        if kills and not hangs_all:
            self._voting.condemn(run, seconds)
            self._out.set_timer(self._timer(run), deadlines.kill)
        else:
            self._voting.inquire(run)
            self._out.set_timer(self._timer(run), deadlines.inquire)
        self.recount()

    def _blame(self, run: Run) -> None:
        patience = self._patience(run)
        self._voting.blame(run, patience)
        if not run.refusals:
            run.refusals.extend(run.lost[-1:] or (self._absence(run, patience),))
        self._fail(headline(run.refusals))

    def _absence(self, run: Run, seconds: float) -> SlotRefusal:
        """Why there is no verdict where nobody owes an answer: who is to serve the candidate is not there."""
        came = f"{self._voting.arrived(run)} of {self._voting.staff(run)} workers came up within {seconds:g} s"
        why = "" if self._succession.is_loaded(run) else ": no zygote was ready for them"
        return SlotRefusal(-1, 0, Refusal(Stage.PREPARE, Fault.TIMEOUT, f"{came}{why}"))

    def _patience(self, run: Run) -> float:
        deadlines = self._policy.deadlines
        staffing = run.is_roll and run.voters == self._succession.first_voters(run)
        return deadlines.zygote + self._batches(run) * deadlines.boot if staffing else deadlines.prepare

    def _batches(self, run: Run) -> int:
        batch = None if run.request is None else run.request.batch
        fresh = self._voting.staff(run) if run.part is None else run.part.size
        return 1 if batch is None else max(1, -(-fresh // batch))

    def _wait(self, run: Run) -> None:
        self._out.set_timer(self._timer(run), self._patience(run))

    def _timer(self, run: Run) -> Timer:
        return Timer(TimerKind.PREPARE, run.epoch)
