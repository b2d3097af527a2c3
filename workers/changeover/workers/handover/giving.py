"""The law of one plugin's state at the worker that leaves.

It is sent to one successor, which says that it took it, or why not. What was not answered when the link ends counts
as not taken, however far it came: whoever leaves keeps everything, and decides what becomes of it.
"""

import enum
from collections.abc import Callable
from dataclasses import dataclass

from changeover.workers.handover.effects import Effect, Give, Settle
from changeover.workers.handover.messages import StateRefused, StateTaken
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.table import Table


class State(enum.Enum):
    """Whether the successor has it."""

    READY = "ready"
    """It is to be sent."""
    SENT = "sent"
    TAKEN = "taken"
    REFUSED = "refused"
    """A hook failed there."""
    UNTAKEN = "untaken"
    """Nothing was said about it, and nothing will be."""


class Cause(enum.Enum):
    """What happens to it."""

    SENT = "sent"
    NOT_SENT = "not sent"
    """The system did not take the packet."""
    TAKEN = "taken"
    REFUSED = "refused"
    LINK_LOST = "link lost"


TABLE: Table[State, Cause] = Table(
    "giving",
    State.READY,
    {
        State.READY: {Cause.SENT: State.SENT, Cause.NOT_SENT: State.UNTAKEN, Cause.LINK_LOST: State.UNTAKEN},
        State.SENT: {
            Cause.TAKEN: State.TAKEN,
            Cause.REFUSED: State.REFUSED,
            Cause.LINK_LOST: State.UNTAKEN,
        },
        State.TAKEN: {},
        State.REFUSED: {},
        State.UNTAKEN: {},
    },
)


@dataclass(slots=True)
class _Given:
    receiver: WorkerId
    state: State = TABLE.start

    def move(self, cause: Cause) -> None:
        self.state = TABLE.after(self.state, cause)


class Giving:
    """What is on its way of the state of plugins.

    Args:
        put: Takes what is to be done.
    """

    __slots__ = ("_given", "_put")

    def __init__(self, put: Callable[[Effect], None]) -> None:
        self._put = put
        self._given: dict[int, _Given] = {}

    def begin(self, id: int, receiver: WorkerId) -> None:
        """Send it."""
        self._given[id] = _Given(receiver)
        self._put(Give(receiver, id))

    def sent(self, id: int) -> None:
        """It is on its way, unless its link was lost meanwhile."""
        if id in self._given:
            self._given[id].move(Cause.SENT)

    def not_sent(self, id: int) -> None:
        """It is not."""
        if id in self._given:
            self._settle(id, Cause.NOT_SENT, None)

    def answered(self, receiver: WorkerId, message: StateTaken | StateRefused) -> bool:
        """The receiver said what became of it; whether it was asked that."""
        given = self._given.get(message.id)
        if given is None or given.receiver != receiver or given.state is not State.SENT:
            return False
        self._settle(message.id, Cause.TAKEN if isinstance(message, StateTaken) else Cause.REFUSED, message)
        return True

    def lost(self, receiver: WorkerId) -> None:
        """The receiver says nothing any more."""
        for id in [id for id, given in self._given.items() if given.receiver == receiver]:
            self._settle(id, Cause.LINK_LOST, None)

    def _settle(self, id: int, cause: Cause, answer: StateTaken | StateRefused | None) -> None:
        self._given.pop(id).move(cause)
        self._put(Settle(id, answer))
