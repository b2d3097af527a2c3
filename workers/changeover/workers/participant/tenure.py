"""The law of how long a worker holds its place, and what is done about it.

A roll, or a recycle, replaces a worker by successors. Asked for a candidate that only other
processes can serve, a worker connects to them, gives one of them the state of its plugins, and
thereby agrees to hand over; until that is decided it serves on. Once it is committed, or the
supervisor says so, it yields: it dispatches nothing any more, hands its connections over and leaves.
There is no way back from that.
"""

import enum

from changeover.workers.participant.desk import Desk
from changeover.workers.participant.effects import Connect, Disconnect, HandOver
from changeover.workers.protocol import messages
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.refusal import Refusal
from changeover.workers.protocol.snapshot import Snapshot
from changeover.workers.protocol.table import Table


class State(enum.Enum):
    """Whether the worker keeps its place."""

    HOLDING = "holding"
    CONNECTING = "connecting"
    """A candidate would replace it: it connects to its successors."""
    AGREED = "agreed"
    """The same, connected: it can hand over."""
    YIELDING = "yielding"
    """It hands over, and leaves when nothing is left."""


class Cause(enum.Enum):
    """What changes that."""

    ASKED = "asked"
    """To agree to a candidate."""
    CONNECTED = "connected"
    UNREACHABLE = "unreachable"
    """A successor could not be reached."""
    DROPPED = "dropped"
    """The candidate was aborted."""
    ORDERED = "ordered"
    """The candidate is committed, or the supervisor says so."""


TABLE: Table[State, Cause] = Table(
    "tenure",
    State.HOLDING,
    {
        State.HOLDING: {Cause.ASKED: State.CONNECTING, Cause.ORDERED: State.YIELDING},
        State.CONNECTING: {
            Cause.ASKED: State.CONNECTING,
            Cause.CONNECTED: State.AGREED,
            Cause.UNREACHABLE: State.HOLDING,
            Cause.DROPPED: State.HOLDING,
            Cause.ORDERED: State.YIELDING,
        },
        State.AGREED: {
            Cause.ASKED: State.CONNECTING,
            Cause.DROPPED: State.HOLDING,
            Cause.ORDERED: State.YIELDING,
        },
        State.YIELDING: {Cause.ORDERED: State.YIELDING},
    },
)


class Tenure:
    """One worker's hold on its place.

    Attributes:
        state: Whether it keeps it.
        epoch: The candidate that would replace it; 0 when there is none.
    """

    __slots__ = ("_desk", "_refused", "_successors", "epoch", "state")

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._successors: tuple[WorkerId, ...] = ()
        self._refused: tuple[int, Refusal] | None = None
        self.state = TABLE.start
        self.epoch = 0

    @property
    def agreed(self) -> int | None:
        """The candidate that it has agreed to hand over to."""
        return self.epoch if self.state is State.AGREED else None

    @property
    def steady(self) -> bool:
        """Whether nothing is owed to those who would replace it."""
        return self.state in (State.HOLDING, State.AGREED)

    @property
    def yielding(self) -> bool:
        """Whether it dispatches nothing any more."""
        return self.state is State.YIELDING

    def asked(self, candidate: Snapshot, successors: tuple[WorkerId, ...]) -> None:
        """Only other processes can serve the candidate: agree to hand over to them."""
        epoch = candidate.epoch
        if self.yielding:
            self._say_yielding()
        elif self._refused is not None and self._refused[0] == epoch and successors == self._successors:
            self._answer(epoch)
        elif self.epoch != epoch or successors != self._successors:
            self._move(Cause.ASKED)
            self.epoch, self._successors = epoch, successors
            self._desk.put(Connect(candidate, successors))
        else:
            self._answer(epoch)

    def connected(self, epoch: int) -> None:
        """All successors are connected; an answer that comes too late means nothing."""
        if self.state is State.CONNECTING and self.epoch == epoch:
            self._move(Cause.CONNECTED)
            self._answer(epoch)

    def unreachable(self, epoch: int, refusal: Refusal) -> None:
        """A successor could not be reached."""
        if self.state is State.CONNECTING and self.epoch == epoch:
            self._move(Cause.UNREACHABLE)
            self._refused = (epoch, refusal)
            self.epoch = 0
            self._desk.put(Disconnect())
            self._answer(epoch)

    def decided(self, epoch: int) -> None:
        """Every candidate up to `epoch` is decided, and none of them replaces this worker."""
        if self.epoch and self.epoch <= epoch and not self.yielding:
            self._move(Cause.DROPPED)
            self.epoch, self._successors = 0, ()
            self._desk.put(Disconnect())

    def ordered(self, committed: int, successors: tuple[WorkerId, ...] = ()) -> None:
        """Hand over, to `successors` too, and leave.

        Those of a candidate past `committed` take nothing: they may never serve.
        """
        fresh = not self.yielding
        if fresh and self.epoch > committed:
            self.epoch, self._successors = 0, ()
            self._desk.put(Disconnect())
        elif fresh and not self.epoch:
            self._successors = ()  # of a candidate that it refused
        self._move(Cause.ORDERED)
        known = self._successors
        self._successors = (*known, *(each for each in successors if each not in known))
        if fresh or self._successors != known:
            self._desk.put(HandOver(self._successors))
        self._say_yielding()

    def _say_yielding(self) -> None:
        self._desk.send(messages.Yielding(self._desk.stamp(self.epoch), self._desk.worker))

    def _answer(self, epoch: int) -> None:
        if self.agreed == epoch:
            self._desk.send(messages.Prepared(self._desk.stamp(epoch), self._desk.worker))
        elif self._refused is not None and self._refused[0] == epoch:
            self._desk.send(messages.Refused(self._desk.stamp(epoch), self._desk.worker, self._refused[1]))

    def _move(self, cause: Cause) -> None:
        self.state = TABLE.after(self.state, cause)
