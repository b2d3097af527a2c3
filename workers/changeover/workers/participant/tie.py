"""A worker's tie to its supervisor: what was heard, what was missed, and what is done about it."""

from collections import deque
from collections.abc import Callable

import msgspec

from changeover.workers.participant import attachment
from changeover.workers.participant.attachment import Cause, State
from changeover.workers.participant.desk import Desk
from changeover.workers.participant.effects import LeaveGracefully
from changeover.workers.participant.events import Timer
from changeover.workers.protocol.messages import Pulse, SupervisorMessage, Welcome

KEPT_BROADCASTS = 256
"""Broadcasts kept until the Welcome; what is lost beyond them shows as a gap, and is asked for."""


class Patience(msgspec.Struct, frozen=True):
    """How long a worker waits for its supervisor, in seconds.

    Attributes:
        hello: Before an unanswered Hello is repeated.
        silence: Without a heartbeat for this long it is an orphan.
        orphan: How long an orphan serves on; 0 = for ever.
    """

    hello: float = 1.0
    silence: float = 3.5
    orphan: float = 900.0


class Tie:
    """Follows the order of broadcasts.

    Args:
        patience: How long to wait.
        desk: Where effects go.
        say_hello: Introduces the worker, for the first time or again.

    Attributes:
        state: How things stand.
        seen: Place of the latest broadcast that was seen.
    """

    __slots__ = ("_away", "_desk", "_kept", "_patience", "_say_hello", "seen", "state")

    def __init__(self, patience: Patience, desk: Desk, say_hello: Callable[[], None]) -> None:
        self._patience = patience
        self._desk = desk
        self._say_hello = say_hello
        self._kept: deque[SupervisorMessage] = deque(maxlen=KEPT_BROADCASTS)
        self._away = 0.0
        self.state = attachment.TABLE.start
        self.seen = 0

    def begin(self) -> None:
        """The sockets are there."""
        self._listen()
        self._ask()

    def restarted(self, seq: int) -> None:
        """A later supervisor counts its broadcasts from the start."""
        self.seen = seq
        self.lost_thread()

    def heard(self, message: SupervisorMessage) -> None:
        """The supervisor lives."""
        if isinstance(message, Pulse | Welcome):
            self._away = message.away
            self._listen()
        if self.state is State.ORPHANED:
            self._move(Cause.HEARD)
            self._desk.cancel_timer(Timer.ORPHAN)
            self._ask()

    def keeps(self, message: SupervisorMessage) -> bool:
        """Whether `message` is kept until the Welcome says whether it matters."""
        if self.state is not State.APART:
            return False
        self._kept.append(message)
        return True

    def note(self, seq: int) -> None:
        """Take note of a message's place, and ask when one before it is missing."""
        if seq > self.seen + 1:
            self.lost_thread()
        self.seen = max(self.seen, seq)

    def welcomed(self, seq: int) -> list[SupervisorMessage] | None:
        """What was kept and came after the Welcome; None when the Welcome is older than what was seen."""
        if seq < self.seen and self.state is not State.APART:
            return None
        self.seen = seq
        self._move(Cause.WELCOMED)
        self._desk.cancel_timer(Timer.HELLO)
        self._desk.cancel_timer(Timer.ORPHAN)
        kept = sorted((message for message in self._kept if message.seq > seq), key=lambda message: message.seq)
        self._kept.clear()
        return kept

    def lost_thread(self) -> None:
        """Something was missed: ask for everything, once; the timer asks again."""
        if self.state is State.ATTACHED:
            self._move(Cause.LOST_THREAD)
            self._ask()

    def overdue(self, timer: Timer) -> None:
        """A wait for the supervisor is over."""
        match timer, self.state:
            case Timer.HELLO, State.APART | State.ASKING | State.ORPHANED:
                self._ask()
            case Timer.SILENCE, State.APART:
                self._move(Cause.SILENCE)
                self._desk.put(LeaveGracefully("the supervisor fell silent before there was anything to serve"))
            case Timer.SILENCE, State.ATTACHED | State.ASKING:
                self._move(Cause.SILENCE)
                if self._patience.orphan:
                    self._desk.set_timer(Timer.ORPHAN, self._serves_on)
                self._ask()
            case Timer.ORPHAN, State.ORPHANED:
                self._move(Cause.EXPIRED)
                self._desk.put(LeaveGracefully(f"no supervisor came for {self._serves_on:g} s"))
            case _:
                pass

    @property
    def _serves_on(self) -> float:
        """Seconds that an orphan waits: one that was told of an upgrade waits for the next program at the least."""
        return max(self._patience.orphan, self._away)

    def _listen(self) -> None:
        self._desk.set_timer(Timer.SILENCE, self._patience.silence)

    def _ask(self) -> None:
        self._say_hello()
        self._desk.set_timer(Timer.HELLO, self._patience.hello)

    def _move(self, cause: Cause) -> None:
        self.state = attachment.TABLE.after(self.state, cause)
