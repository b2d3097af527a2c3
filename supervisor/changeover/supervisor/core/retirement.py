"""The law of what a commit leaves behind, and what is done about it.

A unit that the new generation lacks is held by the workers that had it. It is *draining* while a
request somewhere still uses it, *retiring* once every holder said Drained and was told to release
it, *released* once every holder said Retired. A holder that is confirmed dead holds nothing. An
epoch is retired when everything that it had and its successor lacks is released, in any order,
and no worker serves it any more; no cutover ever waits for that.

A worker that leaves follows nothing any more: what it serves it keeps until its end, however long
that takes, and it never had what came after. So nobody waits for it before releasing what is
drained in those who stay, and it releases by itself what is drained in it. What it has still counts
for units and epochs: these are gone when it is.
"""

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field

from changeover.supervisor.core.child import LEAVING
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
    """No worker that stays uses it; its holders release it."""
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
        by: The epoch that superseded it.
        state: How far it is gone.
        using: Incarnations of workers that hold it and have not said Drained.
        holding: Those that have said Drained, and not Retired.
    """

    key: UnitKey
    epoch: int
    by: int
    state: State = State.DRAINING
    using: set[int] = field(default_factory=set)
    holding: set[int] = field(default_factory=set)


class Retirement:
    """Follows every superseded unit until it is gone.

    Attributes:
        leftovers: Units that are not gone.
        pending: Epochs superseded by this supervisor and not retired, each with the one that superseded it.
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
        self.pending: dict[int, int] = {}
        self.inherited: dict[int, int] = {}
        self.complete = False

    def inherit(self, epochs: Iterable[int]) -> None:
        """Go on with epochs that a former supervisor did not see retired."""
        committed = self._ledger.committed
        self.inherited.update(dict.fromkeys(epochs, 0 if committed is None else committed.epoch))

    def supersede(self, old: Snapshot, new: Snapshot) -> None:
        """`new` is committed, or all that is left where `old` was a part's: what only `old` had is to go."""
        if new.rolled != old.rolled:
            for member in self._roster.crew(old.rolled):
                member.last = old.epoch if member.last is None else member.last
        self.pending[old.epoch] = new.epoch
        for key in sorted(old.keys() - new.keys(), key=str):
            self.leftovers[key] = Leftover(key, old.epoch, new.epoch, using=self._holders(key, old))
        self.review()

    def _holders(self, key: UnitKey, old: Snapshot) -> set[int]:
        """Who may have a unit of `old`: those who follow, and those who followed when it came."""
        return {
            member.incarnation
            for member in self._roster.members()
            if (member.rolled == old.rolled if member.last is None else key.since <= member.last)
        }

    def adopted(self, member: Member, resident: Iterable[UnitKey]) -> None:
        """A worker of a former supervisor says what it holds."""
        committed = self._ledger.committed
        if committed is None:
            return
        if member.rolled < committed.rolled:
            member.last = committed.rolled - 1
        serving = committed.keys()
        for key in resident:
            # Later units are an undecided candidate's: their worker discards them by itself.
            if key not in serving and key.since <= committed.epoch and key not in member.released:
                # Whichever epoch had it last, the committed one lacks it: what is said about that one tells of it.
                leftover = self.leftovers.setdefault(key, Leftover(key, committed.epoch - 1, committed.epoch))
                leftover.using.add(member.incarnation)
                leftover.state = TABLE.after(leftover.state, Cause.HELD)

    def yields(self, member: Member) -> None:
        """A worker begins nothing any more, and follows nothing."""
        for current in (self._ledger.committed, self._ledger.parted):
            if current is not None and current.rolled == member.rolled and member.last is None:
                member.last = current.epoch
        self.review()

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
        known = [self.leftovers[key] for key in units if key in self.leftovers]
        told = [leftover for leftover in known if incarnation in leftover.using]
        for leftover in told:
            leftover.using.discard(incarnation)
            leftover.holding.add(incarnation)
        if incarnation not in self._staying():
            self._order(told)
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
        """Tell holders again what they may release. Who began to leave meanwhile is not waited for any more."""
        self.review()
        self._order(self.leftovers.values())

    def _order(self, leftovers: Iterable[Leftover]) -> None:
        """Tell those who said Drained, and nobody else: a worker that is still unknown must not be overheard."""
        chosen, staying = tuple(leftovers), self._staying()
        for member in self._roster.members():
            mine = [leftover for leftover in chosen if member.incarnation in leftover.holding]
            # What a worker that leaves has drained is a matter between it and its own requests.
            at_once = member.incarnation not in staying
            units = tuple(leftover.key for leftover in mine if at_once or leftover.state is State.RETIRING)
            if units:
                stamp = self._ledger.stamp(self._ledger.highest)
                self._out.unicast(member.worker, messages.Retire(stamp, UNORDERED, units))

    def _staying(self) -> set[int]:
        """Workers that are not to leave."""
        slots = (slot for slot in self._roster.slots.values() if slot.state not in LEAVING)
        return {slot.member.incarnation for slot in slots if slot.member is not None}

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
        staying = self._staying()
        drained = [
            leftover
            for leftover in self.leftovers.values()
            if leftover.state is State.DRAINING and _is_drained(leftover, staying)
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
            (self.pending if epoch in self.pending else self.inherited).pop(epoch)
            self._writing.write(Retired(epoch))

    def _remains(self, epoch: int) -> bool:
        left = any(leftover.epoch == epoch for leftover in self.leftovers.values())
        return left or bool(self.servers(epoch))

    def _may_remain(self, epoch: int) -> bool:
        left = any(leftover.key.since <= epoch for leftover in self.leftovers.values())
        return left or bool(self.servers(epoch))

    def servers(self, epoch: int) -> tuple[Member, ...]:
        """Workers whose requests are of a superseded epoch still, or may be: to the end of those that leave."""
        return tuple(member for member in self._roster.members() if epoch in (member.epoch, member.last))


def _is_drained(leftover: Leftover, staying: set[int]) -> bool:
    """Whether those who hold a unit and stay have drained it; where nobody stays, whether those that leave have."""
    using = leftover.using & staying if leftover.holding & staying else leftover.using
    return bool(leftover.holding) and not using
