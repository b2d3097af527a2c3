"""The way back from a roll whose workers crash, all of them: by itself, once, and without an import.

A worker that dies is replaced, so a cohort that crashes at its first requests looks alive between
two of them. What tells is that every slot lost its worker, and lost the next one, too: nobody told
them to leave, and no other content was committed since. What crashed in that way itself is no way back.
Where there is none the zygote stays kept for its time all the same: whoever asks for a rollback takes it.
"""

from changeover.supervisor.core import outcome
from changeover.supervisor.core.coordinator import Coordinator
from changeover.supervisor.core.crashes import Crashes
from changeover.supervisor.core.entries import Origin, SlotRefusal, Trigger
from changeover.supervisor.core.ledger import Ledger
from changeover.supervisor.core.outbox import Outbox
from changeover.supervisor.core.outcome import Action, CutoverRequest, Outcome, Strategy
from changeover.supervisor.core.records.rescue import RescueBegan, RescueFailed
from changeover.supervisor.core.requests import Wish
from changeover.supervisor.core.roster import Roster, Slot
from changeover.supervisor.core.succession import Succession
from changeover.supervisor.core.zygotes import Zygotes

RESCUE_TICKET = -2
"""The wish that is made here; its outcome is nobody else's business."""


class Rescue:
    """Goes back to what the last roll replaced, while its zygote is kept."""

    __slots__ = ("_coordinator", "_crashes", "_failed", "_ledger", "_out", "_roster", "_succession", "_zygotes")

    def __init__(
        self,
        ledger: Ledger,
        roster: Roster,
        crashes: Crashes,
        zygotes: Zygotes,
        succession: Succession,
        coordinator: Coordinator,
        out: Outbox,
    ) -> None:
        self._ledger = ledger
        self._roster = roster
        self._crashes = crashes
        self._zygotes = zygotes
        self._succession = succession
        self._coordinator = coordinator
        self._out = out
        self._failed = 0
        """The roll from which there was no way back."""

    def review(self) -> None:
        """Go back when there is a way back, and nobody serves for longer than it takes to crash."""
        current = self._ledger.current
        if current is None or self._zygotes.kept is None or not self._coordinator.free:
            return
        if current.rolled == self._failed:
            return
        if self._crashes.struck_all(current.rolled):
            if self._succession.before_crashed:
                self._fail(current.epoch, f"epoch {self._succession.before}, which it replaced, crashed as well")
                return
            before, reason = self._succession.before, _reason(self._roster.wanted(current.rolled))
            self._out.tell(RescueBegan(current.epoch, before, reason))
            origin = Origin(Trigger.RESCUE, label=f"all workers of epoch {current.epoch} crashed: {reason}")
            request = CutoverRequest(origin, Action.ROLLBACK, to=before, strategy=Strategy.ROLL)
            self._coordinator.ask_first(Wish(RESCUE_TICKET, request, self._out.now))

    def ended(self, ending: Outcome) -> None:
        """What served before serves again, or it does not: there is no second try."""
        if isinstance(ending, outcome.Committed | outcome.Undecided):
            return
        refused = ending if isinstance(ending, outcome.Refused) else outcome.Refused(ending.serving)
        self._fail(ending.serving, refused.reason or "it found nothing to go back to", refused.refusals)

    def _fail(self, serving: int, reason: str, refusals: tuple[SlotRefusal, ...] = ()) -> None:
        """There is no way back: say so, once."""
        self._failed = 0 if self._ledger.current is None else self._ledger.current.rolled
        self._out.tell(RescueFailed(serving, reason, refusals))


def _reason(crew: tuple[Slot, ...]) -> str:
    return next((f"slot {slot.number} {slot.note}" for slot in crew if slot.note), "nobody knows why")
