"""All zygotes: of what serves, of a roll that is under way, and of what was replaced and is kept, or has not left."""

from collections.abc import Iterable

from changeover.supervisor.core.children import Children
from changeover.supervisor.core.effects import StopZygote
from changeover.supervisor.core.events import ZygoteFound
from changeover.supervisor.core.outbox import Outbox
from changeover.supervisor.core.policy import Policy
from changeover.supervisor.core.zygote import State, Zygote
from changeover.workers.protocol.refusal import Refusal
from changeover.workers.protocol.snapshot import EMPTY, Snapshot


class Zygotes:
    """Keeps a zygote for every roll whose workers are wanted.

    Args:
        highest: The highest number of a cohort that ever was.

    Attributes:
        wanted: The rolls whose zygotes are to take orders.
        mute: Whether one was lost before it could tell of its workers.
    """

    __slots__ = ("_children", "_highest", "_out", "_policy", "_zygotes", "mute", "wanted")

    def __init__(self, policy: Policy, children: Children, out: Outbox, highest: int) -> None:
        self._policy = policy
        self._children = children
        self._out = out
        self._highest = highest
        self._zygotes: dict[int, Zygote] = {}
        self.wanted: set[int] = set()
        self.mute = False

    def want(self, snapshot: Snapshot) -> None:
        """Have a zygote for the workers that can serve `snapshot`."""
        self.wanted.add(snapshot.rolled)
        if snapshot.rolled not in self._zygotes:
            self._make(snapshot.rolled, snapshot).begin()

    def adopt(self, found: Iterable[ZygoteFound], committed: Snapshot | None) -> None:
        """Take over what a former supervisor left, of each roll the latest; what is not wanted is stopped then."""
        in_order = sorted(found, key=lambda each: each.cohort)
        latest = {each.rolled: each for each in in_order}
        for each in in_order:
            if latest[each.rolled] is not each:
                self._out.put(StopZygote(each.cohort))
        for rolled, each in latest.items():
            serves = committed is not None and committed.rolled == rolled
            made = self._make(rolled, committed if committed is not None and serves else EMPTY)
            made.adopt(each.cohort, each.imported)

    def give_up(self, rolled: int) -> None:
        """Have no zygote for that roll any more."""
        self.wanted.discard(rolled)
        if (zygote := self._zygotes.get(rolled)) is not None:
            zygote.stop()
            self._forget(zygote)

    def keep(self, rolled: int) -> None:
        """Take no orders for that roll any more, but keep its zygote for a while."""
        self.wanted.discard(rolled)
        if (zygote := self._zygotes.get(rolled)) is not None:
            zygote.keep()
            self._forget(zygote)

    def dismiss(self, rolled: int) -> None:
        """That roll will not serve: have no zygote for it any more; one that was recalled for it is kept again."""
        self.wanted.discard(rolled)
        if (zygote := self._zygotes.pop(rolled, None)) is not None:
            zygote.dismiss()
            self._zygotes[zygote.rolled] = zygote
            self._forget(zygote)

    def recall(self, snapshot: Snapshot, *, whatever_installed: bool = False) -> None:
        """Let the zygote that is kept be the one for `snapshot`, when it has loaded that very application.

        Args:
            snapshot: What is to serve.
            whatever_installed: Whether it may have loaded it with other packages than are installed now.
        """
        zygote = self.kept
        if zygote is not None and zygote.has_loaded(snapshot, whatever_installed=whatever_installed):
            del self._zygotes[zygote.rolled]
            self._zygotes[snapshot.rolled] = zygote
            zygote.recall(snapshot)

    def stop_all(self) -> None:
        """End every one."""
        for rolled in tuple(self._zygotes):
            self.give_up(rolled)

    def of_roll(self, rolled: int) -> Zygote | None:
        """The zygote of a roll."""
        return self._zygotes.get(rolled)

    @property
    def kept(self) -> Zygote | None:
        """The zygote that the last roll replaced, for as long as it is kept."""
        return next((zygote for zygote in self._zygotes.values() if zygote.state is State.KEPT), None)

    def is_ready(self, rolled: int) -> bool:
        """Whether the zygote of a roll takes orders."""
        zygote = self._zygotes.get(rolled)
        return zygote is not None and zygote.state is State.READY

    def of_cohort(self, cohort: int) -> Zygote | None:
        """The zygote that has this number now."""
        return next((zygote for zygote in self._zygotes.values() if zygote.cohort == cohort), None)

    def ready(self, cohort: int, threads: tuple[str, ...] = ()) -> None:
        """A zygote takes orders; `threads` are the modules that started threads in it."""
        if (zygote := self.of_cohort(cohort)) is not None:
            zygote.ready(threads)
            if zygote.rolled not in self.wanted:
                zygote.stop()

    def lost(self, cohort: int, reason: str, refusal: Refusal | None, *, refuses: bool) -> None:
        """A zygote is gone; `refuses`: a cutover is refused for `refusal`."""
        if (zygote := self.of_cohort(cohort)) is not None:
            self.mute = self.mute or zygote.state is State.ADOPTING
            zygote.lost(reason, refusal, refuses=refuses)
            if zygote.rolled not in self.wanted:
                zygote.stop()
            self._forget(zygote)

    def overdue(self, cohort: int) -> None:
        """A zygote's timer fired."""
        if (zygote := self.of_cohort(cohort)) is not None:
            zygote.overdue()

    @property
    def adopting(self) -> bool:
        """Whether it is not known yet who lives."""
        return any(zygote.state is State.ADOPTING for zygote in self._zygotes.values())

    @property
    def all(self) -> tuple[Zygote, ...]:
        """Every one, in the order of their cohorts."""
        return tuple(sorted(self._zygotes.values(), key=lambda zygote: zygote.cohort))

    @property
    def gone(self) -> bool:
        """Whether there is none."""
        return not self._zygotes

    def _make(self, rolled: int, snapshot: Snapshot) -> Zygote:
        zygote = Zygote(self._policy, self._children, self._out, rolled, snapshot, self._next)
        self._zygotes[rolled] = zygote
        return zygote

    def _next(self) -> int:
        self._highest += 1
        return self._highest

    def _forget(self, zygote: Zygote) -> None:
        if zygote.state is State.ABSENT:
            self._zygotes.pop(zygote.rolled, None)
