"""Rolls by SIGHUP under mixed load: nothing fails, nothing is closed, and nothing of the old processes is left.

Each roll has new application code. The start of a request is stamped by the worker before it reads the commit cell, and
a plugin in front of the application passes that on; the time of a store is taken by the supervisor after it returned.
Memory is watched in further rolls without load, because looking at it takes processor time from what is timed.
"""

import contextlib
import sys
import time
from collections.abc import Sequence

import msgspec

from benchmarks import kernel
from benchmarks.chart import Chart, Series
from benchmarks.figures import Spread, spread
from benchmarks.household import descriptors, proportional, surplus, watching
from benchmarks.load.process import Totals, running, total
from benchmarks.load.record import Mix
from benchmarks.machine import here
from benchmarks.network import leave_for_own
from benchmarks.publication import Result, Verdict, parser, publish
from benchmarks.roll import Roll, Roller
from benchmarks.samples import Sample, Stores, samples
from benchmarks.subject import Kind, Subject, SubjectBroken, descendants, serving, until
from benchmarks.swaps_under_load import SHARED, told_of
from benchmarks.window_latency import divide
from benchmarks.zygotes import cohort, unnamed

NAME = "rolls_under_load"
PAUSES = (0.5, 4.5)
"""Seconds between the outcome of a roll and the next SIGHUP, in turn: every other roll begins while the processes that
the last one replaced still answer."""
MANY = 10_000
"""Connections of a full run, at least: what leaks one descriptor for each shows."""
GONE = 60.0
"""Seconds until nothing that was replaced is left."""
SETTLED = 10.0
"""Seconds until descriptors that are on their way to be closed are closed."""


class Parameters(msgspec.Struct, frozen=True):
    """How long a run is.

    Attributes:
        workers: Of the server.
        rolls: Under load.
        watched: Rolls without load in which memory is watched.
        mix: The load.
    """

    workers: int = 4
    rolls: int = 20
    watched: int = 3
    mix: Mix = Mix()


QUICK = Parameters(rolls=3, watched=1)


class Left(msgspec.Struct, frozen=True):
    """What is there after the last roll and was not there before the first.

    Attributes:
        processes: Of earlier cohorts.
        supervisor: What the supervisor holds open in addition: name -> how many.
        sockets: How many sockets a worker of the last cohort has more than any had before, without a client.
        stale: Workers that do not serve the last epoch.
    """

    processes: int
    supervisor: dict[str, int]
    sockets: int
    stale: int


class Memory(msgspec.Struct, frozen=True):
    """Proportional memory of all processes, bytes.

    Attributes:
        before: Before the roll.
        peak: The most during it.
        after: When the old processes were gone.
    """

    before: int
    peak: int
    after: int


class RollsResult(Result, frozen=True, kw_only=True):
    """What the command found.

    Attributes:
        rolls: Every roll under load.
        lived: Seconds for which each replaced process lived on after the commit.
        late: Requests started on an epoch after its successor was stored.
        left: What the rolls left behind.
        kernel: Counters of the kernel that have grown.
        memory: Of each roll in which it was watched.
        inside: Latency inside the windows, milliseconds.
        outside: Latency outside, milliseconds.
        totals: Of the load.
    """

    rolls: tuple[Roll, ...]
    lived: tuple[float, ...]
    late: int
    left: Left
    kernel: dict[str, int]
    memory: tuple[Memory, ...]
    inside: Spread
    outside: Spread
    totals: Totals


class Measured(msgspec.Struct, frozen=True):
    """What one server did under load, and without."""

    rolls: list[Roll]
    lived: list[float]
    answers: list[Sample]
    totals: Totals
    left: Left
    kernel: dict[str, int]
    memory: list[Memory]


def main(arguments: list[str]) -> int:
    """Roll, and judge."""
    options = parser(f"benchmarks.{NAME}", __doc__).parse_args(arguments)
    parameters = QUICK if options.quick else Parameters()
    machine = here(f"benchmarks.{NAME}")
    alone = leave_for_own()
    found = measure(parameters)
    late = len(Stores([(roll.epoch, roll.stored) for roll in found.rolls if roll.stored]).late(found.answers))
    inside, outside = (spread([s.latency for s in group]) for group in divide(found.answers, found.rolls))
    result = RollsResult(
        title=f"{len(found.rolls)} rolls by SIGHUP under mixed load, {parameters.workers} workers",
        machine=machine,
        quick=options.quick,
        verdicts=(*_verdicts(found, late), *(() if options.quick else (_many(found.totals),))),
        rows=_rows(found, inside, outside),
        notes=(*told_of(found.totals), *(() if alone else (SHARED,))),
        rolls=tuple(found.rolls),
        lived=tuple(found.lived),
        late=late,
        left=found.left,
        kernel=found.kernel,
        memory=tuple(found.memory),
        inside=inside,
        outside=outside,
        totals=found.totals,
    )
    return publish(NAME, result, _chart(found.rolls), options.out)


def measure(parameters: Parameters) -> Measured:
    """Roll once to settle, then again and again while the whole mix runs, then while memory is watched."""
    with serving(parameters.workers, Kind.APPLICATION) as subject:
        roller, rolls = Roller(subject), list[Roll]()
        roller.roll()
        settled = len(_alone(subject, roller))
        first = _Holdings(subject)
        before = kernel.counters()
        with running(subject.address, parameters.mix) as load:
            for number in range(parameters.rolls):
                time.sleep(PAUSES[number % 2])
                rolls.append(roller.roll())
            time.sleep(PAUSES[0])
            reports = load.stop()
        lived = _alone(subject, roller)[settled:]
        grown = kernel.grown(before, kernel.counters())
        answers = list(samples(reports))
        stale = parameters.workers - len({sample.slot for sample in answers if sample.epoch == rolls[-1].epoch})
        left = msgspec.structs.replace(first.left(), stale=stale)
        memory = [watched(subject, roller) for _ in range(parameters.watched)]
    return Measured(rolls, lived, answers, total(reports), left, grown, memory)


def watched(subject: Subject, roller: Roller) -> Memory:
    """Roll once while memory is watched."""
    before = proportional((subject.pid, *descendants(subject.pid)))
    with watching(subject.pid) as watch:
        roller.roll()
        _alone(subject, roller)
    return Memory(before, watch.peak, proportional((subject.pid, *descendants(subject.pid))))


def _alone(subject: Subject, roller: Roller) -> list[float]:
    """Wait until those that were replaced are gone; seconds for which all so far lived on."""
    lived = roller.lived()
    until(lambda: subject.alone and not _strangers(subject), GONE, lambda: f"left: {_strangers(subject)}", pause=0.05)
    return list(lived)


def _strangers(subject: Subject) -> list[int]:
    """Processes below the supervisor that neither serve nor are a zygote that it names: that forks, or is kept."""
    status = subject.status()
    workers = {slot.pid for slot in status.slots}
    others = [pid for pid in descendants(subject.pid) if pid not in workers]
    return [*(pid for pid in others if not cohort(pid)), *unnamed(status, others)]


class _Holdings:
    """What the processes of a server hold open while no client is connected."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._supervisor = descriptors(subject.pid)
        self._sockets = _sockets(subject)

    def left(self) -> Left:
        """What is there in addition, once what is on its way to be closed is closed."""
        with contextlib.suppress(SubjectBroken):
            until(lambda: not (self._supervised() or self._served()), SETTLED, str, pause=0.1)
        return Left(len(_strangers(self._subject)), self._supervised(), self._served(), 0)

    def _supervised(self) -> dict[str, int]:
        return surplus(self._supervisor, descriptors(self._subject.pid))

    def _served(self) -> int:
        return max(0, _sockets(self._subject) - self._sockets)


def _sockets(subject: Subject) -> int:
    """How many sockets the worker has that has most."""
    return max(descriptors(pid)["socket"] for pid in subject.workers().values())


def _verdicts(found: Measured, late: int) -> tuple[Verdict, ...]:
    totals, left = found.totals, found.left
    torn = len(totals.confused) + sum(count for fault, count in totals.faults.items() if fault.name == "EPOCHS")
    counts = {
        "failed requests": totals.failed,
        "connections closed unasked": totals.closed,
        "answers not of exactly one epoch": torn,
        "requests started on the old epoch after the store": late,
        "workers not on the new epoch at the end": left.stale,
        "rolls whose store was not timed": sum(not roll.stored for roll in found.rolls),
        "processes of earlier cohorts at the end": left.processes,
        "sockets that a worker of the last cohort has beyond its connections": left.sockets,
    }
    held = {
        "descriptors that the supervisor holds in addition": left.supervisor,
        "kernel counters of drops and resets that grew": found.kernel,
    }
    return (
        *(Verdict(what, "0", str(count), not count) for what, count in counts.items()),
        *(Verdict(what, "none", _words(surplus), not surplus) for what, surplus in held.items()),
    )


def _many(totals: Totals) -> Verdict:
    return Verdict("connections that were opened", f">= {MANY}", str(totals.connections), totals.connections >= MANY)


def _words(counts: dict[str, int]) -> str:
    return ", ".join(f"{what} +{count}" for what, count in counts.items()) or "none"


def _rows(found: Measured, inside: Spread, outside: Spread) -> tuple[tuple[str, ...], ...]:
    durations = {
        "SIGHUP to outcome, s": [roll.total for roll in found.rolls],
        "of it until all successors are prepared (boot), s": [roll.boot for roll in found.rolls],
        "of it until all replaced workers agree, s": [roll.agree for roll in found.rolls],
        "of it from there to the outcome (commit), s": [roll.commit for roll in found.rolls],
        "replaced processes live on after the commit, s": found.lived,
        "memory of all processes before a roll (PSS), MiB": [memory.before / 2**20 for memory in found.memory],
        "the most during it, MiB": [memory.peak / 2**20 for memory in found.memory],
        "when the replaced are gone, MiB": [memory.after / 2**20 for memory in found.memory],
    }
    latencies = {"latency inside the windows, ms": inside, "latency outside, ms": outside}
    spreads = {what: spread(values) for what, values in durations.items()} | latencies
    return (
        ("what", "count", "median", "p99", "longest or most"),
        *((what, str(s.count), *(f"{v:.3f}" for v in (s.median, s.p99, s.worst))) for what, s in spreads.items()),
    )


def _chart(rolls: Sequence[Roll]) -> Chart:
    """How long each roll took, one step over the other."""
    steps = {
        "SIGHUP to outcome": [roll.total for roll in rolls],
        "to the last agreement": [roll.boot + roll.agree for roll in rolls],
        "to the last successor prepared": [roll.boot for roll in rolls],
    }
    series = (Series(name, list(enumerate(values, start=1))) for name, values in steps.items())
    return Chart("How long each roll took", "roll", "seconds after SIGHUP", tuple(series))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
