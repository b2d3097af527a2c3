"""The law of a zygote that takes orders, and what is done for it.

There is one for the workers that serve, and beside it one for those of a roll that is under way. A
zygote's death is no worker's death: workers are held by their own descriptors and serve on; the
next cohort's zygote fills the slots that become vacant.

One that a roll replaced is kept for a while: recalled, it takes orders for the workers of the next
roll, which goes back, and nothing has to be imported again. When that roll comes to nothing it is
kept again for the rest of its time. What it has imported stays what it was, whatever is recorded for
those workers: only who follows it imports that.
"""

import enum
from collections.abc import Callable
from dataclasses import dataclass

from msgspec.structs import replace

from changeover.supervisor.core import restart
from changeover.supervisor.core.children import Children
from changeover.supervisor.core.effects import AdoptZygote, StartZygote, StopZygote
from changeover.supervisor.core.events import Timer, TimerKind
from changeover.supervisor.core.holding import application_code, application_content
from changeover.supervisor.core.outbox import Outbox
from changeover.supervisor.core.policy import Policy
from changeover.supervisor.core.records.staffing import ZygoteLost, ZygoteStarted
from changeover.workers.protocol.refusal import Refusal
from changeover.workers.protocol.snapshot import ApplicationSpec, Snapshot
from changeover.workers.protocol.table import Table

HANDOVER = 0.5
"""Seconds after a commit in which a zygote that is not wanted any more stays: clients wait for their connections."""


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
    KEPT = "kept"
    """A roll replaced it, and it idles for a while."""
    SUPERSEDED = "superseded"
    """Another is kept in its place: it ends in a moment, when clients do not wait for the processor."""
    STOPPING = "stopping"
    """It was told to end."""


class Cause(enum.Enum):
    """What happens to it."""

    STARTED = "started"
    ADOPTED = "adopted"
    READY = "ready"
    LOST = "lost"
    RETRIED = "retried"
    REPLACED = "replaced"
    SUPERSEDED = "superseded"
    RECALLED = "recalled"
    DISMISSED = "dismissed"
    """The roll that it was recalled for will not serve."""
    STOPPED = "stopped"


TABLE: Table[State, Cause] = Table(
    "zygote",
    State.ABSENT,
    {
        State.ABSENT: {Cause.STARTED: State.STARTING, Cause.ADOPTED: State.ADOPTING},
        State.ADOPTING: {Cause.READY: State.READY, Cause.LOST: State.BACKOFF, Cause.STOPPED: State.STOPPING},
        State.STARTING: {Cause.READY: State.READY, Cause.LOST: State.BACKOFF, Cause.STOPPED: State.STOPPING},
        State.READY: {
            Cause.LOST: State.BACKOFF,
            Cause.REPLACED: State.KEPT,
            Cause.DISMISSED: State.KEPT,
            Cause.STOPPED: State.STOPPING,
        },
        State.BACKOFF: {Cause.RETRIED: State.STARTING, Cause.STOPPED: State.ABSENT},
        State.KEPT: {
            Cause.RECALLED: State.READY,
            Cause.SUPERSEDED: State.SUPERSEDED,
            Cause.LOST: State.ABSENT,
            Cause.STOPPED: State.STOPPING,
        },
        State.SUPERSEDED: {Cause.LOST: State.ABSENT, Cause.STOPPED: State.STOPPING},
        State.STOPPING: {Cause.READY: State.STOPPING, Cause.LOST: State.ABSENT},
    },
)


@dataclass(frozen=True, slots=True)
class Stay:
    """What it is kept for.

    Attributes:
        rolled: The epoch whose roll's workers it was for.
        until: When it ends, monotonic seconds.
        content: What it was for.
    """

    rolled: int
    until: float
    content: Snapshot


class Zygote:
    """Keeps one zygote ready, for the workers of one roll.

    Args:
        rolled: The epoch whose roll made it.
        content: What it is for first: the application that it preloads, what executes it, the sockets that it inherits.
        number: Takes the number of the next cohort.

    Attributes:
        rolled: The epoch whose roll's workers it is for.
        state: Whether it takes orders.
        cohort: Its cohort; 0 before the first.
    """

    __slots__ = (
        "_children", "_content", "_exits", "_imports_late", "_loaded", "_number", "_out", "_policy", "_stay", "cohort",
        "rolled", "state",
    )  # fmt: skip

    def __init__(
        self,
        policy: Policy,
        children: Children,
        out: Outbox,
        rolled: int,
        content: Snapshot,
        number: Callable[[], int],
    ) -> None:
        self._policy = policy
        self._children = children
        self._out = out
        self._content = content
        self._loaded = content.application
        self._imports_late = False
        self._number = number
        self._exits: tuple[float, ...] = ()
        self._stay: Stay | None = None
        self.rolled = rolled
        self.state = TABLE.start
        self.cohort = 0

    @property
    def failing(self) -> bool:
        """Whether it was lost again and again."""
        return restart.too_often(self._exits, self._out.now, self._policy.restarts)

    @property
    def until(self) -> float:
        """When it ends, where it is kept, monotonic seconds; 0 otherwise."""
        return self._stay.until if self.state is State.KEPT and self._stay is not None else 0.0

    def begin(self) -> None:
        """Start one."""
        self._move(Cause.STARTED)
        self._start()

    @property
    def mixes(self) -> bool:
        """Whether its workers have in memory what it imported with other packages than are recorded for them."""
        loaded, recorded = self._loaded, self._content.application
        if loaded is None or recorded is None or not recorded.preload or self._imports_late:
            return False
        return loaded.distributions != recorded.distributions

    def adopt(self, cohort: int, imported: str = "") -> None:
        """Take over a former supervisor's, which may be alive; `imported`: the record it imported with, if known."""
        self.cohort = cohort
        self._loaded = _imported_with(self._content.application, imported)
        self._move(Cause.ADOPTED)
        self._out.put(AdoptZygote(cohort))
        self._wait()

    def ready(self, threads: tuple[str, ...] = ()) -> None:
        """It takes orders; `threads` are the modules because of which its workers import after the fork."""
        if not TABLE.lists(self.state, Cause.READY):
            return  # it was given up, and is being stopped
        adopted = self.state is State.ADOPTING
        self._move(Cause.READY)
        if self.state is State.READY:
            self._imports_late = bool(threads)
            self._out.cancel_timer(self._timer())
            self._out.tell(ZygoteStarted(self.cohort, adopted, threads))
            self._children.take_orders(self.rolled, self.cohort)

    def lost(self, reason: str, refusal: Refusal | None = None, *, refuses: bool = False) -> None:
        """It is gone; `refuses`: a cutover is refused for `refusal`."""
        if not TABLE.lists(self.state, Cause.LOST):
            return
        adopting, expected = self.state is State.ADOPTING, self.state is State.STOPPING
        self._move(Cause.LOST)
        self._children.refuse_orders(self.rolled)
        self._out.cancel_timer(self._timer())
        self._out.tell(ZygoteLost(self.cohort, reason, expected, refusal, refuses and not expected))
        if self.state is State.BACKOFF:
            now, policy = self._out.now, self._policy.restarts
            self._exits = self._exits if adopting else (*restart.recent(self._exits, now, policy), now)
            self._out.set_timer(self._timer(), restart.pause(self._exits, now, policy))

    def overdue(self) -> None:
        """Its timer fired: it did not get ready, a pause is over, or it was there long enough."""
        if self.state is State.BACKOFF:
            if self._children.staffing:
                self._move(Cause.RETRIED)
                self._start()
        elif self.state in (State.STARTING, State.ADOPTING):
            self._out.put(StopZygote(self.cohort))
            self.lost(f"was not ready within {self._policy.deadlines.zygote:g} s")
        elif self.state in (State.KEPT, State.SUPERSEDED):
            self.stop()

    def keep(self) -> None:
        """Let it idle for a while; one that does not take orders, or is not to be kept, ends."""
        seconds = self._policy.deadlines.rescue
        if not seconds or not TABLE.lists(self.state, Cause.REPLACED):
            self.stop()
            return
        self._idle(Cause.REPLACED, Stay(self.rolled, self._out.now + seconds, self._content))

    def dismiss(self) -> None:
        """Its roll will not serve: let it end, or idle for what is left of its time where it was recalled for that."""
        stay = self._stay
        if stay is None or stay.until <= self._out.now or not TABLE.lists(self.state, Cause.DISMISSED):
            self.stop()
            return
        self._idle(Cause.DISMISSED, stay)

    def supersede(self) -> None:
        """Let it end after the handover that begins now: that takes milliseconds of the processor."""
        self._move(Cause.SUPERSEDED)
        self._out.set_timer(self._timer(), HANDOVER)

    def has_loaded(self, snapshot: Snapshot, *, whatever_installed: bool = False) -> bool:
        """Whether it is what a new zygote for `snapshot` would become.

        Where workers import after the fork, only code is told apart: each imports with the packages of its own time.

        Args:
            snapshot: What is to serve.
            whatever_installed: Whether it may have imported the application with other packages than are installed now.
        """
        made, wanted = self._content.interpreter, snapshot.interpreter
        executes = (made.python, made.version) == (wanted.python, wanted.version)
        had, wants = self._loaded, snapshot.application
        preloaded = application_content(had) == application_content(wants)
        whatever_installed = whatever_installed or self._imports_late
        preloaded |= whatever_installed and application_code(had) == application_code(wants)
        return executes and preloaded and snapshot.listens_as(self._content)

    def recall(self, snapshot: Snapshot) -> None:
        """Let it take orders again, for the workers of another roll."""
        self._move(Cause.RECALLED)
        self._out.cancel_timer(self._timer())
        self.rolled, self._content = snapshot.rolled, snapshot
        self._children.take_orders(self.rolled, self.cohort)

    def stop(self) -> None:
        """End it."""
        if TABLE.lists(self.state, Cause.STOPPED):
            self._move(Cause.STOPPED)
            self._children.refuse_orders(self.rolled)
            self._out.cancel_timer(self._timer())
            if self.state is State.STOPPING:
                self._out.put(StopZygote(self.cohort))

    def _idle(self, cause: Cause, stay: Stay) -> None:
        self._move(cause)
        self._children.refuse_orders(self.rolled)
        self._stay, self.rolled, self._content = stay, stay.rolled, stay.content
        self._out.set_timer(self._timer(), stay.until - self._out.now)

    def _start(self) -> None:
        self.cohort = self._number()
        preloads, executes = self._content.application, self._content.interpreter
        self._loaded = preloads
        self._out.put(StartZygote(self.cohort, self.rolled, preloads, executes))
        self._wait()

    def _wait(self) -> None:
        self._out.set_timer(self._timer(), self._policy.deadlines.zygote)

    def _timer(self) -> Timer:
        return Timer(TimerKind.ZYGOTE, self.cohort)

    def _move(self, cause: Cause) -> None:
        self.state = TABLE.after(self.state, cause)


def _imported_with(application: ApplicationSpec | None, record: str) -> ApplicationSpec | None:
    """The application as a process has it that imported it with `record`; its digest is that of no other then."""
    if application is None or record in ("", application.distributions):
        return application
    return replace(application, key=replace(application.key, digest=""), distributions=record)
