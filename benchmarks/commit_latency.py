"""From the commit to the last Activated, beside a bare ZeroMQ fan-out and fan-in between as many processes.

The bare peers use the same sockets with the same settings, and do nothing else (idle), or serve the same load in
one loop with them and burn as much processor time per request as our workers need (busy). Both sides are measured
in turn on the same machine, so that what else happens there hits both; the verdict is on pairs.
"""

import statistics
import sys
import time
from collections.abc import Sequence

import msgspec

from benchmarks import kernel
from benchmarks.bare_hub import Hub, bare
from benchmarks.chart import Chart, Series
from benchmarks.figures import Spread, spread
from benchmarks.load.process import running
from benchmarks.load.record import Mix
from benchmarks.machine import here
from benchmarks.publication import Result, Verdict, parser, publish
from benchmarks.samples import samples
from benchmarks.subject import Subject, serving
from benchmarks.swap import Swap, Swapper

NAME = "commit_latency"
WORKERS = 4
MIX = Mix(busy=8, idle=16, fresh=2, silent=4, post=0, dribble=2, stream=0, long=0, pace=0.005)
"""Only requests that both sides answer in the same way."""
PAUSE = 0.25
"""Seconds between two cutovers: what retires has gone quiet by then."""
CALIBRATION = 3.0
"""Seconds of load from which the processor time per request is taken."""
RATIO = 2.0


class Parameters(msgspec.Struct, frozen=True):
    """How long a run is.

    Attributes:
        idle: Pairs without load.
        blocks: Turns of each side under load.
        each: Cutovers in one turn.
    """

    idle: int = 100
    blocks: int = 10
    each: int = 10


QUICK = Parameters(idle=8, blocks=2, each=4)


class Pairs(msgspec.Struct, frozen=True):
    """Seconds, pair by pair.

    Attributes:
        ours: From the commit to the last Activated, as the supervisor hears it.
        bare: From the broadcast to the last answer.
        pointer: From the store to the change of the last worker's pointer, which needs no message back.
        busy: Cores that our workers used, then the bare peers.
    """

    ours: tuple[float, ...]
    bare: tuple[float, ...]
    pointer: tuple[float, ...]
    busy: tuple[float, float] = (0.0, 0.0)

    @property
    def ratio(self) -> float:
        """Median over the pairs."""
        return statistics.median(a / b for a, b in zip(self.ours, self.bare, strict=True))

    @property
    def ratio_of_medians(self) -> float:
        """Median of ours over median of the bare side."""
        return statistics.median(self.ours) / statistics.median(self.bare)


class CommitResult(Result, frozen=True, kw_only=True):
    """What the command found; `idle` and `loaded` pair by pair."""

    idle: Pairs
    loaded: Pairs
    burn: int


def main(arguments: list[str]) -> int:
    """Measure both sides in turn, idle and under load."""
    options = parser(f"benchmarks.{NAME}", __doc__).parse_args(arguments)
    parameters = QUICK if options.quick else Parameters()
    machine = here(f"benchmarks.{NAME}")
    with serving(WORKERS) as subject:
        swapper = Swapper(subject)
        swapper.swap()
        idle = measure_idle(swapper, parameters.idle)
        burn = calibrate(subject)
        loaded = measure_loaded(subject, swapper, parameters, burn)
    result = CommitResult(
        title=f"Commit to last Activated in {WORKERS} workers, beside bare ZeroMQ",
        machine=machine,
        quick=options.quick,
        verdicts=tuple(_verdict(name, pairs) for name, pairs in (("idle", idle), ("under load", loaded))),
        rows=_rows({"idle": idle, "under load": loaded}),
        notes=(
            f"under load our workers used {loaded.busy[0]:.2f} cores and the bare peers {loaded.busy[1]:.2f}, of which "
            f"{burn / 1000:.0f} microseconds per request were burnt to be as busy",
        ),
        idle=idle,
        loaded=loaded,
        burn=burn,
    )
    return publish(NAME, result, _chart(idle, loaded), options.out)


def measure_idle(swapper: Swapper, count: int) -> Pairs:
    """One swap, one fan, and again."""
    swaps, fans = list[Swap](), list[float]()
    with bare(WORKERS, busy=False) as hub:
        hub.fan()
        for _ in range(count):
            swaps.append(swapper.swap())
            time.sleep(PAUSE)
            fans.append(hub.fan())
            time.sleep(PAUSE / 5)
    return _pairs(swaps, fans, (0.0, 0.0))


def calibrate(subject: Subject) -> int:
    """Nanoseconds of processor time that our workers need per request more than bare peers do."""
    with bare(WORKERS, busy=True) as hub:
        assert hub.address is not None
        return max(
            0, _per_request(subject.address, tuple(subject.workers().values())) - _per_request(hub.address, hub.pids)
        )


def _per_request(address: tuple[str, int], pids: tuple[int, ...]) -> int:
    with running(address, MIX) as load:
        before, began = kernel.processor(pids), time.monotonic_ns()
        time.sleep(CALIBRATION)
        used, ended = kernel.processor(pids).since(before).used, time.monotonic_ns()
        answers = sum(began < sample.done <= ended for sample in samples(load.stop()))
    return used // answers


def measure_loaded(subject: Subject, swapper: Swapper, parameters: Parameters, burn: int) -> Pairs:
    """A turn of swaps under load, a turn of fans under the same load, and again."""
    swaps, fans = list[Swap](), list[float]()
    busy = [0.0, 0.0]
    with bare(WORKERS, busy=True, burn=burn) as hub:
        for _ in range(parameters.blocks):
            busy[0] += _our_turn(subject, swapper, swaps, parameters.each) / parameters.blocks
            busy[1] += _bare_turn(hub, fans, parameters.each) / parameters.blocks
    return _pairs(swaps, fans, (busy[0], busy[1]))


def _our_turn(subject: Subject, swapper: Swapper, swaps: list[Swap], count: int) -> float:
    meter = _Meter(tuple(subject.workers().values()))
    with running(subject.address, MIX) as load:
        for _ in range(count):
            swaps.append(swapper.swap())
            meter.rest()
        load.stop()
    return meter.cores


def _bare_turn(hub: Hub, fans: list[float], count: int) -> float:
    assert hub.address is not None
    meter = _Meter(hub.pids)
    with running(hub.address, MIX) as load:
        for _ in range(count):
            fans.append(hub.fan())
            meter.rest()
        load.stop()
    return meter.cores


class _Meter:
    """How many cores some processes use between two cutovers: while they only serve."""

    def __init__(self, pids: tuple[int, ...]) -> None:
        self._pids = pids
        self._used = self._wall = 0

    def rest(self) -> None:
        """Let a pause go by, and measure in it."""
        before, began = kernel.processor(self._pids), time.monotonic_ns()
        time.sleep(PAUSE)
        self._wall += time.monotonic_ns() - began
        self._used += kernel.processor(self._pids).since(before).used

    @property
    def cores(self) -> float:
        return self._used / self._wall


def _pairs(swaps: Sequence[Swap], fans: Sequence[float], busy: tuple[float, float]) -> Pairs:
    pointer = tuple((swap.ended - swap.stored) / 1e9 for swap in swaps)
    return Pairs(tuple(swap.commit for swap in swaps), tuple(fans), pointer, busy)


def _verdict(name: str, pairs: Pairs) -> Verdict:
    return Verdict(
        f"commit to last Activated, {name}, over a bare fan-out and fan-in (median of {len(pairs.ours)} pairs)",
        f"<= {RATIO:g}",
        f"{pairs.ratio:.2f}",
        pairs.ratio <= RATIO,
    )


def _rows(groups: dict[str, Pairs]) -> tuple[tuple[str, ...], ...]:
    head = ("milliseconds", "median", "p99", "longest", "median ratio of pairs", "ratio of medians")
    body: list[tuple[str, ...]] = []
    for name, pairs in groups.items():
        ratios = (f"{pairs.ratio:.2f}", f"{pairs.ratio_of_medians:.2f}")
        body.append((f"commit to last Activated, {name}", *_words(spread(pairs.ours)), *ratios))
        body.append((f"bare fan-out and fan-in, {name}", *_words(spread(pairs.bare)), "", ""))
        body.append((f"store to last pointer, {name}", *_words(spread(pairs.pointer)), "", ""))
    return (head, *body)


def _words(found: Spread) -> tuple[str, ...]:
    return tuple(f"{1000 * seconds:.3f}" for seconds in (found.median, found.p99, found.worst))


def _chart(idle: Pairs, loaded: Pairs) -> Chart:
    groups = {
        "ours, idle": idle.ours,
        "bare, idle": idle.bare,
        "ours, under load": loaded.ours,
        "bare, under load": loaded.bare,
    }
    series = (
        Series(name, [(1000 * v, 100 * n / len(values)) for n, v in enumerate(sorted(values), start=1)])
        for name, values in groups.items()
    )
    return Chart("Commits that take at most a given time", "milliseconds (logarithmic)", "%", tuple(series), True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
