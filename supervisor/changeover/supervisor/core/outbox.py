"""Where the parts of the machine lay down what they want done."""

from collections import Counter
from collections.abc import Sequence

from changeover.supervisor.core.effects import (
    Broadcast,
    CancelTimer,
    Effect,
    SetTimer,
    Tell,
    Unicast,
)
from changeover.supervisor.core.events import Timer
from changeover.supervisor.core.records.record import Record
from changeover.supervisor.core.records.service import PeerIgnored
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.messages import SupervisorMessage


class Outbox:
    """Effects in the order in which they are wanted, and the numbers that messages need.

    Attributes:
        now: The time of the event that is being handled, seconds.
        seq: Place of the last broadcast in the order of broadcasts.
        ignored: How often which peer's message was without effect, and why.
    """

    __slots__ = ("_effects", "ignored", "now", "seq")

    def __init__(self) -> None:
        self.now = 0.0
        self.seq = 0
        self.ignored: Counter[tuple[str, str]] = Counter()
        self._effects: list[Effect] = []

    def put(self, effect: Effect) -> None:
        """Want something done."""
        self._effects.append(effect)

    def tell(self, record: Record) -> None:
        """Want operators to know."""
        self._effects.append(Tell(record))

    def set_timer(self, timer: Timer, after: float) -> None:
        """Want to be woken."""
        self._effects.append(SetTimer(timer, after))

    def cancel_timer(self, timer: Timer) -> None:
        """Want not to be woken."""
        self._effects.append(CancelTimer(timer))

    def next_seq(self) -> int:
        """Take the next place in the order of broadcasts."""
        self.seq += 1
        return self.seq

    def broadcast(self, message: SupervisorMessage) -> None:
        """Tell all workers; `message.seq` was just taken by `next_seq`."""
        self._effects.append(Broadcast(message))

    def unicast(self, worker: WorkerId, message: SupervisorMessage) -> None:
        """Tell one worker; `message.seq` is `seq`."""
        self._effects.append(Unicast(worker, message))

    def ignore(self, peer: WorkerId, what: str, why: str) -> None:
        """Count something that a peer sent and that is without effect."""
        self.ignored[what, why] += 1
        self._effects.append(Tell(PeerIgnored(str(peer), what, why, self.ignored[what, why])))

    def take(self) -> Sequence[Effect]:
        """Hand over what is wanted."""
        effects, self._effects = self._effects, []
        return effects
