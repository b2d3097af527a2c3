"""What all workers share, such as a table, is migrated by one of them when all have prepared; and back, if it fails.

Of those whose candidate migrates something the one in the lowest slot is elected. What it was told once it
may have done, also when it was never heard again: so from then on nothing is aborted before somebody has undone it,
the elected one where it lives, else the next who holds the candidate.
"""

from collections.abc import Callable

from changeover.supervisor.core.child import State as ChildState
from changeover.supervisor.core.cutover import Cause, State
from changeover.supervisor.core.events import Timer, TimerKind
from changeover.supervisor.core.ledger import Ledger
from changeover.supervisor.core.outbox import Outbox
from changeover.supervisor.core.policy import Policy
from changeover.supervisor.core.progress import Progress
from changeover.supervisor.core.records.plugin import MigrationBegan, MigrationDone, MigrationLeft, MigrationUndone
from changeover.supervisor.core.roster import Member
from changeover.supervisor.core.run import Run, headline, refusal_of
from changeover.supervisor.core.voting import Voting
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.messages import UNORDERED
from changeover.workers.protocol.plugin_messages import Migrate, Unmigrate
from changeover.workers.protocol.refusal import Fault, Refusal

IN_PARTS = "migrates what all workers share, and a part of a roll is not for all: roll without --allow-partial"
NOBODY = "no worker lives that holds the candidate"
GONE = "who was to died before it had undone it, and nobody else holds the candidate any more"


class Migrating:
    """Has one worker migrate, between the last vote and the decision.

    Args:
        commit: Goes on with the run.
        fail: Gives it up, for a reason.
        give_up: Has the abort written, once what was migrated is undone.
    """

    __slots__ = ("_commit", "_fail", "_give_up", "_ledger", "_out", "_owing", "_policy", "_progress", "_voting")

    def __init__(
        self,
        policy: Policy,
        ledger: Ledger,
        progress: Progress,
        voting: Voting,
        out: Outbox,
        commit: Callable[[Run, Cause], None],
        fail: Callable[[str], None],
        give_up: Callable[[Run, Cause], None],
    ) -> None:
        self._policy = policy
        self._ledger = ledger
        self._progress = progress
        self._voting = voting
        self._out = out
        self._commit = commit
        self._fail = fail
        self._give_up = give_up
        self._owing: dict[WorkerId, int] = {}
        """Who undoes something after the abort, and of which epoch."""

    def begin(self, run: Run) -> None:
        """Everybody has prepared: have one of them migrate, or go on without."""
        elected = self._lowest(run)
        if elected is None:
            self._commit(run, Cause.UNANIMOUS)
        elif run.part is not None:
            self._fail(f"{', '.join(run.migrants[elected.incarnation])} {IN_PARTS}")
        else:
            self._progress.move(Cause.UNANIMOUS_TO_MIGRATE)
            run.elected = elected.worker
            plugins = run.migrants[elected.incarnation]
            self._out.tell(MigrationBegan(elected.worker, elected.pid, run.epoch, plugins))
            self._ask(run, elected.worker)

    def _lowest(self, run: Run) -> Member | None:
        """Who of those that hold the candidate, and migrate something for it, is in the lowest slot."""
        able = (
            member
            for member in self._voting.voters(run)
            if member.incarnation in run.prepared and run.migrants.get(member.incarnation)
        )
        return min(able, key=lambda member: member.worker.slot, default=None)

    # ---- forward ----

    def done(self, member: Member, epoch: int, took: float) -> None:
        """A worker has migrated."""
        run = self._progress.at(epoch, State.MIGRATING)
        if run is not None and member.worker == run.elected:
            self._out.cancel_timer(_timer(run))
            self._out.tell(MigrationDone(member.worker, member.pid, epoch, took))
            self._commit(run, Cause.MIGRATED)

    def refused(self, member: Member, epoch: int, refusal: Refusal) -> bool:
        """A worker could not migrate; False when that is not asked."""
        run = self._progress.at(epoch, State.MIGRATING)
        if run is not None and member.worker == run.elected:
            self._voting.said_no(run, member, refusal)
            self._fail(headline(run.refusals))
            return True
        return self._progress.at(epoch, State.UNMIGRATING) is not None

    # ---- back ----

    def undo(self, run: Run, reason: str) -> None:
        """The run fails after somebody was told to migrate: have that undone, then it is aborted."""
        run.reason = run.reason or reason
        self._progress.move(Cause.FAILED)
        self._have_undone(run)

    def _have_undone(self, run: Run) -> None:
        member = self._undoer(run)
        if member is None:
            self._leave(run, NOBODY)
            return
        run.undoes = member.worker
        self._ask(run, member.worker)

    def _undoer(self, run: Run) -> Member | None:
        elected = (member for member in self._voting.voters(run) if member.worker == run.elected)
        return next(elected, None) or self._lowest(run)

    def undone(self, member: Member, epoch: int, failed: tuple[str, ...] = ()) -> None:
        """A worker has undone what was migrated, but for what failed."""
        run = self._progress.at(epoch, State.UNMIGRATING)
        if run is not None and member.worker == run.undoes:
            self._out.cancel_timer(_timer(run))
            self._out.tell(_undone(member, epoch, failed))
            self._give_up(run, Cause.UNMIGRATED)
        elif self._owing.get(member.worker) == epoch:
            del self._owing[member.worker]
            self._out.tell(_undone(member, epoch, failed))

    def gone(self, member: Member) -> None:
        """A worker is confirmed dead: what it was to undo after the abort nobody else does."""
        if (epoch := self._owing.pop(member.worker, None)) is not None:
            self._out.tell(MigrationLeft(epoch, GONE))

    def _leave(self, run: Run, why: str) -> None:
        """Nobody can be had who undoes it: say so, loudly."""
        self._out.cancel_timer(_timer(run))
        self._out.tell(MigrationLeft(run.epoch, why))
        self._give_up(run, Cause.UNMIGRATED)

    def settle(self, run: Run) -> None:
        """The abort is on disk. Where it was in doubt, after everything was migrated, that is undone only now.

        Nobody waits for it: who migrated does it as well when it hears of the abort, whenever that is. Where it dies
        before, that is told.
        """
        if run.elected is None or run.undoes is not None or not run.decision_tried:
            return
        if any(member.worker == run.elected for member in self._voting.voters(run)):
            self._owing[run.elected] = run.epoch
            self._out.unicast(run.elected, Unmigrate(self._ledger.stamp(run.epoch), UNORDERED))
        else:
            self._out.tell(MigrationLeft(run.epoch, GONE))

    # ---- deaths, deadlines ----

    def died(self, run: Run, member: Member, state: ChildState, cause: str) -> None:
        """A worker is confirmed dead; `state` is what its slot was in."""
        if self._progress.state is State.UNMIGRATING:
            self._lost(run, member)
            return
        spared = self._voting.spares(run, member, state)
        self._voting.died(run, member, state, cause)
        # Nobody has its vote any more, and whoever has migrated is not kept waiting for another one.
        if run.refused or spared or member.worker == run.elected:
            blamed = run.refusals or [refusal_of(member, Fault.CRASH, member.reason or cause)]
            self._fail(headline(blamed))

    def yields(self, member: Member) -> None:
        """A worker hands over, and holds no candidate any more."""
        run = self._progress.run
        if run is not None and self._progress.state is State.UNMIGRATING:
            self._lost(run, member)
        elif run is not None and self._progress.state is State.MIGRATING and member.worker == run.elected:
            self._fail(f"slot {member.worker.slot}: leaves before it has migrated")

    def _lost(self, run: Run, member: Member) -> None:
        if member.worker == run.undoes:
            self._have_undone(run)

    def overdue(self, run: Run) -> None:
        """The deadline passed."""
        seconds = self._policy.deadlines.prepare
        if self._progress.state is State.UNMIGRATING and run.undoes is not None:
            # It may come to its end yet, and then that is told.
            self._owing[run.undoes] = run.epoch
            slot = run.undoes.slot
            self._leave(run, f"slot {slot} has not said within {seconds:g} s that it is, and may be undoing it still")
            return
        elected = next((member for member in self._voting.voters(run) if member.worker == run.elected), None)
        if elected is not None:
            silent = refusal_of(elected, Fault.TIMEOUT, f"did not migrate within {seconds:g} s")
            self._voting.said_no(run, elected, silent.refusal)
        self._fail(headline(run.refusals))

    def repeat(self) -> None:
        """Ask again, whoever did not answer."""
        run, state = self._progress.run, self._progress.state
        if run is not None and state is State.MIGRATING and run.elected is not None:
            self._tell(run, run.elected)
        elif run is not None and state is State.UNMIGRATING and run.undoes is not None:
            self._tell(run, run.undoes)

    # ---- inside ----

    def _ask(self, run: Run, worker: WorkerId) -> None:
        self._tell(run, worker)
        self._out.set_timer(_timer(run), self._policy.deadlines.prepare)

    def _tell(self, run: Run, worker: WorkerId) -> None:
        wanted = Migrate if self._progress.state is State.MIGRATING else Unmigrate
        self._out.unicast(worker, wanted(self._ledger.stamp(run.epoch), UNORDERED))


def _undone(member: Member, epoch: int, failed: tuple[str, ...]) -> MigrationUndone | MigrationLeft:
    if failed:
        return MigrationLeft(epoch, f"slot {member.worker.slot}: {', '.join(failed)}")
    return MigrationUndone(member.worker, member.pid, epoch)


def _timer(run: Run) -> Timer:
    return Timer(TimerKind.PREPARE, run.epoch)
