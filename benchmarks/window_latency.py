"""What requests feel of a swap: latency inside the windows beside latency outside.

A window is from SIGHUP to the last worker's activation. A request belongs to it when any part of it lies inside.
Only kinds whose latency is the server's count (busy, idle and new connections); the others run beside them. A
request of a busy connection that had to wait for the answer before it counts from when it was due.
"""

import math
import sys
import time
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

import msgspec

from benchmarks import kernel
from benchmarks.chart import Chart, Point, Series
from benchmarks.figures import Spread, spread
from benchmarks.load.process import Load, Totals, running, total
from benchmarks.load.record import QUICK, Mix
from benchmarks.machine import here
from benchmarks.publication import Result, Verdict, parser, publish
from benchmarks.samples import Sample, samples
from benchmarks.subject import Subject, serving
from benchmarks.swap import Swap, Swapper

NAME = "window_latency"
MIX = Mix(busy=8, pace=0.01)
"""Paced, so that the machine is busy and not saturated: what saturation does to latency is not what a swap does."""
PAUSE = 0.5
"""Seconds between the end of a window and the next SIGHUP."""
GUARD = 100_000_000
"""Nanoseconds after a window that are neither inside nor steady: what retires there is not steady state."""
SAME_TURN = 500_000
"""Nanoseconds: answers that the load takes this shortly before another came in the same turn of its loop."""
RATIO, ABOVE = 3.0, 2.0
"""Bounds: p99 inside at most so many times, and at most so many milliseconds above, steady."""


class Stall(msgspec.Struct, frozen=True):
    """The slowest request inside a window, and what is known of why.

    Attributes:
        latency: Milliseconds.
        before: Milliseconds from being due to the worker's stamp: kernel, and a worker or a client that does not run.
        within: Milliseconds from the stamp to the last byte at the client.
        swap: Which swap's window, from 1.
        place: Where in it the request was due.
        slot: Which worker.
        meanwhile: Answers that the load took between the stamp and this one's, without its last half millisecond.
            None at all means that the load itself did not run.
    """

    latency: float
    before: float
    within: float
    swap: int
    place: str
    slot: int
    meanwhile: int


class Pressure(msgspec.Struct, frozen=True):
    """How busy the machine was, share of wall time over all cores together.

    Attributes:
        used: Processor time of server and load.
        waited: Time for which their threads were ready to run and had no core.
    """

    used: float
    waited: float


class WindowResult(Result, frozen=True, kw_only=True):
    """What the command found; times in milliseconds.

    Attributes:
        steady: Latency outside the windows.
        inside: Latency inside them.
        windows: Length of the windows.
        stalls: The slowest requests inside.
        pressure: Inside the windows, then outside.
        totals: Of the load.
    """

    steady: Spread
    inside: Spread
    windows: Spread
    stalls: tuple[Stall, ...]
    pressure: tuple[Pressure, Pressure]
    totals: Totals


class Measured(NamedTuple):
    swaps: list[Swap]
    answers: list[Sample]
    totals: Totals
    pressure: tuple[Pressure, Pressure]


def main(arguments: list[str]) -> int:
    """Measure, and compare."""
    options = parser(f"benchmarks.{NAME}", __doc__).parse_args(arguments)
    machine = here(f"benchmarks.{NAME}")
    measured = measure(10 if options.quick else 200)
    inside, steady = divide(measured.answers, measured.swaps)
    windows = spread([(swap.ended - swap.asked) / 1e6 for swap in measured.swaps])
    slow = sorted(inside, key=lambda sample: sample.latency, reverse=True)[:5]
    latencies = {name: [s.latency for s in group] for name, group in (("inside", inside), ("steady", steady))}
    taken = sorted(sample.done for sample in measured.answers)
    stalls = tuple(stall(sample, measured.swaps, taken) for sample in slow)
    result = WindowResult(
        title=f"Latency inside the windows of {len(measured.swaps)} swaps, and outside",
        machine=machine,
        quick=options.quick,
        verdicts=_verdicts(spread(latencies["inside"]), spread(latencies["steady"]), measured.totals),
        rows=_rows(spread(latencies["inside"]), spread(latencies["steady"]), windows),
        notes=_notes(stalls[:3], measured.pressure),
        steady=spread(latencies["steady"]),
        inside=spread(latencies["inside"]),
        windows=windows,
        stalls=stalls,
        pressure=measured.pressure,
        totals=measured.totals,
    )
    return publish(NAME, result, _chart(latencies), options.out)


def measure(count: int) -> Measured:
    """Swap so many times under load."""
    with serving() as subject:
        swapper, swaps = Swapper(subject), list[Swap]()
        inside, outside = _Meter(subject), _Meter(subject)
        with running(subject.address, MIX) as load:
            for _ in range(count):
                with inside.over(load):
                    swaps.append(swapper.swap())
                with outside.over(load):
                    time.sleep(PAUSE)
            reports = load.stop()
    return Measured(swaps, list(samples(reports)), total(reports), (inside.pressure(), outside.pressure()))


class _Meter:
    """Adds up processor time over stretches of a run."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._wall = self._used = self._waited = 0

    def over(self, load: Load) -> "_Stretch":
        pids = (*self._subject.family, *load.pids)
        return _Stretch(self, pids)

    def add(self, wall: int, grown: kernel.Processor) -> None:
        self._wall += wall
        self._used += grown.used
        self._waited += grown.waited

    def pressure(self) -> Pressure:
        return Pressure(self._used / self._wall, self._waited / self._wall)


class _Stretch:
    def __init__(self, meter: _Meter, pids: Iterable[int]) -> None:
        self._meter = meter
        self._pids = tuple(pids)

    def __enter__(self) -> None:
        self._before, self._began = kernel.processor(self._pids), time.monotonic_ns()

    def __exit__(self, *_: object) -> None:
        wall = time.monotonic_ns() - self._began
        self._meter.add(wall, kernel.processor(self._pids).since(self._before))


class Window(Protocol):
    """A stretch of time, CLOCK_MONOTONIC in nanoseconds."""

    @property
    def asked(self) -> int:
        """When it begins."""

    @property
    def ended(self) -> int:
        """When it ends."""


def divide(answers: Iterable[Sample], windows: Sequence[Window]) -> tuple[list[Sample], list[Sample]]:
    """Requests that touch a window, and those that touch neither a window nor its guard."""
    inside: list[Sample] = []
    steady: list[Sample] = []
    begins = [window.asked for window in windows]
    for sample in answers:
        if sample.kind not in QUICK or sample.done < begins[0]:
            continue
        last = bisect_left(begins, sample.done) - 1
        if sample.since <= windows[last].ended:
            inside.append(sample)
        elif sample.since > windows[last].ended + GUARD:
            steady.append(sample)
    return inside, steady


def stall(sample: Sample, swaps: Sequence[Swap], taken: Sequence[int]) -> Stall:
    """Say where in its window a request was slow.

    Args:
        sample: The request.
        swaps: All swaps, in order.
        taken: When the load took each of its answers, sorted.
    """
    number = bisect_left([swap.asked for swap in swaps], sample.done)
    swap = swaps[number - 1]
    steps = (
        (swap.asked, "before SIGHUP"),
        (swap.stored, "between SIGHUP and the store (scan, prepare)"),
        (swap.ended, "between the store and the last activation"),
    )
    place = next((words for at, words in steps if sample.since < at), "after the last activation")
    before = max(0, sample.started - sample.since)
    within = sample.done - sample.since - before
    meanwhile = bisect_left(taken, sample.done - SAME_TURN) - bisect_left(taken, sample.done - within)
    return Stall(sample.latency, before / 1e6, within / 1e6, number, place, sample.slot, max(0, meanwhile))


def _verdicts(inside: Spread, steady: Spread, totals: Totals) -> tuple[Verdict, ...]:
    ratio, above = inside.p99 / steady.p99, inside.p99 - steady.p99
    return (
        Verdict("p99 inside the windows over steady p99", f"<= {RATIO:g}", f"{ratio:.2f}", ratio <= RATIO),
        Verdict("p99 inside the windows above steady p99", f"<= {ABOVE:g} ms", f"{above:.2f} ms", above <= ABOVE),
        Verdict("failed requests", "0", str(totals.failed), not totals.failed),
        Verdict("connections closed unasked", "0", str(totals.closed), not totals.closed),
    )


def _rows(inside: Spread, steady: Spread, windows: Spread) -> tuple[tuple[str, ...], ...]:
    groups = (("inside windows", inside), ("steady", steady), ("length of a window", windows))
    return (
        ("milliseconds", "count", "median", "p99", "p99.9", "longest"),
        *((name, str(s.count), *(f"{v:.2f}" for v in (s.median, s.p99, s.p999, s.worst))) for name, s in groups),
    )


def _notes(stalls: Iterable[Stall], pressure: tuple[Pressure, Pressure]) -> tuple[str, ...]:
    inside, outside = pressure
    return (
        *map(_words, stalls),
        f"cores used by server and load: {inside.used:.2f} inside, {outside.used:.2f} outside; seconds that their "
        f"threads waited for a core, per second: {inside.waited:.2f} inside, {outside.waited:.2f} outside",
    )


def _words(stall: Stall) -> str:
    words = f"stall of {stall.latency:.1f} ms: swap {stall.swap}, slot {stall.slot}, due {stall.place}; "
    words += f"{stall.before:.1f} ms until the worker stamped it, {stall.within:.1f} ms from there to the last byte"
    if stall.within < stall.before:
        return words
    return f"{words}, in which the load took {stall.meanwhile} other answers (none: it had no core itself)"


def _chart(latencies: dict[str, list[float]]) -> Chart:
    return Chart(
        "Latency, by how rare it is",
        "one request in so many takes longer (logarithmic)",
        "milliseconds",
        tuple(Series(name, tail(values)) for name, values in latencies.items()),
        logarithmic=True,
    )


def tail(values: list[float]) -> list[Point]:
    """Latency over rarity: 2 is the median, 100 is p99; as many points for every decade."""
    ordered = sorted(values)
    count = len(ordered)
    rarities = (10 ** (step / 50) for step in range(1 + int(50 * math.log10(count))))
    return [(rarity, ordered[min(count - 1, int(count * (1 - 1 / rarity)))]) for rarity in rarities]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
