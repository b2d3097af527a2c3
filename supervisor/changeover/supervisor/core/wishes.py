"""Wishes that wait for the cutover that runs, and the telling of how each one ended."""

from collections.abc import Callable

import msgspec

from changeover.supervisor.core import endings, outcome
from changeover.supervisor.core.ledger import Ledger
from changeover.supervisor.core.outbox import Outbox
from changeover.supervisor.core.outcome import Outcome
from changeover.supervisor.core.records.request import RequestRefused
from changeover.supervisor.core.requests import Wish, next_batch, outdated
from changeover.supervisor.core.run import Run

Resolver = Callable[[Wish, Outcome], None]
"""Told, once, how a wish ended."""


class Wishes:
    """Everything that was wished for and has not begun.

    Attributes:
        waiting: Oldest first.
        stopping: Whether the service is ending, which every refusal from then on says.
    """

    __slots__ = ("_ledger", "_out", "_resolve", "stopping", "waiting")

    def __init__(self, ledger: Ledger, out: Outbox, resolve: Resolver) -> None:
        self._ledger = ledger
        self._out = out
        self._resolve = resolve
        self.waiting: list[Wish] = []
        self.stopping = False

    def take(self) -> tuple[Wish, ...]:
        """The next wishes that one cutover answers; those made for another epoch are refused on the way."""
        while self.waiting:
            batch = next_batch(self.waiting)
            self.waiting = [wish for wish in self.waiting if wish not in batch]
            serving = self._ledger.epoch
            late = tuple(wish for wish in batch if outdated(wish, serving))
            for wish in late:
                self.refuse(wish, f"epoch {serving} is committed, not {wish.request.if_epoch}")
            if len(late) < len(batch):
                return tuple(wish for wish in batch if wish not in late)
        return ()

    def put_back(self, wishes: tuple[Wish, ...]) -> None:
        """Let wishes wait again, before all others."""
        self.waiting[:0] = wishes

    def refuse(self, wish: Wish, why: str) -> None:
        """Tell one that nothing will happen."""
        self._out.tell(RequestRefused(wish.request.origin, why))
        self._resolve(wish, outcome.Refused(self._ledger.epoch, reason=why, stopping=self.stopping))

    def refuse_all(self, why: str) -> None:
        """Tell all that wait that nothing will happen."""
        waiting, self.waiting = self.waiting, []
        for wish in waiting:
            self.refuse(wish, why)

    def tell(self, run: Run, ending: Outcome) -> None:
        """Tell those who wait for `run` how it ended, unless they know."""
        if not run.told:
            run.told = True
            if isinstance(ending, outcome.Refused):
                ending = msgspec.structs.replace(ending, stopping=self.stopping)
            for wish in run.wishes:
                self._resolve(wish, endings.timed(ending, run, wish, self._out.now))
