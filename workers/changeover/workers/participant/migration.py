"""The law of what one worker migrates for a candidate, alone, and of when it undoes that.

The supervisor elects it, and calls it back when the candidate fails; another worker is called back that never migrated,
when the elected one died. A worker that hears of the abort alone, because the supervisor ended meanwhile or because
only the journal could tell, undoes by itself what it did. So what is aborted is undone as long as one of the
two lives who know of it; what may be committed is never touched.
"""

import enum

from changeover.workers.participant.desk import Desk
from changeover.workers.participant.effects import Migrate, Unmigrate
from changeover.workers.protocol import messages, plugin_messages
from changeover.workers.protocol.refusal import Refusal
from changeover.workers.protocol.table import Table


class State(enum.Enum):
    """How far the migration for a candidate has come here."""

    NONE = "none"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    """Some of it may be done."""
    UNDOING = "undoing"
    """It is undone, once it has come to its end."""
    UNDONE = "undone"
    STANDS = "stands"
    """It is committed."""


class Cause(enum.Enum):
    """What changes that."""

    ASKED = "asked"
    RETURNED = "returned"
    RAISED = "raised"
    CALLED_BACK = "called back"
    """By the supervisor, or the candidate is known to be aborted."""
    REVERSED = "reversed"
    COMMITTED = "committed"
    OVER = "over"
    """There is another candidate."""


TABLE: Table[State, Cause] = Table(
    "migration",
    State.NONE,
    {
        State.NONE: {Cause.ASKED: State.RUNNING, Cause.CALLED_BACK: State.UNDOING},
        State.RUNNING: {
            Cause.RETURNED: State.DONE,
            Cause.RAISED: State.FAILED,
            Cause.CALLED_BACK: State.UNDOING,
        },
        State.DONE: {Cause.CALLED_BACK: State.UNDOING, Cause.COMMITTED: State.STANDS, Cause.OVER: State.NONE},
        State.FAILED: {Cause.CALLED_BACK: State.UNDOING, Cause.OVER: State.NONE},
        State.UNDOING: {
            Cause.RETURNED: State.UNDOING,
            Cause.RAISED: State.UNDOING,
            Cause.REVERSED: State.UNDONE,
        },
        State.UNDONE: {Cause.OVER: State.NONE},
        State.STANDS: {Cause.OVER: State.NONE},
    },
)

_MAY_HAVE = (State.RUNNING, State.DONE, State.FAILED)
"""States in which something may have been migrated, and is not being undone."""


class Migration:
    """What one worker migrates.

    Attributes:
        state: How far that has come.
        epoch: For which candidate; 0 before the first.
    """

    __slots__ = ("_desk", "_failed", "_refusal", "_took", "epoch", "state")

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._refusal: Refusal | None = None
        self._failed: tuple[str, ...] = ()
        self._took = 0.0
        self.state = TABLE.start
        self.epoch = 0

    @property
    def busy(self) -> bool:
        """Whether a hook of it runs, so that the worker may not give its candidate up."""
        return self.state in (State.RUNNING, State.UNDOING)

    def undecided(self, committed: int) -> bool:
        """Whether the worker has to hear what becomes of it, where `committed` is known to be."""
        return self.busy or (self.state in _MAY_HAVE and self.epoch > committed)

    # ---- what the supervisor says ----

    def asked(self, epoch: int, held: int | None) -> None:
        """Migrate for `epoch`, where `held` is what is held prepared. Said again until it is answered."""
        self._turn_to(epoch, held)
        if self.epoch == epoch and self.state is State.NONE:
            self._move(Cause.ASKED)
            self._desk.put(Migrate(epoch))
        elif self.epoch == epoch:
            self._answer()

    def called_back(self, epoch: int, held: int | None) -> None:
        """Undo it, whoever did it. Said again until it is answered."""
        self._turn_to(epoch, held)
        if self.epoch == epoch and TABLE.lists(self.state, Cause.CALLED_BACK):
            self._undo()
        elif self.epoch == epoch:
            self._answer()

    def aborted(self, epoch: int) -> None:
        """`epoch` is not committed and never will be: nobody needs what was done for it here."""
        if self.epoch == epoch and self.state in _MAY_HAVE:
            self._undo()

    def committed(self, epoch: int) -> None:
        """`epoch` is committed, whether this worker comes to serve it or not."""
        if self.epoch == epoch and self.state is State.DONE:
            self._move(Cause.COMMITTED)

    # ---- what the shell says ----

    def returned(self, epoch: int, took: float) -> None:
        """Every `migrate` returned."""
        if self.epoch == epoch:
            self._took = took
            self._move(Cause.RETURNED)
            self._answer()

    def raised(self, epoch: int, refusal: Refusal) -> None:
        """One of them failed."""
        if self.epoch == epoch:
            self._refusal = refusal
            self._move(Cause.RAISED)
            self._answer()

    def reversed(self, epoch: int, failed: tuple[str, ...] = ()) -> None:
        """It is undone, but for what failed."""
        if self.epoch == epoch:
            self._failed = failed
            self._move(Cause.REVERSED)
            self._answer()

    # ---- inside ----

    def _turn_to(self, epoch: int, held: int | None) -> None:
        """Take up another candidate, provided that it is held; one that is under way comes to its end first."""
        if epoch != self.epoch and epoch == held and not self.busy:
            if self.state is not State.NONE:
                self._move(Cause.OVER)
            self.epoch, self._refusal, self._failed = epoch, None, ()

    def _undo(self) -> None:
        self._move(Cause.CALLED_BACK)
        self._desk.put(Unmigrate(self.epoch))

    def _answer(self) -> None:
        stamp, worker = self._desk.stamp(self.epoch), self._desk.worker
        if self.state is State.DONE:
            self._desk.send(plugin_messages.Migrated(stamp, worker, self._took))
        elif self.state is State.FAILED and self._refusal is not None:
            self._desk.send(messages.Refused(stamp, worker, self._refusal))
        elif self.state is State.UNDONE:
            self._desk.send(plugin_messages.Unmigrated(stamp, worker, self._failed))

    def _move(self, cause: Cause) -> None:
        self.state = TABLE.after(self.state, cause)
