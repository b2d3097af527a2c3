"""Where a worker's parts lay down what they want done, and what every report needs."""

from collections.abc import Sequence

import msgspec

from changeover.workers.participant.effects import CancelTimer, Effect, Send, SetTimer
from changeover.workers.participant.events import Timer
from changeover.workers.protocol.epoch import Stamp
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.messages import WorkerMessage


class Identity(msgspec.Struct, frozen=True):
    """Who a worker is, as its birth says.

    Attributes:
        worker: Cohort, slot and incarnation.
        nonce: Said in Hello: proves who forked it.
        pid: For people.
        journal: The journal it belongs to.
        term: The supervisor's term when it was forked.
        rolled: The epoch whose roll made it: what it can serve.
        part: The word of the commit cell that it reads.
    """

    worker: WorkerId
    nonce: str
    pid: int
    journal: str
    term: int
    rolled: int = 0
    part: int = 0


class Desk:
    """Effects in the order in which they are wanted.

    Attributes:
        identity: Who reports.
        term: The latest term that was heard of.
    """

    __slots__ = ("_effects", "identity", "term")

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.term = identity.term
        self._effects: list[Effect] = []

    @property
    def worker(self) -> WorkerId:
        """Who reports."""
        return self.identity.worker

    def stamp(self, epoch: int) -> Stamp:
        """Stamp a report about `epoch`."""
        return Stamp(self.identity.journal, self.term, epoch)

    def put(self, effect: Effect) -> None:
        """Want something done."""
        self._effects.append(effect)

    def send(self, message: WorkerMessage) -> None:
        """Want something reported."""
        self._effects.append(Send(message))

    def set_timer(self, timer: Timer, after: float) -> None:
        """Want to be woken."""
        self._effects.append(SetTimer(timer, after))

    def cancel_timer(self, timer: Timer) -> None:
        """Want not to be woken."""
        self._effects.append(CancelTimer(timer))

    def take(self) -> Sequence[Effect]:
        """Hand over what is wanted."""
        effects, self._effects = self._effects, []
        return effects
