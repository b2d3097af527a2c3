"""The law of what a commit leaves behind, and what is done about it.

A unit that the new generation lacks is held by the workers that had it. It is *draining* while a
request somewhere still uses it, *retiring* once every holder said Drained and was told to release
it, *released* once every holder said Retired. A holder that is confirmed dead holds nothing. An
epoch is retired when everything that it had and its successor lacks is released, in any order;
no cutover ever waits for that.
"""

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field

from changeover.supervisor.core.entries import Retired
from changeover.supervisor.core.events import Timer, TimerKind
from changeover.supervisor.core.ledger import Ledger
from changeover.supervisor.core.outbox import Outbox
from changeover.supervisor.core.records.retirement import EpochRetired, UnitReleased, UnitsDrained
from changeover.supervisor.core.roster import Member, Roster
from changeover.supervisor.core.writing import Writing
from changeover.workers.protocol import messages
from changeover.workers.protocol.messages import UNORDERED
from changeover.workers.protocol.snapshot import Snapshot, UnitKey
from changeover.workers.protocol.table import Table


class State(enum.Enum):
    """How far a unit is gone."""

    DRAINING = "draining"
    """A request somewhere may still use it."""
    RETIRING = "retiring"
    """Nobody uses it; its holders release it."""
    RELEASED = "released"
    """No worker has it."""


class Cause(enum.Enum):
    """What happens to a unit that was superseded."""

    HELD = "held"
    """An adopted worker turns out to hold it."""
    ALL_DRAINED = "all drained"
    NONE_HOLDS = "none holds"


TABLE: Table[State, Cause] = Table(
    "retirement",
    State.DRAINING,
    {
        State.DRAINING: {
            Cause.HELD: State.DRAINING,
            Cause.ALL_DRAINED: State.RETIRING,
            Cause.NONE_HOLDS: State.RELEASED,
        },
        State.RETIRING: {Cause.HELD: State.DRAINING, Cause.NONE_HOLDS: State.RELEASED},
        State.RELEASED: {},
    },
)


@dataclass(slots=True)
class Leftover:
    """A unit that was superseded and is not gone.

    Attributes:
        key: The unit.
        epoch: The last epoch that had it.
        state: How far it is gone.
        using: Incarnations of workers that hold it and have not said Drained.
        holding: Those that have said Drained, and not Retired.
    """

    key: UnitKey
    epoch: int
    state: State = State.DRAINING
    using: set[int] = field(default_factory=set)
    holding: set[int] = field(default_factory=set)


class Retirement:
    """Follows every superseded unit until it is gone.

    Attributes:
        leftovers: Units that are not gone.
        pending: Epochs superseded by this supervisor and not retired.
        inherited: Those of former supervisors: what they had is known only from the workers that still hold it.
        complete: Whether the roster names every worker that lives.
    """

    __slots__ = (
        "_ledger",
        "_out",
        "_roster",
        "_unwritten",
        "_writing",
        "complete",
        "inherited",
        "leftovers",
        "pending",
    )

    def __init__(self, ledger: Ledger, roster: Roster, out: Outbox, writing: Writing) -> None:
        self._ledger = ledger
        self._roster = roster
        self._out = out
        self._writing = writing
        self._unwritten: set[int] = set()
        self.leftovers: dict[UnitKey, Leftover] = {}
        self.pending: list[int] = []
        self.inherited: list[int] = []
        self.complete = False

    def inherit(self, epochs: Iterable[int]) -> None:
        """Go on with epochs that a former supervisor did not see retired."""
        self.inherited.extend(epochs)

    def supersede(self, old: Snapshot, new: Snapshot) -> None:
        """`new` is committed: what only `old` had is to go, from every worker that lives."""
        self._supersede(old, new, {member.incarnation for member in self._roster.members()})

    def give_back(self, old: Snapshot, new: Snapshot) -> None:
        """The same where `old` was a part's: what only it had is nowhere but in the workers of its roll."""
        self._supersede(old, new, {member.incarnation for member in self._roster.crew(old.rolled)})

    def _supersede(self, old: Snapshot, new: Snapshot, holders: set[int]) -> None:
        self.pending.append(old.epoch)
        for key in sorted(old.keys() - new.keys(), key=str):
            self.leftovers[key] = Leftover(key, old.epoch, using=set(holders))
        self.review()

    def adopted(self, member: Member, resident: Iterable[UnitKey]) -> None:
        """A worker of a former supervisor says what it holds."""
        committed = self._ledger.committed
        if committed is None:
            return
        serving = committed.keys()
        for key in resident:
            # Later units are an undecided candidate's: their worker discards them by itself.
            if key not in serving and key.since <= committed.epoch and key not in member.released:
                # Whichever epoch had it last, the committed one lacks it: what is said about that one tells of it.
                leftover = self.leftovers.setdefault(key, Leftover(key, committed.epoch - 1))
                leftover.using.add(member.incarnation)
                leftover.state = TABLE.after(leftover.state, Cause.HELD)

    def activated(self, incarnation: int, epoch: int, draining: Iterable[UnitKey]) -> None:
        """A worker says all that it still holds of what `epoch` and those before it superseded."""
        held = frozenset(draining)
        for leftover in self.leftovers.values():
            # A late report on an older epoch says nothing about what a younger one superseded.
            if leftover.epoch < epoch and leftover.key not in held:
                leftover.using.discard(incarnation)
        self.review()

    def drained(self, incarnation: int, units: Iterable[UnitKey]) -> None:
        """No request in a worker uses `units`."""
        for key in units:
            leftover = self.leftovers.get(key)
            if leftover is not None and incarnation in leftover.using:
                leftover.using.discard(incarnation)
                leftover.holding.add(incarnation)
        self.review()

    def retired(self, incarnation: int, units: Iterable[UnitKey]) -> None:
        """A worker has released `units`."""
        for key in units:
            leftover = self.leftovers.get(key)
            if leftover is not None:
                leftover.using.discard(incarnation)
                leftover.holding.discard(incarnation)
        self.review()

    def gone(self, incarnation: int) -> None:
        """A worker is confirmed dead: it holds nothing."""
        for leftover in self.leftovers.values():
            leftover.using.discard(incarnation)
            leftover.holding.discard(incarnation)
        self.review()

    def review(self) -> None:
        """Release what is drained everywhere, forget what is gone, retire what has nothing left."""
        if self.leftovers:
            self._release()
            self._forget()
        if self.pending or self.inherited:
            self._retire()

    def repeat(self) -> None:
        """Tell holders again what they may release."""
        self._order([leftover for leftover in self.leftovers.values() if leftover.state is State.RETIRING])

    def _order(self, leftovers: Iterable[Leftover]) -> None:
        """Tell those who said Drained, and nobody else: a worker that is still unknown must not be overheard."""
        for member in self._roster.members():
            units = tuple(leftover.key for leftover in leftovers if member.incarnation in leftover.holding)
            if units:
                stamp = self._ledger.stamp(self._ledger.highest)
                self._out.unicast(member.worker, messages.Retire(stamp, UNORDERED, units))

    def written(self, epoch: int) -> None:
        """It is on disk that `epoch` is retired."""
        self._unwritten.discard(epoch)
        self._out.tell(EpochRetired(epoch))

    def not_written(self, epoch: int, seconds: float) -> None:
        """It may not be on disk that `epoch` is retired: try again."""
        self._unwritten.add(epoch)
        self._out.set_timer(Timer(TimerKind.REWRITE), seconds)

    def rewrite(self) -> None:
        """Write again what could not be written."""
        epochs, self._unwritten = sorted(self._unwritten), set()
        for epoch in epochs:
            self._writing.write(Retired(epoch))

    def _release(self) -> None:
        drained = [
            leftover
            for leftover in self.leftovers.values()
            if leftover.state is State.DRAINING and leftover.holding and not leftover.using
        ]
        for leftover in drained:
            leftover.state = TABLE.after(leftover.state, Cause.ALL_DRAINED)
        for epoch in dict.fromkeys(leftover.epoch for leftover in drained):
            units = tuple(leftover.key for leftover in drained if leftover.epoch == epoch)
            self._out.tell(UnitsDrained(epoch, units))
        self._order(drained)

    def _forget(self) -> None:
        for leftover in list(self.leftovers.values()):
            if not leftover.using and not leftover.holding:
                leftover.state = TABLE.after(leftover.state, Cause.NONE_HOLDS)
                del self.leftovers[leftover.key]
                self._out.tell(UnitReleased(leftover.key))

    def _retire(self) -> None:
        done = [epoch for epoch in self.pending if not self._remains(epoch)]
        if self.inherited and self.complete and all(member.greeted for member in self._roster.members()):
            done += [epoch for epoch in self.inherited if not self._may_remain(epoch)]
        for epoch in done:
            (self.pending if epoch in self.pending else self.inherited).remove(epoch)
            self._writing.write(Retired(epoch))

    def _remains(self, epoch: int) -> bool:
        return any(leftover.epoch == epoch for leftover in self.leftovers.values())

    def _may_remain(self, epoch: int) -> bool:
        return any(leftover.key.since <= epoch for leftover in self.leftovers.values())
