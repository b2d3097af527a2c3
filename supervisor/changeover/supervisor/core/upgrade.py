"""The law of an upgrade: the supervisor's own program is replaced, in the same process, while workers serve.

First the new program is tried in a child, beside everything else. Then no cutover can begin any more, and the one that
runs goes first: it has a while to be decided, past that it is aborted if it still can be. What is in doubt cannot be
handed over: then the upgrade is refused, and so it is while a roll in parts is under way. All the while workers are
told to wait for us longer than for the dead. Executing is the last thing that this supervisor does, and all that its
successor needs is on disk, in descriptors, and in what workers say of themselves.
"""

import enum

from changeover.supervisor.core import cutover
from changeover.supervisor.core.coordinator import Coordinator
from changeover.supervisor.core.effects import ExecuteImage, RehearseImage, UpgradeDecided
from changeover.supervisor.core.events import Timer, TimerKind, UpgradeRequested
from changeover.supervisor.core.outbox import Outbox
from changeover.supervisor.core.policy import Deadlines
from changeover.supervisor.core.reception import Reception
from changeover.supervisor.core.records.upgrade import UpgradeBegan, UpgradeExecuted, UpgradeRefused, UpgradeWaits
from changeover.workers.protocol.table import Table

IN_PARTS = "a roll in parts is under way, which the next program would revert: ask again when it is done"
OBSTACLE = "the supervisor is being upgraded: ask again in a moment"
_TIMER = Timer(TimerKind.UPGRADE)


class State(enum.Enum):
    """How far an upgrade has come."""

    NONE = "none"
    REHEARSING = "rehearsing"
    """The new program is tried in a child."""
    WAITING = "waiting"
    """A cutover goes first."""
    RETREATING = "retreating"
    """That cutover took too long, and is being aborted."""
    EXECUTING = "executing"


class Cause(enum.Enum):
    """What moves it."""

    ASKED = "asked"
    REHEARSED = "rehearsed"
    QUIET = "quiet"
    """No cutover runs."""
    OVERDUE = "overdue"
    REFUSED = "refused"
    """By the new program, by the system, by a stop, or because a cutover does not end."""


TABLE: Table[State, Cause] = Table(
    "upgrade",
    State.NONE,
    {
        State.NONE: {Cause.ASKED: State.REHEARSING},
        State.REHEARSING: {Cause.REHEARSED: State.WAITING, Cause.REFUSED: State.NONE},
        State.WAITING: {Cause.QUIET: State.EXECUTING, Cause.OVERDUE: State.RETREATING, Cause.REFUSED: State.NONE},
        State.RETREATING: {Cause.QUIET: State.EXECUTING, Cause.REFUSED: State.NONE},
        State.EXECUTING: {Cause.REFUSED: State.NONE},
    },
)


class Upgrade:
    """Replaces the supervisor.

    Args:
        coordinator: What has to rest first.
        reception: Tells workers how long they are to wait for us.
        deadlines: What a cutover has, an abort has as long once more; and what the next program has.
        out: Where effects go.

    Attributes:
        state: How far it has come.
    """

    __slots__ = ("_coordinator", "_deadlines", "_out", "_reception", "_request", "_version", "state")

    def __init__(self, coordinator: Coordinator, reception: Reception, deadlines: Deadlines, out: Outbox) -> None:
        self._coordinator = coordinator
        self._reception = reception
        self._deadlines = deadlines
        self._out = out
        self._request: UpgradeRequested | None = None
        self._version = ""
        self.state = TABLE.start

    def ask(self, request: UpgradeRequested) -> None:
        """Somebody wants it; refused while another one runs, and where no cutover could be had either."""
        reason = self._obstacle
        if self.state is not State.NONE:
            reason = "an upgrade is under way already"
        if reason is not None:
            self.decline(request, reason)
            return
        self._request = request
        self._move(Cause.ASKED)
        self._reception.announce(self._deadlines.takeover)
        self._out.tell(UpgradeBegan(request.origin, request.python))
        self._out.put(RehearseImage(request.python))

    def rehearsed(self, version: str) -> None:
        """The new program is fit."""
        if not TABLE.lists(self.state, Cause.REHEARSED):
            return
        if (reason := self._obstacle) is not None:
            self.refused(reason)
        else:
            self._version = version
            self._move(Cause.REHEARSED)
            self._coordinator.pause(OBSTACLE)
            self._out.set_timer(_TIMER, self._deadlines.upgrade)
            if self._coordinator.state is not cutover.State.IDLE:
                self._out.tell(UpgradeWaits(version, self._deadlines.upgrade))
            self.review()

    def refused(self, reason: str) -> None:
        """It does not come about, and this supervisor goes on."""
        if TABLE.lists(self.state, Cause.REFUSED) and self._request is not None:
            begun, request = self.state is not State.REHEARSING, self._request
            self._move(Cause.REFUSED)
            self._request = None
            self._reception.announce(0.0)
            self._out.cancel_timer(_TIMER)
            self.decline(request, reason)
            if begun and self._coordinator.obstacle == OBSTACLE:
                self._coordinator.resume()

    def review(self) -> None:
        """Go on once no cutover runs; not at all where the one that is waited for turns out to be done in parts."""
        if not TABLE.lists(self.state, Cause.QUIET):
            return
        reason = self._obstacle
        if reason is not None and reason != OBSTACLE:
            self.refused(reason)
        elif self._coordinator.state is cutover.State.IDLE:
            assert self._request is not None
            self._move(Cause.QUIET)
            self._out.cancel_timer(_TIMER)
            self._reception.announce(self._deadlines.takeover)
            self._out.tell(UpgradeExecuted(self._version))
            self._out.put(UpgradeDecided(self._request.ticket))
            self._out.put(ExecuteImage(self._request.python))

    def overdue(self) -> None:
        """A cutover does not end."""
        if self.state is State.WAITING:
            self._move(Cause.OVERDUE)
            self._out.set_timer(_TIMER, self._deadlines.upgrade)
            self._coordinator.fail("the supervisor is being upgraded, and does not wait for it any longer")
            self.review()
        elif self.state is State.RETREATING:
            self.refused("the cutover that runs can neither be ended nor aborted; `changeover status` shows it")

    @property
    def _obstacle(self) -> str | None:
        return IN_PARTS if self._coordinator.in_parts else self._coordinator.obstacle

    def decline(self, request: UpgradeRequested, reason: str) -> None:
        """Refuse a wish."""
        self._out.tell(UpgradeRefused(reason, request.origin, request.python))
        self._out.put(UpgradeDecided(request.ticket, reason))

    def _move(self, cause: Cause) -> None:
        self.state = TABLE.after(self.state, cause)
