"""The law of the zygote that takes orders, and what is done for it.

There is one at a time. A zygote's death is no worker's death: workers are held by their own
descriptors and serve on; the next cohort's zygote fills the slots that become vacant.
"""

import enum

from changeover.supervisor.core import restart
from changeover.supervisor.core.children import Children
from changeover.supervisor.core.effects import AdoptZygote, StartZygote, StopZygote
from changeover.supervisor.core.events import Timer, TimerKind
from changeover.supervisor.core.outbox import Outbox
from changeover.supervisor.core.policy import Policy
from changeover.supervisor.core.records import ZygoteLost, ZygoteStarted
from changeover.workers.protocol.refusal import Refusal
from changeover.workers.protocol.table import Table


class State(enum.Enum):
    """Whether somebody takes orders for workers."""

    ABSENT = "absent"
    ADOPTING = "adopting"
    """A former supervisor's zygote is being taken over."""
    STARTING = "starting"
    """It preloads."""
    READY = "ready"
    BACKOFF = "backoff"
    """It is gone; the next cohort's comes after a pause."""
    STOPPING = "stopping"
    """It was told to end."""


class Cause(enum.Enum):
    """What happens to it."""

    STARTED = "started"
    ADOPTED = "adopted"
    READY = "ready"
    LOST = "lost"
    RETRIED = "retried"
    STOPPED = "stopped"


TABLE: Table[State, Cause] = Table(
    "zygote",
    State.ABSENT,
    {
        State.ABSENT: {Cause.STARTED: State.STARTING, Cause.ADOPTED: State.ADOPTING},
        State.ADOPTING: {Cause.READY: State.READY, Cause.LOST: State.BACKOFF, Cause.STOPPED: State.STOPPING},
        State.STARTING: {Cause.READY: State.READY, Cause.LOST: State.BACKOFF, Cause.STOPPED: State.STOPPING},
        State.READY: {Cause.LOST: State.BACKOFF, Cause.STOPPED: State.STOPPING},
        State.BACKOFF: {Cause.RETRIED: State.STARTING, Cause.STOPPED: State.ABSENT},
        State.STOPPING: {Cause.READY: State.STOPPING, Cause.LOST: State.ABSENT},
    },
)


class Zygote:
    """Keeps one zygote ready.

    Attributes:
        state: Whether it takes orders.
        cohort: Its cohort; 0 before the first.
        replaced: The cohort that was given up for what it preloaded; 0 for none.
    """

    __slots__ = ("_children", "_exits", "_out", "_policy", "cohort", "replaced", "state")

    def __init__(self, policy: Policy, children: Children, out: Outbox) -> None:
        self._policy = policy
        self._children = children
        self._out = out
        self._exits: tuple[float, ...] = ()
        self.state = TABLE.start
        self.cohort = 0
        self.replaced = 0

    @property
    def failing(self) -> bool:
        """Whether it was lost again and again."""
        return restart.too_often(self._exits, self._out.now, self._policy.restarts)

    def begin(self, cohort: int, alive: bool) -> None:
        """Take over the zygote of `cohort` when it may be alive, start the next one when not."""
        self.cohort = cohort
        if alive:
            self._move(Cause.ADOPTED)
            self._out.put(AdoptZygote(cohort))
            self._wait()
        else:
            self._move(Cause.STARTED)
            self._start()

    def ready(self, cohort: int) -> None:
        """A zygote takes orders."""
        if cohort != self.cohort or not TABLE.lists(self.state, Cause.READY):
            return  # it was given up, and is being stopped
        adopted = self.state is State.ADOPTING
        self._move(Cause.READY)
        if self.state is State.READY:
            self._out.cancel_timer(Timer(TimerKind.ZYGOTE, cohort))
            self._out.tell(ZygoteStarted(cohort, adopted))
            self._children.cohort = cohort
            self._children.fill()

    def lost(self, cohort: int, reason: str, refusal: Refusal | None = None) -> None:
        """A zygote is gone."""
        if cohort != self.cohort or not TABLE.lists(self.state, Cause.LOST):
            return
        adopting, expected = self.state is State.ADOPTING, self.state is State.STOPPING
        self._move(Cause.LOST)
        self._children.cohort = None
        self._out.cancel_timer(Timer(TimerKind.ZYGOTE, cohort))
        self._out.tell(ZygoteLost(cohort, reason, expected, refusal))
        if self.state is State.BACKOFF:
            now, policy = self._out.now, self._policy.restarts
            self._exits = self._exits if adopting else (*restart.recent(self._exits, now, policy), now)
            self._out.set_timer(Timer(TimerKind.ZYGOTE, cohort), restart.pause(self._exits, now, policy))

    def overdue(self, cohort: int) -> None:
        """The zygote's timer fired: it did not get ready, or a pause is over."""
        if cohort != self.cohort:
            return
        if self.state is State.BACKOFF:
            if self._children.staffing:
                self._move(Cause.RETRIED)
                self._start()
        elif self.state in (State.STARTING, State.ADOPTING):
            self._out.put(StopZygote(cohort))
            self.lost(cohort, f"was not ready within {self._policy.deadlines.zygote:g} s")

    def replace(self, reason: str) -> None:
        """Let the next cohort take over at once: this one preloaded what is not to be served."""
        if self.state in (State.STARTING, State.READY):
            self.replaced = self.cohort
            self._out.put(StopZygote(self.cohort))
            self.lost(self.cohort, reason)

    def stop(self) -> None:
        """End it."""
        if TABLE.lists(self.state, Cause.STOPPED):
            self._move(Cause.STOPPED)
            self._children.cohort = None
            self._out.cancel_timer(Timer(TimerKind.ZYGOTE, self.cohort))
            if self.state is State.STOPPING:
                self._out.put(StopZygote(self.cohort))

    def _start(self) -> None:
        self.cohort += 1
        self._out.put(StartZygote(self.cohort))
        self._wait()

    def _wait(self) -> None:
        self._out.set_timer(Timer(TimerKind.ZYGOTE, self.cohort), self._policy.deadlines.zygote)

    def _move(self, cause: Cause) -> None:
        self.state = TABLE.after(self.state, cause)
