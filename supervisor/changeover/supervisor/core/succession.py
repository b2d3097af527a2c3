"""The processes of a roll: made beside those that serve, then in their place, or dismissed."""

from changeover.supervisor.core.children import Children
from changeover.supervisor.core.effects import Bind, Listen, Unbind
from changeover.supervisor.core.ledger import Ledger
from changeover.supervisor.core.outbox import Outbox
from changeover.supervisor.core.roster import Member, Roster
from changeover.supervisor.core.run import Run
from changeover.supervisor.core.zygotes import Zygotes
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.snapshot import Snapshot


class Succession:
    """Who serves, who is to serve, and who takes over from whom.

    Attributes:
        before: The epoch that the last roll replaced, 0 where it replaced none.
    """

    __slots__ = ("_children", "_ledger", "_out", "_roster", "_zygotes", "before")

    def __init__(self, roster: Roster, children: Children, zygotes: Zygotes, ledger: Ledger, out: Outbox) -> None:
        self._roster = roster
        self._children = children
        self._zygotes = zygotes
        self._ledger = ledger
        self._out = out
        self.before = 0

    def first_voters(self, run: Run) -> frozenset[int]:
        """The rolls whose workers are asked first: those that are to serve."""
        return frozenset() if run.snapshot is None else frozenset((run.snapshot.rolled,))

    def all_voters(self, run: Run) -> frozenset[int]:
        """The rolls whose workers must have answered: also those that are replaced."""
        serving = self._ledger.current
        return self.first_voters(run) | (frozenset() if serving is None else frozenset((serving.rolled,)))

    def begin(self, run: Run) -> None:
        """Make the processes of a roll, as soon as what they are to listen on is bound."""
        if run.snapshot is None or self._stays(run.snapshot):
            self.staff(run)
        else:
            self._out.put(Bind(run.epoch, run.snapshot.listen))

    def staff(self, run: Run) -> None:
        """Make the processes of a roll; one that goes back has its zygote already, while that is kept.

        A zygote has the sockets of its own start: where a generation is to serve at other addresses, it is made anew.
        """
        if run.snapshot is not None:
            if run.goes_back and self._stays(run.snapshot):
                self._zygotes.recall(run.snapshot)
            self._zygotes.want(run.snapshot)
            self._children.staff(run.epoch)

    def _stays(self, candidate: Snapshot) -> bool:
        """Whether it is served where what serves is."""
        return self._ledger.current is None or candidate.listens_as(self._ledger.current)

    def is_loaded(self, run: Run) -> bool:
        """Whether somebody has loaded what would be committed: the workers that voted, or at least their zygote."""
        return not run.is_roll or bool(run.prepared) or self._zygotes.is_ready(run.epoch)

    def serve(self, committed: Snapshot, replaced: Snapshot | None = None) -> None:
        """The processes that can serve `committed` serve, and no others; the zygote of what is `replaced` is kept."""
        self.before = 0 if replaced is None else replaced.epoch
        if (kept := self._zygotes.kept) is not None:
            self._zygotes.give_up(kept.rolled)
        for rolled in self._zygotes.wanted - {committed.rolled}:
            if replaced is not None and rolled == replaced.rolled:
                self._zygotes.keep(rolled)
            else:
                self._zygotes.give_up(rolled)
        self._zygotes.want(committed)
        self._children.succeed(committed.rolled)
        if committed.listen:
            self._out.put(Listen(committed.listen))

    def abort(self, epoch: int, reason: str) -> None:
        """The processes of the roll `epoch` will not serve."""
        self._children.dismiss_roll(epoch, reason)
        self._zygotes.give_up(epoch)
        self._out.put(Unbind())

    def successors_of(self, member: Member, snapshot: Snapshot | None) -> tuple[WorkerId, ...]:
        """Who takes over from a worker when `snapshot` is committed; nobody, when it can serve that itself."""
        if snapshot is None or snapshot.rolled <= member.rolled:
            return ()
        return tuple(each.worker for each in self._roster.crew(snapshot.rolled) if each.greeted)
