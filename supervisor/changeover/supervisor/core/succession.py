"""The processes of a roll: made beside those that serve, then in their place, or dismissed."""

import msgspec

from changeover.supervisor.core import room, unstaffed
from changeover.supervisor.core.children import Children
from changeover.supervisor.core.effects import Bind, Listen, ProcessSignal, Unbind
from changeover.supervisor.core.ledger import Ledger
from changeover.supervisor.core.outbox import Outbox
from changeover.supervisor.core.outcome import Candidate, CutoverRequest, Planned
from changeover.supervisor.core.roster import Member, Roster
from changeover.supervisor.core.run import Run
from changeover.supervisor.core.surplus import departing
from changeover.supervisor.core.zygotes import Zygotes
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from changeover.workers.protocol.snapshot import Snapshot


class Succession:
    """Who serves, who is to serve, and who takes over from whom.

    Attributes:
        before: The epoch that the last roll replaced, 0 where it replaced none.
        crashed: The latest epoch that was left when every slot of it crashed, 0 for none.
        before_crashed: Whether `before` was left so.
    """

    __slots__ = ("_children", "_ledger", "_out", "_roster", "_zygotes", "before", "before_crashed", "crashed")

    def __init__(self, roster: Roster, children: Children, zygotes: Zygotes, ledger: Ledger, out: Outbox) -> None:
        self._roster = roster
        self._children = children
        self._zygotes = zygotes
        self._ledger = ledger
        self._out = out
        self.before = self.crashed = 0
        self.before_crashed = False

    def refusal(self, snapshot: Snapshot, request: CutoverRequest) -> Refusal | None:
        """Why the workers that would serve `snapshot` cannot be had; None when they can, or are there."""
        slots, free = self._children.slots, self._children.free
        if not snapshot.is_roll:
            return None
        if self.in_parts(snapshot, request):
            if not self._stays(snapshot):
                return Refusal(Stage.SCAN, Fault.CONFIG, unstaffed.PARTS_MOVE)
            slots = request.surge or 0
        elif request.surge is not None and request.surge < slots:
            return Refusal(Stage.SCAN, Fault.CONFIG, unstaffed.surge_refused(slots, request.surge))
        return Refusal(Stage.SCAN, Fault.RESOURCE, unstaffed.roll_refused(slots, free)) if slots > free else None

    def in_parts(self, snapshot: Snapshot, request: CutoverRequest) -> bool:
        """Whether `snapshot` comes to be served part by part."""
        allowed = request.allow_partial and self._ledger.current is not None and snapshot.is_roll
        return allowed and 0 < (request.surge or 0) < self._children.slots

    def planned(self, plan: Planned | None, found: Candidate, request: CutoverRequest) -> Planned | None:
        """`plan` with how many workers each part would add, where `found` would come to be served part by part."""
        if plan is None or not self.in_parts(found.snapshot, request):
            return plan
        slots, size = self._children.slots, request.surge or 1
        return msgspec.structs.replace(plan, parts=tuple(min(size, slots - done) for done in range(0, slots, size)))

    def weighed(self, found: Candidate, request: CutoverRequest) -> Candidate:
        """`found` with the memory of the workers that a part adds, where it comes to be served part by part."""
        if found.memory is None or not self.in_parts(found.snapshot, request):
            return found
        memory = msgspec.structs.replace(found.memory, workers=min(found.memory.workers, request.surge or 0))
        return msgspec.structs.replace(found, memory=memory)

    def most(self, run: Run | None) -> int:
        """How many workers can be wanted, with those that a roll under way needs beside them."""
        rolls = {self._children.rolled, run.rolled if run is not None and run.is_roll else None} - {None}
        return room.most(self._children.free, [len(self._roster.wanted(rolled)) for rolled in rolls] or [0])

    def first_voters(self, run: Run) -> frozenset[int]:
        """The rolls whose workers are asked first: those that are to serve."""
        return frozenset() if run.snapshot is None else frozenset((run.snapshot.rolled,))

    def all_voters(self, run: Run) -> frozenset[int]:
        """The rolls whose workers must have answered: also those that are replaced."""
        serving = self._ledger.current
        return self.first_voters(run) | (frozenset() if serving is None else frozenset((serving.rolled,)))

    def begin(self, run: Run) -> None:
        """Make the processes of a roll, as soon as what they are to listen on is bound."""
        if self._zygotes.of_roll(run.rolled) is not None or not self._binds(run):
            self.staff(run)

    def preload(self, run: Run) -> None:
        """Make the zygote of a roll, and no worker, as soon as what they are to listen on is bound."""
        if not self._binds(run):
            self.load(run)

    def _binds(self, run: Run) -> bool:
        """Whether something is to be bound first for the processes of a roll; has it bound."""
        if run.snapshot is None or self._stays(run.snapshot):
            return False
        self._out.put(Bind(run.epoch, run.snapshot.listen))
        return True

    def load(self, run: Run) -> None:
        """Make the zygote of a roll; one that goes back has its zygote already, while that is kept.

        A rescue takes it also where it imported the application with other packages than are installed now: what
        served then is wanted, and an import may fail. Whoever asks for a rollback gets no mixture of the two.
        A zygote has the sockets of its own start: where a generation is to serve at other addresses, it is made anew.
        """
        if run.snapshot is not None:
            if run.goes_back and self._stays(run.snapshot):
                self._zygotes.recall(run.snapshot, whatever_installed=run.rescues)
            self._zygotes.want(run.snapshot)

    def staff(self, run: Run) -> None:
        """Make the processes of a roll."""
        if run.snapshot is not None:
            self._children.words[run.rolled] = run.snapshot.part
            self.load(run)
            pace = None if run.request is None else run.request.batch
            run.fresh |= self._children.staff(run.rolled, self._count(run), pace)
            for number in run.fresh:
                self._roster.slots[number].fresh = True

    def _count(self, run: Run) -> int:
        slots = self._children.slots
        return slots if run.part is None else min(slots, run.part.number * run.part.size)

    def choose(self, run: Run) -> None:
        """Say which workers a part replaces: as many as it adds, the oldest first."""
        serving = self._ledger.current
        if run.part is not None and serving is not None:
            rest = self._children.slots - self._count(run)
            run.leaving = frozenset(slot.number for slot in departing(self._roster, serving.rolled, rest))

    def refill(self, epoch: int) -> None:
        """Other content is to be tried in the same processes: have workers for it where others died."""
        self._children.crashes.tries(epoch)
        self._children.retry()

    def go_on(self) -> None:
        """Somebody has prepared: whoever waited for that may boot."""
        self._children.fill()

    def _stays(self, candidate: Snapshot) -> bool:
        """Whether it is served where what serves is; before the first commit that is known to nobody here."""
        serving = self._ledger.current
        return not candidate.listen or (serving is not None and candidate.listens_as(serving))

    def is_loaded(self, run: Run) -> bool:
        """Whether somebody has loaded what would be committed: the workers that voted, or at least their zygote."""
        return not run.is_roll or bool(run.prepared) or self._zygotes.is_ready(run.rolled)

    def rehearser(self, run: Run) -> int | None:
        """The cohort whose zygote can have a candidate rehearsed: its own; None while it takes no orders."""
        if not self._zygotes.is_ready(run.rolled):
            return None
        zygote = self._zygotes.of_roll(run.rolled)
        return None if zygote is None else zygote.cohort

    def judge(self) -> None:
        """Something else is committed: remember whether what was so far kills its workers, as that is forgotten now."""
        left = self._ledger.current
        if left is not None and self._children.crashes.proven(left.rolled):
            self.crashed = left.epoch
        self._children.crashes.acquit()

    def serve(self, committed: Snapshot, replaced: Snapshot | None = None) -> None:
        """The processes that can serve `committed` serve, and no others; the zygote of what is `replaced` is kept."""
        self.before = 0 if replaced is None else replaced.epoch
        self.before_crashed = 0 < self.before == self.crashed
        if (kept := self._zygotes.kept) is not None:
            kept.supersede()
        for rolled in self._zygotes.wanted - {committed.rolled}:
            if replaced is not None and rolled == replaced.rolled:
                self._zygotes.keep(rolled)
            else:
                self._zygotes.give_up(rolled)
        self._children.words[committed.rolled] = committed.part
        self._zygotes.want(committed)
        self._children.succeed(committed.rolled)
        if committed.listen:
            self._out.put(Listen(committed.listen))

    def serve_part(self, run: Run) -> None:
        """The processes of a part serve, beside those whom they did not replace."""
        self._children.succeed_part(run.rolled, run.leaving, self._children.slots - self._count(run))

    def abort(self, run: Run, reason: str) -> None:
        """Nothing comes of it: the processes that were made for a roll, or a part of it, will not serve."""
        self._children.crashes.gives_up(run.epoch)
        # Its numbers may be others' by now: a decision that was in doubt comes late.
        known = ((number, self._roster.slots.get(number)) for number in sorted(run.fresh))
        mine = [number for number, slot in known if slot is not None and slot.rolled == run.rolled]
        undoing = run.elected is not None
        self._children.dismiss(mine, reason, ProcessSignal.TERM if undoing else ProcessSignal.QUIT)
        if run.epoch == run.rolled:
            self._zygotes.dismiss(run.epoch)
        self._out.put(Unbind())

    def successors_of(self, member: Member, snapshot: Snapshot | None) -> tuple[WorkerId, ...]:
        """Who takes over from a worker when `snapshot` is committed; nobody, when it can serve that itself.

        The first of them gets the state of its plugins: each worker has another first one, as far as there are as many,
        and one that serves nothing yet before those that do.
        """
        if snapshot is None or snapshot.rolled <= member.rolled:
            return ()
        crew = [each for each in self._roster.crew(snapshot.rolled) if each.greeted]
        serving = [each for each in crew if each.epoch]
        fresh = [each for each in crew if not each.epoch]
        rank = self._roster.crew(member.rolled).index(member)
        return tuple(each.worker for each in (*_turned(fresh, rank), *_turned(serving, rank)))


def _turned(members: list[Member], rank: int) -> list[Member]:
    """The same in a circle, begun at another one for each rank."""
    first = rank % len(members) if members else 0
    return members[first:] + members[:first]
