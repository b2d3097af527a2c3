"""What the process that rehearses a candidate is told, and what it reports."""

import msgspec

from changeover.workers.protocol.codec import MalformedFrame
from changeover.workers.protocol.forking import Preload
from changeover.workers.protocol.refusal import Fault, Refusal
from changeover.workers.protocol.snapshot import EMPTY, PluginSpec, Snapshot, UnitKey, UnitRef

MAX_ORDER = 32 * 1024 * 1024
"""Longest order, in bytes: two snapshots, and room."""
MAX_REPORT = 8 * 1024 * 1024
"""Longest report, in bytes."""


class Confinement(msgspec.Struct, frozen=True):
    """What a rehearsal may use up.

    Attributes:
        memory: Bytes beyond what the process has when it begins.
        processes: Processes and threads at the same time.
        output: Bytes of what it writes that are kept, the last ones.
        deadline: Seconds for all of it.
        hook: Seconds for one hook, as in a worker.
    """

    memory: int = 1024 * 1024 * 1024
    processes: int = 64
    output: int = 64 * 1024
    deadline: float = 60.0
    hook: float = 30.0


class RehearsalOrder(msgspec.Struct, frozen=True):
    """What is to be rehearsed.

    Attributes:
        current: What serves; None when nothing does.
        candidate: What is to be swapped in beside it.
        settings: What the rehearsal may use up.
        store: The artifact store.
        preload: The application, where the process has not imported it; None when it has, or when there is none.
        left_out: Of what serves, what is not loaded: it kept an earlier rehearsal from the candidate.
        after_fork: What each new worker begins with, as the configuration names it; empty for nothing, or where it kept
            an earlier rehearsal from the candidate.
        after_fork_within: Seconds that this has.
        exempt: Plugins that are not loaded, because the configuration has workers be the first to.
        vacant: Whether the application's place is only kept: the processes of a roll are there to load that.
        goes_back: Whether it brings back what served: what cannot be rehearsed of that is told, and refuses nothing.
        served: Of the candidate of a roll, what served last as it is: whatever does not load of that is left out.
        other_resources: Of what the candidate brings, plugins of which nothing but resources differs from what served.
        passing: Of `left_out`, what may load another time, with the reason why it did not.
    """

    current: Snapshot | None
    candidate: Snapshot
    settings: Confinement
    store: str
    preload: Preload | None = None
    left_out: tuple[UnitRef, ...] = ()
    after_fork: str = ""
    after_fork_within: float = 10.0
    exempt: tuple[UnitRef, ...] = ()
    vacant: bool = False
    goes_back: bool = False
    served: tuple[UnitRef, ...] = ()
    other_resources: tuple[UnitRef, ...] = ()
    passing: tuple[tuple[UnitRef, Fault], ...] = ()

    def fresh(self) -> frozenset[UnitKey]:
        """The units that the candidate brings; whatever else is in it serves already."""
        return frozenset(key for key in self.candidate.without(self.current or EMPTY) if key.ref not in self.served)

    def serving(self) -> tuple[UnitKey, ...]:
        """What serves: what a swap's candidate is loaded beside, and what a roll's has of that."""
        kept = (unit.key for unit in self.candidate.units if unit.key.ref in self.served)
        return (*(unit.key for unit in (self.current or EMPTY).units), *kept)

    def alone(self) -> "RehearsalOrder":
        """The candidate without what it replaces, as in the processes of a roll."""
        both = self.candidate.keys() & (self.current or EMPTY).keys()
        served = tuple(sorted(key.ref for key in both))
        return msgspec.structs.replace(self, current=EMPTY, served=served, vacant=True)

    def may_be_barred(self) -> bool:
        """Whether something runs before the candidate that may keep a rehearsal from it: what serves, and `after_fork`.

        Where something is left out, `after_fork` has let a rehearsal through before.
        """
        skipped = {*self.left_out, *self.exempt}
        return bool(self.after_fork and not self.left_out) or any(key.ref not in skipped for key in self.serving())


class RehearsalReport(msgspec.Struct, frozen=True):
    """How it went. What wrote it is not trusted: it is decoded strictly, and by its size first.

    Attributes:
        refusal: Why the candidate does not pass; None when it does.
        modules: How many modules of the candidate's plugins were loaded.
        tests_passed: How many self-tests passed.
        tests: How many there are.
        took: Seconds.
        output: The end of what the rehearsal wrote.
        missing: What of the confinement could not be had here, in words.
        warnings: What went wrong and refuses nothing, one line each.
        skipped: Why the candidate was not rehearsed: what serves ended the process before. Empty when it was.
        barred: Which unit did, as its `UnitRef` reads; empty where nobody knows.
        fault: Of what kind that is.
        unproved: Whether it did not load once more, with nothing beside it, which may be for what this process had
            before: `alone` says what tells.
    """

    refusal: Refusal | None = None
    modules: int = 0
    tests_passed: int = 0
    tests: int = 0
    took: float = 0.0
    output: str = ""
    missing: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    skipped: str = ""
    barred: str = ""
    fault: Fault = Fault.CRASH
    unproved: bool = False


def with_other_resources(candidate: Snapshot, served: Snapshot) -> tuple[UnitRef, ...]:
    """Plugins of which nothing but resources differs from what served: their code is no other.

    Args:
        candidate: May bring them.
        served: What served before it.
    """
    new, old = _plugins(candidate), _plugins(served)
    both = (ref for ref in new.keys() & old.keys() if new[ref].key != old[ref].key)
    return tuple(sorted(ref for ref in both if _made_of(new[ref], candidate) == _made_of(old[ref], served)))


def _plugins(snapshot: Snapshot) -> dict[UnitRef, PluginSpec]:
    return {unit.key.ref: unit for unit in snapshot.units if isinstance(unit, PluginSpec)}


def _made_of(spec: PluginSpec, snapshot: Snapshot) -> tuple[object, ...]:
    """All that makes a plugin what it is, but its resources."""
    required = {unit.key.digest for unit in snapshot.units if unit.key.ref in spec.requires}
    return spec.code or spec.artifact, spec.config, spec.granted, required


_encoder = msgspec.msgpack.Encoder()
_orders: msgspec.msgpack.Decoder[RehearsalOrder] = msgspec.msgpack.Decoder(RehearsalOrder)
_reports: msgspec.msgpack.Decoder[RehearsalReport] = msgspec.msgpack.Decoder(RehearsalReport)


def encode(message: RehearsalOrder | RehearsalReport) -> bytes:
    """Encode an order or a report."""
    return _encoder.encode(message)


def decode_order(data: bytes) -> RehearsalOrder:
    """Decode an order.

    Raises:
        MalformedFrame: `data` is none, or too long.
    """
    if len(data) > MAX_ORDER:
        raise MalformedFrame(len(data), f"longer than {MAX_ORDER} bytes")
    try:
        return _orders.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise MalformedFrame(len(data), str(error)) from error


def decode_report(data: bytes) -> RehearsalReport:
    """Decode a report.

    Raises:
        MalformedFrame: `data` is none, or too long.
    """
    if len(data) > MAX_REPORT:
        raise MalformedFrame(len(data), f"longer than {MAX_REPORT} bytes")
    try:
        return _reports.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise MalformedFrame(len(data), str(error)) from error
