"""A candidate is rehearsed in a disposable process before any worker is asked, when the policy wants it.

A swap is rehearsed beside what serves, whether it brings new content, earlier content or an edit; what serves already,
under another number, builds nothing.

Of a roll, and of a start, the plugins are rehearsed, below the zygote that is made for it and before it forks a worker,
where something about them has not served before. The application is what the new workers are there for: they serve
nobody before the commit. Further parts of a roll serve what its first one did, and a rescue goes back to what served.
"""

from collections.abc import Callable, Collection

from changeover.supervisor.core import entries, events
from changeover.supervisor.core.cutover import Cause, State
from changeover.supervisor.core.effects import EndPreflight, Preflight
from changeover.supervisor.core.entries import SlotRefusal, Trigger
from changeover.supervisor.core.events import Timer, TimerKind
from changeover.supervisor.core.ledger import Ledger
from changeover.supervisor.core.outbox import Outbox
from changeover.supervisor.core.policy import Policy
from changeover.supervisor.core.progress import Progress
from changeover.supervisor.core.records.preflight import PreflightCompleted, PreflightSkipped
from changeover.supervisor.core.run import Run, headline
from changeover.supervisor.core.succession import Succession
from changeover.supervisor.core.unrehearsed import is_unrehearsed, served_as_it_is, served_with_other_resources
from changeover.supervisor.core.writing import Writing
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from changeover.workers.protocol.snapshot import EMPTY, Snapshot

EXEMPT = "`preflight = false` is said of all its plugins"
"""Why nobody rehearses a roll whose plugins are new."""
NOBODY = Refusal(
    Stage.PREFLIGHT,
    Fault.RESOURCE,
    "no zygote takes orders now, so nobody can rehearse it: ask again in a moment, or see `changeover status`",
)


class Rehearsing:
    """Has candidates rehearsed, and opens the vote on those that passed.

    Args:
        succession: Knows whose zygote rehearses, and makes that of a roll.
        fail: Gives the run up, for a reason.
    """

    __slots__ = ("_fail", "_ledger", "_out", "_policy", "_progress", "_succession", "_under_way", "_writing")

    def __init__(
        self,
        policy: Policy,
        ledger: Ledger,
        progress: Progress,
        succession: Succession,
        writing: Writing,
        out: Outbox,
        fail: Callable[[str], None],
    ) -> None:
        self._policy = policy
        self._ledger = ledger
        self._progress = progress
        self._succession = succession
        self._writing = writing
        self._out = out
        self._fail = fail
        self._under_way = False

    def begin(self, run: Run) -> None:
        """The run's number is on disk: have its candidate rehearsed, or go on without."""
        if run.candidate is None or not self._is_wanted(run, run.candidate.snapshot):
            self._tell_of_exemption(run)
            self._open(run, Cause.GIVEN)
        elif run.is_roll:
            self._progress.move(Cause.GIVEN_TO_PRELOAD)
            run.times.preloading = self._out.now
            self._out.set_timer(_timer(run), self._patience)
            self._succession.preload(run)
            self.look()
        else:
            self._progress.move(Cause.GIVEN_TO_REHEARSE)
            self._rehearse(run, self._ledger.committed)

    def bound(self, epoch: int) -> None:
        """What the roll `epoch` is to listen on is bound."""
        if (run := self._progress.at(epoch, State.PRELOADING)) is not None:
            self._succession.load(run)
            self.look()

    def not_bound(self, epoch: int, refusal: Refusal) -> None:
        """What the roll `epoch` is to listen on cannot be had."""
        if (run := self._progress.at(epoch, State.PRELOADING)) is not None:
            self._give_up(run, (SlotRefusal(-1, 0, refusal),))

    def look(self) -> None:
        """A zygote may be ready: one that is to rehearse a roll does."""
        run = self._progress.run
        if run is not None and self._progress.state is State.PRELOADING and self._succession.rehearser(run) is not None:
            self._progress.move(Cause.PRELOADED)
            self._rehearse(run, EMPTY)

    def zygote_lost(self, rolled: int, lost: SlotRefusal, tried: bool) -> bool:
        """The zygote that was to rehearse a roll is gone; False when none was. `tried`: often enough."""
        run = self._progress.run
        if run is None or self._progress.state not in (State.PRELOADING, State.PREFLIGHTING):
            return False
        if not run.is_roll or run.rolled != rolled:
            return False
        if tried:
            self._give_up(run, (lost,))
            return True
        run.lost.append(lost)
        if self._progress.state is State.PREFLIGHTING:
            self.stop(run)
            self._progress.move(Cause.ZYGOTE_LOST)
            self._out.set_timer(_timer(run), self._left(run))
        return True

    def passed(self, answer: events.PreflightPassed) -> None:
        """The rehearsal went well."""
        if (run := self._answered(answer.epoch)) is not None:
            took = self._out.now - (run.times.preflighted or run.times.began)
            counted = (answer.modules, answer.tests_passed, answer.tests)
            self._out.tell(PreflightCompleted(run.epoch, took, *counted, answer.warnings))
            self._open(run, Cause.REHEARSED)

    def skipped(self, answer: events.PreflightSkipped) -> None:
        """Nobody can rehearse it: who serves it has a zygote of an older program."""
        if (run := self._answered(answer.epoch)) is not None:
            self._out.tell(PreflightSkipped(run.epoch, answer.why))
            self._open(run, Cause.REHEARSED)

    def refused(self, epoch: int, refusals: tuple[SlotRefusal, ...]) -> None:
        """The rehearsal did not go well."""
        if (run := self._answered(epoch)) is not None:
            self._give_up(run, refusals)

    def overdue(self, run: Run) -> None:
        """Not even that it takes too long was said, or there is nobody to say it."""
        if self._progress.state is State.PRELOADING:
            seconds = self._patience
            absent = Refusal(Stage.PREPARE, Fault.TIMEOUT, f"no zygote was ready for it within {seconds:g} s")
            self._give_up(run, tuple(run.lost[-1:]) or (SlotRefusal(-1, 0, absent),))
            return
        seconds = self._policy.deadlines.preflight
        silent = Refusal(Stage.PREFLIGHT, Fault.TIMEOUT, f"nothing was heard of it within {seconds:g} s")
        self._give_up(run, (SlotRefusal(-1, 0, silent),))

    def stop(self, run: Run) -> None:
        """Wait for no rehearsal any more, nor for who is to do it."""
        if self._progress.state in (State.PRELOADING, State.PREFLIGHTING):
            self._out.cancel_timer(_timer(run))
        if self._under_way:
            self._under_way = False
            self._out.put(EndPreflight(run.epoch))

    @property
    def _patience(self) -> float:
        """Seconds for the zygote of a roll, another one that takes the place of a lost one included."""
        return self._policy.deadlines.zygote + self._policy.deadlines.boot

    def _left(self, run: Run) -> float:
        """Seconds of that for another one: zygotes that are lost in each rehearsal would be made for ever."""
        began = self._out.now if run.times.preloading is None else run.times.preloading
        return max(0.0, began + self._patience - self._out.now)

    def _is_wanted(self, run: Run, candidate: Snapshot) -> bool:
        serving = self._ledger.committed
        if not self._policy.preflight or run.candidate is None:
            return False
        if not run.is_roll:
            return serving is None or candidate.digest != serving.digest
        return self._brings(run, candidate, run.candidate.exempt)

    def _brings(self, run: Run, candidate: Snapshot, exempt: Collection[str] = ()) -> bool:
        """Whether a roll brings what has not served before, apart from what the configuration exempts."""
        rescues = run.origin is not None and run.origin.trigger is Trigger.RESCUE
        return candidate.is_roll and not rescues and is_unrehearsed(candidate, self._ledger.committed, exempt)

    def _tell_of_exemption(self, run: Run) -> None:
        rehearses = self._policy.preflight and run.is_roll
        if rehearses and run.candidate is not None and self._brings(run, run.candidate.snapshot):
            self._out.tell(PreflightSkipped(run.epoch, EXEMPT))

    def _rehearse(self, run: Run, beside: Snapshot | None) -> None:
        run.times.preflighted = self._out.now
        cohort = self._succession.rehearser(run)
        if cohort is None or run.candidate is None:
            self._give_up(run, (SlotRefusal(-1, 0, NOBODY),))
            return
        self._under_way = True
        found = run.candidate
        snapshot, committed = found.snapshot, self._ledger.committed
        served = served_as_it_is(snapshot, committed, run.goes_back) if run.is_roll else ()
        other = served_with_other_resources(snapshot, committed)
        self._out.put(Preflight(snapshot, beside, cohort, found.exempt, run.goes_back, served, other))
        self._out.set_timer(_timer(run), self._policy.deadlines.preflight)

    def _answered(self, epoch: int) -> Run | None:
        run = self._progress.at(epoch, State.PREFLIGHTING)
        if run is not None:
            self._under_way = False
            self._out.cancel_timer(_timer(run))
        return run

    def _give_up(self, run: Run, refusals: tuple[SlotRefusal, ...]) -> None:
        run.refusals.extend(refusals)
        self._fail(headline(refusals))

    def _open(self, run: Run, cause: Cause) -> None:
        self._progress.move(cause)
        self._writing.write(entries.PreparingBegun(run.epoch))


def _timer(run: Run) -> Timer:
    return Timer(TimerKind.PREFLIGHT, run.epoch)
