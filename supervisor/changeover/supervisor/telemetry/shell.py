"""What the shell around the core tells: facts that no decision depends on."""

from changeover.supervisor.core.record import Record


class Listening(Record, frozen=True):
    """Connections are taken at `addresses`."""

    addresses: tuple[str, ...]


class CellStored(Record, frozen=True):
    """The commit cell says `epoch` since `at` at the latest (CLOCK_MONOTONIC, nanoseconds)."""

    epoch: int
    at: int


class SignalTaken(Record, frozen=True):
    """A signal arrived and does what `meaning` says."""

    signal: str
    meaning: str


class WatchingBegan(Record, frozen=True):
    """Changes are taken without being asked for, from here on.

    Attributes:
        policies: When: on change, or every so many seconds; empty for no longer.
    """

    policies: tuple[str, ...]


class WatchingBlind(Record, frozen=True):
    """The kernel does not tell of changes; everything is looked at every `seconds` all the same. Needs somebody."""

    reason: str
    seconds: float


class LogReopened(Record, frozen=True):
    """The log goes to a new file of the same name."""


class ControlUnserved(Record, frozen=True):
    """The control socket cannot be served; everything else goes on. Needs somebody."""

    path: str
    reason: str


class ArrivalsUnprotected(Record, frozen=True):
    """While the server stops, a connection that arrives at `address` between the last accept and the close is reset."""

    address: str
    reason: str


class AddressHeld(Record, frozen=True):
    """We leave, and other processes hold the listening socket of `address`: a start there is refused until they end.

    Attributes:
        address: As people see it.
        holders: Who, and what ends them, in words.
    """

    address: str
    holders: str


class KillModeUnfit(Record, frozen=True):
    """The unit that we run in ends workers together with their supervisor: what is promised of them does not hold.

    Attributes:
        unit: Its name.
        mode: Its `KillMode`.
    """

    unit: str
    mode: str


class Finished(Record, frozen=True):
    """The supervisor has ended everything it started and leaves.

    Attributes:
        reason: Why.
        status: Its exit status.
    """

    reason: str
    status: int = 0
