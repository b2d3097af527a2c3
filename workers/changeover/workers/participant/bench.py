"""What serves, what is aside, and what a worker knows it should have: built one at a time, in order.

A committed generation that is to be reached (`goal`) comes before a candidate. A worker that joins
accepts nothing before it serves what is committed *and* holds the candidate of a cutover under
way: it has no vote that anybody waited for, so it must not be in anybody's way either.
"""

import enum

from changeover.workers.participant import aside
from changeover.workers.participant.aside import Cause, State
from changeover.workers.participant.desk import Desk
from changeover.workers.participant.effects import Accept, Activate, Build, Discard, Expect
from changeover.workers.participant.residency import Residency
from changeover.workers.participant.tenure import Tenure
from changeover.workers.protocol import messages
from changeover.workers.protocol.refusal import Refusal
from changeover.workers.protocol.snapshot import EMPTY, Snapshot, UnitKey
from changeover.workers.protocol.table import BugFound


class Known(enum.Enum):
    """Whether a worker can follow what it heard."""

    FOLLOWED = "followed"
    MISSING = "missing"
    """It must be told more."""


class Bench:
    """The generations of one worker.

    Attributes:
        serving: What requests are dispatched to.
        state: What is aside.
        goal: A committed generation to reach, None when it serves or is aside.
        candidate: The candidate that is known and not decided, as far as is known.
        accepting: Whether connections are accepted.
        settled: The number up to which every one is known to be decided.
    """

    __slots__ = ("_aside", "_at", "_desk", "_migrates", "_refused", "_residency", "_tenure", "_took",
                 "accepting", "candidate", "goal", "serving", "settled", "state")  # fmt: skip

    def __init__(self, desk: Desk, residency: Residency, tenure: Tenure) -> None:
        self._desk = desk
        self._residency = residency
        self._tenure = tenure
        self._aside = EMPTY
        self.settled = EMPTY.epoch
        self._refused: dict[int, Refusal] = {}
        self._took = 0.0
        self._migrates: tuple[str, ...] = ()
        self._at = 0
        self.serving = EMPTY
        self.state = aside.TABLE.start
        self.goal: Snapshot | None = None
        self.candidate: Snapshot | None = None
        self.accepting = False

    @property
    def prepared(self) -> int | None:
        """The candidate that is held prepared."""
        return self._aside.epoch if self.state is State.PREPARED else None

    @property
    def migrates(self) -> tuple[str, ...]:
        """Plugins of the candidate that is held prepared that migrate something, by id."""
        return self._migrates if self.state is State.PREPARED else ()

    def resident(self) -> tuple[UnitKey, ...]:
        """Everything that is here of generations that served or serve."""
        return (*(unit.key for unit in self.serving.units), *self._residency.all())

    # ---- what the supervisor says ----

    def asked(self, candidate: Snapshot) -> Known:
        """A candidate is to be prepared, whose number is not known to be decided."""
        epoch = candidate.epoch
        if self.candidate is None or self.candidate.epoch != epoch:
            self.candidate = candidate
            self.advance()
        else:
            self._answer_again(epoch)
        return self.alone(epoch)

    def alone(self, epoch: int) -> Known:
        """Whether no candidate but `epoch` is aside: what became of another one was missed."""
        missed = self.state in (State.BUILDING, State.PREPARED) and self._aside.epoch != epoch
        return Known.MISSING if missed else Known.FOLLOWED

    def committed(self, epoch: int) -> Known:
        """`epoch` is committed: by the supervisor's word, or by the commit cell's."""
        self.settled = max(self.settled, epoch)
        if epoch <= self.serving.epoch or (self.goal is not None and self.goal.epoch >= epoch):
            return Known.FOLLOWED
        if self.state is not State.EMPTY and self._aside.epoch == epoch:
            self._commit_aside()
            return Known.FOLLOWED
        if self.candidate is not None and self.candidate.epoch == epoch:
            self._reach(self.candidate)
            return Known.FOLLOWED
        return Known.FOLLOWED if self._waits_past(epoch) else Known.MISSING

    def _waits_past(self, epoch: int) -> bool:
        """Whether a new worker was told of a candidate alone: it serves nothing before that is committed."""
        return self.serving is EMPTY and self.candidate is not None and epoch < self.candidate.epoch

    def aborted(self, epoch: int) -> None:
        """`epoch` was not committed and never will be."""
        self.settled = max(self.settled, epoch)
        if self.candidate is not None and self.candidate.epoch <= epoch:
            self.candidate = None
        if self.state in (State.BUILDING, State.PREPARED) and self._aside.epoch == epoch:
            self._drop()
        self.advance()

    def welcomed(self, current: Snapshot | None, candidate: Snapshot | None, decided: int) -> None:
        """All that there is to know. Only what is known to be decided is given up: this may be an old message."""
        self.settled = max(self.settled, decided, 0 if current is None else current.epoch)
        known = max((c for c in (self.candidate, candidate) if c is not None), key=_epoch, default=None)
        self.candidate = known if known is not None and known.epoch > self.settled else None
        if self._is_aborted(current):
            self._drop()
        if current is not None and current.epoch > self.serving.epoch:
            if self.state is not State.EMPTY and self._aside.epoch == current.epoch:
                self._commit_aside()
            elif current.epoch in self._refused:
                self._answer_again(current.epoch)
            else:
                self._reach(current)
        if self.candidate is not None:
            self._answer_again(self.candidate.epoch)
        self.advance()

    def close(self) -> None:
        """Build nothing any more: the worker yields."""
        self.candidate = self.goal = None
        if self.state in (State.BUILDING, State.PREPARED, State.CATCHING_UP):
            self._drop()

    def _is_aborted(self, current: Snapshot | None) -> bool:
        if self.state not in (State.BUILDING, State.PREPARED) or self._aside.epoch > self.settled:
            return False
        return current is None or self._aside.epoch != current.epoch

    # ---- what the shell says ----

    def built(self, epoch: int, took: float, migrates: tuple[str, ...]) -> None:
        """A build is done; one that was discarded meanwhile means nothing."""
        if self.state not in (State.BUILDING, State.CATCHING_UP) or self._aside.epoch != epoch:
            return
        self._took, self._migrates = took, migrates
        self._move(Cause.BUILT)
        if self.prepared == epoch:
            if self.serving is EMPTY:
                self._desk.put(Expect(relieves=self.settled > 0))
            self._answer_again(epoch)
        else:
            self._desk.put(Activate(epoch))
        self.advance()

    def failed(self, epoch: int, refusal: Refusal) -> None:
        """A build failed; nothing is left of it."""
        if self.state not in (State.BUILDING, State.CATCHING_UP) or self._aside.epoch != epoch:
            return
        self._move(Cause.FAILED)
        self._refused = {epoch: refusal}
        self._answer_again(epoch)
        self.advance()

    def followed(self, epoch: int, at: int) -> None:
        """The switch's pointer moved, or stands where it was asked to move."""
        if epoch != self.serving.epoch:
            if self._aside.epoch != epoch:
                raise BugFound("aside", self.state.value, f"epoch {epoch} serves and was not prepared")
            self._move(Cause.FOLLOWED)
            old, self.serving, self._aside = self.serving, self._aside, EMPTY
            self._residency.superseded(old.without(self.serving))
            self.settled = max(self.settled, epoch)
            self._at = at
            self._forget(epoch)
        self.report_activation()
        self.advance()

    def report_activation(self) -> None:
        """Say what serves, and all that is still here of what does not."""
        epoch = self.serving.epoch
        self._desk.send(messages.Activated(self._desk.stamp(epoch), self._desk.worker, self._at, self._residency.all()))

    # ---- inside ----

    def advance(self) -> None:
        """Begin what is to be built next, and accept when nothing stands in the way."""
        if self.state is State.EMPTY:
            if self.goal is not None:
                self._begin(Cause.BEHIND, self.goal)
                self.goal = None
            elif self.candidate is not None and self.candidate.epoch not in self._refused:
                self._begin(Cause.ASKED, self.candidate)
        if not self.accepting and self._may_accept():
            self.accepting = True
            self._desk.put(Accept())

    def _may_accept(self) -> bool:
        if self.serving is EMPTY or self.state in aside.COMMITTED:
            return False
        return self._tenure.steady and (self.candidate is None or self.prepared == self.candidate.epoch)

    def _begin(self, cause: Cause, snapshot: Snapshot) -> None:
        self._move(cause)
        self._aside = snapshot
        self._desk.put(Build(snapshot))

    def _reach(self, snapshot: Snapshot) -> None:
        self.goal = snapshot
        if self.candidate is not None and self.candidate.epoch <= snapshot.epoch:
            self.candidate = None
        if self.state in (State.BUILDING, State.PREPARED, State.CATCHING_UP) and self._aside.epoch != snapshot.epoch:
            self._drop()
        self.advance()

    def _commit_aside(self) -> None:
        built = self.state is State.PREPARED
        self._move(Cause.COMMITTED)
        if self.candidate is not None and self.candidate.epoch <= self._aside.epoch:
            self.candidate = None
        if built:
            self._desk.put(Activate(self._aside.epoch))

    def _drop(self) -> None:
        self._move(Cause.DROPPED)
        self._desk.put(Discard(self._aside.epoch))
        self._aside = EMPTY

    def _forget(self, epoch: int) -> None:
        if self.candidate is not None and self.candidate.epoch <= epoch:
            self.candidate = None
        if self.goal is not None and self.goal.epoch <= epoch:
            self.goal = None

    def _answer_again(self, epoch: int) -> None:
        if self.prepared == epoch:
            told = (self._took, self._migrates)
            self._desk.send(messages.Prepared(self._desk.stamp(epoch), self._desk.worker, *told))
        elif epoch in self._refused:
            self._desk.send(messages.Refused(self._desk.stamp(epoch), self._desk.worker, self._refused[epoch]))

    def _move(self, cause: Cause) -> None:
        self.state = aside.TABLE.after(self.state, cause)


def _epoch(snapshot: Snapshot) -> int:
    return snapshot.epoch
