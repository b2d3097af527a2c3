"""The law of the service's end, and what is done for it.

An end only ever gets more urgent: asked for again, or overdue, GRACEFUL becomes QUICK and QUICK
becomes KILLING. It waits for deaths, not for promises: the zygotes go when every worker is
confirmed dead, and the supervisor when the zygotes are gone. Each wait has a deadline; past the last
one the supervisor leaves and says who stayed.
"""

import enum

from changeover.supervisor.core.children import Children
from changeover.supervisor.core.coordinator import Coordinator
from changeover.supervisor.core.cutover import State as Cutover
from changeover.supervisor.core.effects import Exit, ProcessSignal
from changeover.supervisor.core.events import Timer, TimerKind, Urgency
from changeover.supervisor.core.outbox import Outbox
from changeover.supervisor.core.policy import Policy
from changeover.supervisor.core.records.service import StopBegan
from changeover.supervisor.core.roster import Roster
from changeover.supervisor.core.zygotes import Zygotes
from changeover.workers.protocol.table import Table


class State(enum.Enum):
    """How far the end has come."""

    RUNNING = "running"
    GRACEFUL = "graceful"
    """Workers finish what is in flight."""
    QUICK = "quick"
    """Workers leave at once, politely."""
    KILLING = "killing"
    CLOSING = "closing"
    """No worker is left, or none that can be ended: the zygotes end."""
    GONE = "gone"


class Cause(enum.Enum):
    """What brings it nearer."""

    ASKED = "asked"
    ASKED_QUICK = "asked quick"
    OVERDUE = "overdue"
    EMPTY = "empty"
    """Every worker is confirmed dead."""
    ZYGOTE_GONE = "zygote gone"


TABLE: Table[State, Cause] = Table(
    "shutdown",
    State.RUNNING,
    {
        State.RUNNING: {Cause.ASKED: State.GRACEFUL, Cause.ASKED_QUICK: State.QUICK},
        State.GRACEFUL: {
            Cause.ASKED: State.QUICK,
            Cause.ASKED_QUICK: State.QUICK,
            Cause.OVERDUE: State.QUICK,
            Cause.EMPTY: State.CLOSING,
        },
        State.QUICK: {
            Cause.ASKED: State.KILLING,
            Cause.ASKED_QUICK: State.KILLING,
            Cause.OVERDUE: State.KILLING,
            Cause.EMPTY: State.CLOSING,
        },
        State.KILLING: {
            Cause.ASKED: State.KILLING,
            Cause.ASKED_QUICK: State.KILLING,
            Cause.OVERDUE: State.CLOSING,
            Cause.EMPTY: State.CLOSING,
        },
        State.CLOSING: {
            Cause.ASKED: State.CLOSING,
            Cause.ASKED_QUICK: State.CLOSING,
            Cause.ZYGOTE_GONE: State.GONE,
            Cause.OVERDUE: State.GONE,
        },
        State.GONE: {},
    },
)

_SIGNALS = {
    State.GRACEFUL: ProcessSignal.TERM,
    State.QUICK: ProcessSignal.QUIT,
    State.KILLING: ProcessSignal.KILL,
}

_TIMER = Timer(TimerKind.SHUTDOWN)


class Shutdown:
    """Ends the service.

    Attributes:
        state: How far the end has come.
    """

    __slots__ = (
        "_asked",
        "_children",
        "_code",
        "_coordinator",
        "_out",
        "_policy",
        "_reason",
        "_roster",
        "_zygotes",
        "state",
    )

    def __init__(
        self,
        policy: Policy,
        roster: Roster,
        children: Children,
        zygotes: Zygotes,
        coordinator: Coordinator,
        out: Outbox,
    ) -> None:
        self._policy = policy
        self._roster = roster
        self._children = children
        self._zygotes = zygotes
        self._coordinator = coordinator
        self._out = out
        self._asked = False
        self._code = 0
        self._reason = ""
        self.state = TABLE.start

    @property
    def begun(self) -> bool:
        """Whether the service is ending."""
        return self._asked

    def ask(self, urgency: Urgency, code: int = 0, reason: str = "asked to stop") -> None:
        """End the service; the first reason is the one that counts."""
        if not self.begun:
            self._asked = True
            self._code, self._reason = code, reason
            self._coordinator.end(f"the service is stopping: {reason}")
        if self.state is not State.GONE:
            self._move(Cause.ASKED_QUICK if urgency is Urgency.QUICK else Cause.ASKED)

    def overdue(self) -> None:
        """A deadline of the end passed."""
        if TABLE.lists(self.state, Cause.OVERDUE):
            if self.state is State.KILLING:
                stuck = ", ".join(str(member.pid) for member in self._roster.members())
                self._code, self._reason = 1, f"these processes could not be ended: {stuck}"
            self._move(Cause.OVERDUE)

    def review(self) -> None:
        """Go on when nobody is left to wait for."""
        # While a zygote is being adopted it is not known who lives.
        if self.state in _SIGNALS and self._roster.empty and not self._zygotes.adopting:
            self._move(Cause.EMPTY)
        elif self.state is State.CLOSING and self._zygotes.gone and self._coordinator.state is not Cutover.ABORTING:
            self._move(Cause.ZYGOTE_GONE)

    def _move(self, cause: Cause) -> None:
        before, self.state = self.state, TABLE.after(self.state, cause)
        if self.state is not before:
            self._enter()

    def _enter(self) -> None:
        deadlines = self._policy.deadlines
        if self.state in _SIGNALS:
            workers = sum(1 for _ in self._roster.members())
            self._out.tell(StopBegan(self.state.value, workers))
            self._children.dismiss_all(_SIGNALS[self.state], self._reason)
            # A worker's own deadline comes first; this one is for what has none.
            patience = {State.GRACEFUL: deadlines.graceful, State.QUICK: deadlines.quick, State.KILLING: deadlines.kill}
            self._out.set_timer(_TIMER, patience[self.state] * 1.1)
            self.review()
        elif self.state is State.CLOSING:
            self._zygotes.stop_all()
            self._out.set_timer(_TIMER, deadlines.quick)
            self.review()
        elif self.state is State.GONE:
            self._out.cancel_timer(_TIMER)
            self._coordinator.abandon()
            self._out.put(Exit(self._code, self._reason))
