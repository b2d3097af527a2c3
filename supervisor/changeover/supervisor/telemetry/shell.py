"""What the shell around the core tells: facts that no decision depends on."""

from changeover.supervisor.core.records.record import Record


class Listening(Record, frozen=True):
    """Connections are taken at `addresses`."""

    addresses: tuple[str, ...]


class AddressesChanged(Record, frozen=True):
    """What is served is at `addresses` from here on.

    Attributes:
        addresses: As people see them.
        added: Those that were not listened on before.
        removed: Those that are let go of: connections are taken there until none has waited for `linger` seconds.
        linger: Seconds (`[drain] address`).
    """

    addresses: tuple[str, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    linger: float


class AddressClosed(Record, frozen=True):
    """An address that was removed is listened on no more.

    Attributes:
        address: As people see it.
        waiting: Whether connections still waited there when its time was over: they were reset.
    """

    address: str
    waiting: bool = False


class AddressesAmiss(Record, frozen=True):
    """What is listened on is not what the generation that serves says. Needs somebody.

    Attributes:
        wanted: What it says.
        addresses: Where connections are taken, as people see it.
    """

    wanted: tuple[str, ...]
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


class StateShared(Record, frozen=True):
    """Another folder of the service's name was served from its state directory: history, and what is held, are of both.

    Attributes:
        name: The service's.
        before: The folder that was served before.
        folder: The folder that is served now.
    """

    name: str
    before: str
    folder: str


class Finished(Record, frozen=True):
    """The supervisor has ended everything it started and leaves.

    Attributes:
        reason: Why.
        status: Its exit status.
    """

    reason: str
    status: int = 0
