"""A candidate is rehearsed in a disposable process before any worker is asked, when the policy wants it.

Rehearsed is what workers would build beside what serves: swaps, whether they bring new content, earlier content or an
edit. A roll has processes of its own, which serve nobody before the commit; and what serves already, under another
number, builds nothing.
"""

from collections.abc import Callable

from changeover.supervisor.core import entries, events
from changeover.supervisor.core.cutover import Cause, State
from changeover.supervisor.core.effects import EndPreflight, Preflight
from changeover.supervisor.core.entries import SlotRefusal
from changeover.supervisor.core.events import Timer, TimerKind
from changeover.supervisor.core.ledger import Ledger
from changeover.supervisor.core.outbox import Outbox
from changeover.supervisor.core.policy import Policy
from changeover.supervisor.core.progress import Progress
from changeover.supervisor.core.records.preflight import PreflightCompleted, PreflightSkipped
from changeover.supervisor.core.run import Run, headline
from changeover.supervisor.core.succession import Succession
from changeover.supervisor.core.writing import Writing
from changeover.workers.protocol.refusal import Fault, Refusal, Stage

NOBODY = Refusal(
    Stage.PREFLIGHT,
    Fault.RESOURCE,
    "no zygote takes orders now, so nobody can rehearse it: ask again in a moment, or see `changeover status`",
)


class Rehearsing:
    """Has candidates rehearsed, and opens the vote on those that passed.

    Args:
        succession: Knows whose zygote rehearses.
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
        if run.snapshot is None or not self._is_wanted(run):
            self._open(run, Cause.GIVEN)
            return
        self._progress.move(Cause.GIVEN_TO_REHEARSE)
        run.times.preflighted = self._out.now
        cohort = self._succession.rehearser()
        if cohort is None:
            self._give_up(run, (SlotRefusal(-1, 0, NOBODY),))
            return
        self._under_way = True
        self._out.put(Preflight(run.snapshot, self._ledger.committed, cohort))
        self._out.set_timer(_timer(run), self._policy.deadlines.preflight)

    def passed(self, answer: events.PreflightPassed) -> None:
        """The rehearsal went well."""
        if (run := self._answered(answer.epoch)) is not None:
            took = self._out.now - (run.times.preflighted or run.times.began)
            counted = (answer.modules, answer.tests_passed, answer.tests)
            self._out.tell(PreflightCompleted(run.epoch, took, *counted, answer.warnings))
            self._open(run, Cause.REHEARSED)

    def skipped(self, answer: events.PreflightSkipped) -> None:
        """Nobody can rehearse it: below what serves are zygotes of an older program."""
        if (run := self._answered(answer.epoch)) is not None:
            self._out.tell(PreflightSkipped(run.epoch, answer.why))
            self._open(run, Cause.REHEARSED)

    def refused(self, epoch: int, refusals: tuple[SlotRefusal, ...]) -> None:
        """The rehearsal did not go well."""
        if (run := self._answered(epoch)) is not None:
            self._give_up(run, refusals)

    def overdue(self, run: Run) -> None:
        """Not even that it takes too long was said."""
        seconds = self._policy.deadlines.preflight
        silent = Refusal(Stage.PREFLIGHT, Fault.TIMEOUT, f"nothing was heard of it within {seconds:g} s")
        self._give_up(run, (SlotRefusal(-1, 0, silent),))

    def stop(self, run: Run) -> None:
        """Wait for no rehearsal any more."""
        if self._under_way:
            self._under_way = False
            self._out.cancel_timer(_timer(run))
            self._out.put(EndPreflight(run.epoch))

    def _is_wanted(self, run: Run) -> bool:
        serving = self._ledger.committed
        if not self._policy.preflight or run.snapshot is None or run.is_roll:
            return False
        return serving is None or run.snapshot.digest != serving.digest

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
