"""The law of a lookout: from what was seen of the files to cutovers that are asked for.

Whatever tells of changes only says: look. What was seen is compared with what was taken last, and a
difference is worth one cutover; what it amounts to is decided by content, in the scan. One cutover is
asked for at a time: what is seen meanwhile (BEHIND) is asked for when it ended, all of it at once.

An outcome that would be the same again settles what was seen: committed, nothing changed, refused for
what it is. One that may pass does not (a timeout, a full disk, another decision that is in doubt), and
the same is asked for again after a while (WAITING), twice as long each time, or at once when
something else is seen. Where a plugin was refused beside others that need nothing of it, those are
asked for at once: it is quarantined by then, so each time there is one less.
"""

import enum
from collections.abc import Mapping

import msgspec

from changeover.supervisor.core.outcome import Outcome, Refused
from changeover.supervisor.core.quarantine import MOST, passing
from changeover.workers.protocol.table import Table

Files = Mapping[str, object]
"""Every file that is looked at, and what tells one state of it from another."""

FIRST = 1.0
"""Seconds before the same is asked for again."""
LONGEST = 300.0
"""Seconds: it does not take longer, however often it failed."""


class State(enum.Enum):
    """What a lookout does."""

    IDLE = "idle"
    """What was seen last is taken, or refused for what it is."""
    ASKING = "asking"
    """A cutover was asked for."""
    BEHIND = "behind"
    """So it was, and other files were seen since."""
    WAITING = "waiting"
    """It failed for a reason that may pass."""


class Cause(enum.Enum):
    """What moves it."""

    CHANGED = "changed"
    """Files were seen that differ from those that were taken, or asked for."""
    SETTLED = "settled"
    """The cutover ended as it would again."""
    UNSETTLED = "unsettled"
    """It failed for a reason that may pass, or somebody else's did."""
    REST = "rest"
    """It was refused, and something else of it can be had without what was."""
    DUE = "due"


TABLE: Table[State, Cause] = Table(
    "lookout",
    State.IDLE,
    {
        State.IDLE: {Cause.CHANGED: State.ASKING, Cause.UNSETTLED: State.WAITING},
        State.ASKING: {
            Cause.CHANGED: State.BEHIND,
            Cause.SETTLED: State.IDLE,
            Cause.UNSETTLED: State.WAITING,
            Cause.REST: State.ASKING,
        },
        State.BEHIND: {
            Cause.CHANGED: State.BEHIND,
            Cause.SETTLED: State.ASKING,
            Cause.UNSETTLED: State.ASKING,
            Cause.REST: State.ASKING,
        },
        State.WAITING: {Cause.CHANGED: State.ASKING, Cause.UNSETTLED: State.WAITING, Cause.DUE: State.ASKING},
    },
)


class Ask(msgspec.Struct, frozen=True):
    """Ask for a cutover; answered by `ended`.

    Attributes:
        changed: The files that differ, in the order of their names; none where it is not known what was taken.
    """

    changed: tuple[str, ...]


class Wait(msgspec.Struct, frozen=True):
    """Call `due` after so many seconds."""

    seconds: float


def settles(ending: Outcome) -> bool:
    """Whether the same would end so again."""
    return not (isinstance(ending, Refused) and passing(ending.refusals))


def delay(failures: int) -> float:
    """Seconds to wait after so many failures in a row, from 1."""
    return float(min(LONGEST, FIRST * 2.0 ** min(failures - 1, 16)))


class Lookout:
    """Decides when a cutover is worth asking for.

    Args:
        files: What is served, or is being taken; None when that is not known, and then whatever is seen is asked for.

    Attributes:
        state: What it does.
    """

    def __init__(self, files: Files | None) -> None:
        self.state = TABLE.start
        self._taken = files
        self._asked: Files = {}
        self._latest: Files = {} if files is None else files
        self._failures = 0
        self._rests = 0

    def seen(self, files: Files) -> Ask | None:
        """Files were looked at."""
        self._latest = files
        if files == (self._taken if self.state is State.IDLE else self._asked):
            return None
        before = self.state
        self._move(Cause.CHANGED)
        if before is State.WAITING:
            self._failures = 0
        return self._ask() if self.state is State.ASKING else None

    def ended(self, ending: Outcome | None) -> Ask | Wait | None:
        """The cutover ended; None: nobody knows how."""
        cause = Cause.UNSETTLED if ending is None or not settles(ending) else Cause.SETTLED
        # What was refused so many times ago is not remembered, and would be asked for again, for ever.
        if cause is Cause.SETTLED and isinstance(ending, Refused) and ending.rest and self._rests < MOST:
            cause = Cause.REST
        self._rests = self._rests + 1 if cause is Cause.REST else 0
        if cause is Cause.SETTLED:
            self._taken, self._failures = self._asked, 0
        self._move(cause)
        if self.state is State.ASKING:
            return self._ask()
        return self._wait() if cause is Cause.UNSETTLED else None

    def unsettled(self) -> Wait | None:
        """What somebody else asked for failed for a reason that may pass."""
        if self.state is not State.IDLE:
            return None
        self._asked = self._latest
        self._move(Cause.UNSETTLED)
        return self._wait()

    def due(self) -> Ask | None:
        """It was waited for long enough."""
        if self.state is not State.WAITING:
            return None
        self._move(Cause.DUE)
        return self._ask()

    def _ask(self) -> Ask:
        self._asked = self._latest
        return Ask(() if self._taken is None else differing(self._taken, self._asked))

    def _wait(self) -> Wait:
        self._failures += 1
        return Wait(delay(self._failures))

    def _move(self, cause: Cause) -> None:
        self.state = TABLE.after(self.state, cause)


def differing(one: Files, other: Files) -> tuple[str, ...]:
    """Names of the files that are not the same in both."""
    return tuple(sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name)))
