"""What the load is made of, and what it counts."""

import enum
from array import array
from collections import Counter

import msgspec


class Kind(enum.Enum):
    """What a client does; the value is how tables word it."""

    BUSY = "busy keep-alive"
    IDLE = "idle keep-alive"
    FRESH = "new connection per request"
    SILENT = "silent for a second first"
    POST = "slow POST"
    DRIBBLE = "head byte by byte"
    STREAM = "chunked stream"
    LONG = "1.5 s request"


KINDS = tuple(Kind)
QUICK = (Kind.BUSY, Kind.IDLE, Kind.FRESH)
"""Kinds whose latency is the server's: the others take their time on purpose."""


class Mix(msgspec.Struct, frozen=True):
    """How many clients of each kind there are.

    Attributes:
        busy: Each sends a request every `pace` seconds, or as soon as the last one is answered.
        idle: Each sends a request every one to two seconds.
        fresh: Each connects anew for every request.
        silent: Each connects, says nothing for a second, then sends a request.
        post: Each sends a body in pieces over a second, with Content-Length and chunked in turn.
        dribble: Each sends its head one byte at a time.
        stream: Each reads an answer that comes in pieces over a second.
        long: Each waits for an answer that takes 1.5 s.
        pace: Seconds between two requests of a busy client; 0 for no pause at all.
    """

    busy: int = 8
    idle: int = 16
    fresh: int = 2
    silent: int = 4
    post: int = 2
    dribble: int = 2
    stream: int = 4
    long: int = 4
    pace: float = 0.005

    def of(self, kind: Kind) -> int:
        """How many clients are of `kind`."""
        return int(getattr(self, kind.name.lower()))

    def split(self, processes: int) -> tuple["Mix", ...]:
        """Deal the clients out to so many processes."""
        shares = []
        for process in range(processes):
            counts = {
                kind.name.lower(): self.of(kind) // processes + (process < self.of(kind) % processes) for kind in KINDS
            }
            shares.append(msgspec.structs.replace(self, **counts))
        return tuple(shares)


class Fault(enum.Enum):
    """What can go wrong for a client."""

    REFUSED = "connection refused"
    EOF_IDLE = "EOF between requests"
    EOF_WAITING = "EOF before the answer"
    EOF_INSIDE = "EOF inside the answer"
    RESET_IDLE = "reset between requests"
    RESET_WAITING = "reset before the answer"
    RESET_INSIDE = "reset inside the answer"
    ANNOUNCED = "`connection: close` that was not asked for"
    SILENCE = "no answer in time"
    MALFORMED = "not HTTP"
    STATUS = "another status than 200"
    CONTENT = "not the answer that was asked for"
    EPOCHS = "an answer of more than one epoch"


CLOSES = frozenset(
    {
        Fault.EOF_IDLE,
        Fault.EOF_WAITING,
        Fault.EOF_INSIDE,
        Fault.RESET_IDLE,
        Fault.RESET_WAITING,
        Fault.RESET_INSIDE,
        Fault.ANNOUNCED,
    }
)
"""Faults that are a connection closed by the server, unasked."""

UNFAILED = frozenset({Fault.EOF_IDLE, Fault.RESET_IDLE, Fault.ANNOUNCED})
"""Faults that are no failed request."""


class Trouble(msgspec.Struct, frozen=True):
    """One fault.

    Attributes:
        kind: Of the client that met it.
        fault: What went wrong.
        at: CLOCK_MONOTONIC, nanoseconds.
        detail: For people.
        port: The client's, where there was a connection.
    """

    kind: Kind
    fault: Fault
    at: int
    detail: str = ""
    port: int = 0


class Columns(msgspec.Struct, frozen=True):
    """Every whole answer, column by column, as the bytes of machine integers.

    Attributes:
        kinds: Index into `KINDS`, 1 byte.
        since: When the request was due, 8 bytes; CLOCK_MONOTONIC in nanoseconds, as the next two.
        done: When the last byte of the answer came, 8 bytes.
        started: When the worker stamped the request, 8 bytes.
        epochs: Which epoch answered, 4 bytes.
        slots: Which slot answered, 2 bytes.
    """

    kinds: bytes
    since: bytes
    done: bytes
    started: bytes
    epochs: bytes
    slots: bytes


class LoadReport(msgspec.Struct, frozen=True):
    """What one load process saw.

    Attributes:
        requests: Kind -> requests that were answered whole and right.
        connections: Connections opened.
        faults: Fault -> how often.
        troubles: The first faults, one by one.
        markers: Epoch -> what the code that answered called itself.
        columns: Every whole answer.
    """

    requests: dict[Kind, int]
    connections: int
    faults: dict[Fault, int]
    troubles: tuple[Trouble, ...]
    markers: dict[int, tuple[str, ...]]
    columns: Columns


DETAILED = 2000
"""Faults that are kept one by one; all are counted."""


class Tally:
    """Counts while the load runs; cheap, because it runs beside what it measures."""

    def __init__(self) -> None:
        self.connections = 0
        self._requests: Counter[Kind] = Counter()
        self._faults: Counter[Fault] = Counter()
        self._troubles: list[Trouble] = []
        self._markers: dict[int, set[str]] = {}
        self._kinds, self._epochs, self._slots = array("B"), array("I"), array("H")
        self._since, self._done, self._started = array("q"), array("q"), array("q")

    def answered(self, kind: Kind, since: int, done: int, started: int, epoch: int, slot: int, marker: str) -> None:
        """Count a whole answer; times are CLOCK_MONOTONIC in nanoseconds."""
        self._requests[kind] += 1
        self._markers.setdefault(epoch, set()).add(marker)
        self._kinds.append(KINDS.index(kind))
        self._since.append(since)
        self._done.append(done)
        self._started.append(started)
        self._epochs.append(epoch)
        self._slots.append(slot)

    def fault(self, kind: Kind, fault: Fault, at: int, detail: str = "", port: int = 0) -> None:
        """Count what went wrong."""
        self._faults[fault] += 1
        if len(self._troubles) < DETAILED:
            self._troubles.append(Trouble(kind, fault, at, detail, port))

    def report(self) -> LoadReport:
        """All that was counted."""
        columns = (self._kinds, self._since, self._done, self._started, self._epochs, self._slots)
        return LoadReport(
            dict(self._requests),
            self.connections,
            dict(self._faults),
            tuple(self._troubles),
            {epoch: tuple(sorted(markers)) for epoch, markers in self._markers.items()},
            Columns(*(column.tobytes() for column in columns)),
        )
