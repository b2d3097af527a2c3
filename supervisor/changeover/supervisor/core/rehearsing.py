"""A candidate is rehearsed in a disposable process before any worker is asked, when the policy wants it."""

from collections.abc import Callable

from changeover.supervisor.core import entries
from changeover.supervisor.core.cutover import Cause, State
from changeover.supervisor.core.effects import Preflight
from changeover.supervisor.core.entries import SlotRefusal
from changeover.supervisor.core.events import Timer, TimerKind
from changeover.supervisor.core.ledger import Ledger
from changeover.supervisor.core.outbox import Outbox
from changeover.supervisor.core.policy import Policy
from changeover.supervisor.core.progress import Progress
from changeover.supervisor.core.run import Run, headline
from changeover.supervisor.core.writing import Writing


class Rehearsing:
    """Has candidates rehearsed, and opens the vote on those that passed.

    Args:
        fail: Gives the run up, for a reason.
    """

    __slots__ = ("_fail", "_ledger", "_out", "_policy", "_progress", "_writing")

    def __init__(
        self,
        policy: Policy,
        ledger: Ledger,
        progress: Progress,
        writing: Writing,
        out: Outbox,
        fail: Callable[[str], None],
    ) -> None:
        self._policy = policy
        self._ledger = ledger
        self._progress = progress
        self._writing = writing
        self._out = out
        self._fail = fail

    def begin(self, run: Run) -> None:
        """The run's number is on disk: have its candidate rehearsed, or go on without."""
        if not self._policy.preflight or run.snapshot is None:
            self._open(run, Cause.GIVEN)
            return
        self._progress.move(Cause.GIVEN_TO_REHEARSE)
        run.times.preflighted = self._out.now
        self._out.put(Preflight(run.snapshot, self._ledger.committed))
        self._out.set_timer(_timer(run), self._policy.deadlines.preflight)

    def passed(self, epoch: int) -> None:
        """The rehearsal went well."""
        if (run := self._progress.at(epoch, State.PREFLIGHTING)) is not None:
            self.stop(run)
            self._open(run, Cause.REHEARSED)

    def refused(self, epoch: int, refusals: tuple[SlotRefusal, ...]) -> None:
        """The rehearsal did not go well."""
        if (run := self._progress.at(epoch, State.PREFLIGHTING)) is not None:
            self.stop(run)
            run.refusals.extend(refusals)
            self._fail(headline(refusals))

    def overdue(self) -> None:
        """The deadline passed."""
        self._fail(f"the preflight took over {self._policy.deadlines.preflight:g} s")

    def stop(self, run: Run) -> None:
        """Wait for no rehearsal any more."""
        self._out.cancel_timer(_timer(run))

    def _open(self, run: Run, cause: Cause) -> None:
        self._progress.move(cause)
        self._writing.write(entries.PreparingBegun(run.epoch))


def _timer(run: Run) -> Timer:
    return Timer(TimerKind.PREFLIGHT, run.epoch)
